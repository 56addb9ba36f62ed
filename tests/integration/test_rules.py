"""The published rules on a real Prometheus that scrapes several machines."""

from __future__ import annotations

import re
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest
import yaml

from tests.support import rules
from tests.support.monitor import Monitor
from tests.support.prometheus import Prometheus, Vector, each_second
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAIL = {"smarthost": "localhost:1", "from": "a@example.org", "admins": ["b@example.org"]}
NOTIFY = {"notify": {**MAIL, "user_address": "{{username}}@example.org", "alertmanagers": ["localhost:1"]}}
"""With it all rules are published."""
LIMITED = {"limits": {"environments": 1, "users": 1, "processes": 1}}

NOT_SIMULATED = (
    "genv_monitor_certificate_not_after_timestamp_seconds",  # they speak no TLS
    "genv_monitor_certificate_not_before_timestamp_seconds",
    "genv_device_recovery_action{action",
    'genv_device_fabric_state{state="failed"}',
    "genv_device_xid_last_seen_timestamp_seconds",
    "genv_monitor_ledger_write_success",
)
"""What a simulated machine never has, or not with all these values of labels."""


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Monitor]]:
    """Machines with the same users, environments and pids; the last shows one of each and sums the others."""
    everything = tmp_path_factory.mktemp("everything") / "monitor.yaml"
    everything.write_text(yaml.safe_dump(NOTIFY))
    config = tmp_path_factory.mktemp("limited") / "monitor.yaml"
    config.write_text(yaml.safe_dump(LIMITED))
    with ExitStack() as stack:

        def start(*arguments: str | Path) -> Monitor:
            directory = tmp_path_factory.mktemp("published")
            options = ("--demo", "8", "--interval", "0.5", "--config-dir", directory)
            return stack.enter_context(Monitor((*options, *arguments)))

        yield [start("--config", everything), start(), start("--config", config)]


@pytest.fixture(scope="module")
def prometheus(machines: list[Monitor], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus on the configuration of one of them, but quicker, that scrapes them all."""
    arguments = list(map(str, machines[0].arguments))
    published = tmp_path_factory.getbasetemp() / arguments[arguments.index("--config-dir") + 1]
    targets = [f"127.0.0.1:{one.port}" for one in machines]
    # Labels that somebody gives the machines must not get in the way.
    labels = {"hostname": "gpu", "rack": "b"}
    config = each_second(published / "prometheus/prometheus.yml", targets, labels)
    with Prometheus(config, tmp_path_factory.mktemp("data")) as running:
        yield running


def test_no_rule_fails(prometheus: Prometheus) -> None:
    expected = len(rules.rules("record")) + len(rules.rules("alert"))
    wait_for(lambda: len(prometheus.query("count_over_time(up[1h]) >= 3")) == 3, "three scrapes of each machine")
    started = _last_evaluations(prometheus)
    wait_for(lambda: min(_last_evaluations(prometheus)) > max(started), "each rule was evaluated with them")
    assert len(started) == expected
    failed = {rule["name"]: rule.get("lastError", "") for rule in prometheus.rules() if rule["health"] != "ok"}
    assert failed == {}
    assert prometheus.query('{__name__=~".+",username="(other)"}') != {}


def _last_evaluations(prometheus: Prometheus) -> list[str]:
    return [rule["lastEvaluation"] for rule in prometheus.rules()]


def test_each_recording_rule_has_data_and_the_labels_that_its_level_says(prometheus: Prometheus) -> None:
    levels = {
        "instance": {"instance"},
        "username": {"username"},
        "instance_username": {"instance", "username"},
        "name": {"name"},
    }
    for rule in rules.rules("record"):
        name = rule["record"]
        machines = 3 if name.startswith("instance:") else 1
        for labels in wait_for(partial(_of_so_many, prometheus, name, machines), f"data of {name}"):
            assert {label for label, _ in labels} == levels[name.partition(":")[0]] | {"__name__", "job"}, name


def _of_so_many(prometheus: Prometheus, name: str, least: int) -> Vector | None:
    found = prometheus.query(name)
    return found if len(found) >= least else None


def test_what_rules_select_is_there(prometheus: Prometheus) -> None:
    """With these labels and these values of them: a reason that is called otherwise would never wake anybody."""
    selected = {selector.text for expression in rules.expressions() for selector in rules.selectors(expression)}
    simulated = (text for text in selected if "%q" not in text and not text.startswith(NOT_SIMULATED))
    wanting = {one for text in simulated for one in _one_by_one(text)}
    assert wanting

    def all_were_there() -> bool:
        """Tell whether each was there at some time; the machines change all the time."""
        wanting.difference_update({text for text in wanting if prometheus.query(f"count_over_time({text}[1h])")})
        return not wanting

    try:
        wait_for(all_were_there, "there")
    except AssertionError as error:
        pytest.fail(f"{error}:\n" + "\n".join(sorted(wanting)))


@pytest.mark.parametrize("beginning", NOT_SIMULATED)
def test_what_is_not_simulated_is_really_not_there(beginning: str, prometheus: Prometheus) -> None:
    """Else it ought to be asked for above."""
    selected = {selector.text for expression in rules.expressions() for selector in rules.selectors(expression)}
    each = {one for text in selected if text.startswith(beginning) for one in _one_by_one(text)}
    assert any(not prometheus.query(f"count_over_time({one}[1h])") for one in each)


def _one_by_one(selector: str) -> list[str]:
    """Return a selector for each of the values between which one leaves the choice."""
    choice = re.search(r'=~"(\w+(?:\|\w+)+)"', selector)
    return [selector.replace(choice[0], f'="{value}"') for value in choice[1].split("|")] if choice else [selector]


def test_the_link_of_an_alert_leads_to_the_runbook(prometheus: Prometheus) -> None:
    alerts = wait_for(lambda: [one for one in prometheus.alerts() if "index" in one["labels"]], "one about a GPU")
    _check_runbook(alerts[0])
    instance = alerts[0]["labels"]["instance"]
    assert alerts[0]["annotations"]["runbook_url"].startswith(f"http://{instance}/page/docs/")


def test_a_machine_that_is_gone_is_about_to_wake_somebody(machines: list[Monitor], prometheus: Prometheus) -> None:
    instance = f"127.0.0.1:{machines[1].port}"
    assert machines[1].stop() == 0
    pending = 'ALERTS{alertname="GenvMonitorDown",alertstate="pending",severity="critical",job="genv"}'
    found = wait_for(lambda: prometheus.query(pending), "the alert is pending")
    assert [dict(labels)["instance"] for labels in found] == [instance]
    alerts = {alert["labels"]["alertname"]: alert for alert in prometheus.alerts()}
    _check_runbook(alerts["GenvMonitorDown"])


def _check_runbook(alert: dict[str, Any]) -> None:
    """The link is answered, and there is a section about the alert."""
    url, _, section = alert["annotations"]["runbook_url"].rpartition("#")
    name = alert["labels"]["alertname"]
    assert section == name.lower()
    with urlopen(url, timeout=20) as response:  # a monitor of this test
        page = response.read().decode()
    # A checkout serves the documents as text.
    assert f"## {name}\n" in page or f'id="{section}"' in page
