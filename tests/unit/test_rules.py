"""The published recording and alert rules: promtool accepts them, and each alert is tested."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from genvd.metrics import ALL
from genvd.metrics.service import SERIES_DROPPED
from tests.support import debian, rules

ROOT = Path(__file__).parents[2]
TESTS = sorted((ROOT / "tests/rules").glob("*.yml"))

METRICS = {metric.name: metric for metric in (*ALL, SERIES_DROPPED)}
LABELS = {"up": set[str](), **{name: set(metric.labels) for name, metric in METRICS.items()}}
"""The labels of the metrics that rules may use, without those of the target."""
TARGET = {"job", "instance"}

ALERTS = rules.rules("alert")
NAMES = list(dict.fromkeys(alert["alert"] for alert in ALERTS))
RECORDS = [rule["record"] for rule in rules.rules("record")]

Json = dict[str, Any]


def promtool(*arguments: str | Path) -> str:
    """Run promtool, which must succeed, and return its output."""
    command = [debian.promtool(), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def loaded(path: Path) -> Json:
    content: Json = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


CASES = [case for path in TESTS for case in loaded(path)["tests"]]


# The checks of promtool.


def test_promtool_accepts_them() -> None:
    said = promtool("check", "rules", "--lint=all", "--lint-fatal", *rules.files())
    assert [int(number) for number in re.findall(r"(\d+) rules found", said)] == [
        len(rules.rules_of(path)) for path in rules.files()
    ]


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_the_cases_pass(path: Path) -> None:
    promtool("test", "rules", path)


# Coverage of the cases.


def asked(name: str) -> list[tuple[Json, Json]]:
    """Return the cases about an alert, with their assertions."""
    return [(case, one) for case in CASES for one in case.get("alert_rule_test", ()) if one["alertname"] == name]


@pytest.mark.parametrize("name", NAMES)
def test_each_alert_has_a_case_for_each_severity_in_which_it_fires(name: str) -> None:
    expected = [alert["exp_labels"]["severity"] for _, one in asked(name) for alert in one["exp_alerts"]]
    assert set(expected) == {alert["labels"]["severity"] for alert in ALERTS if alert["alert"] == name}


@pytest.mark.parametrize("name", NAMES)
def test_each_alert_has_a_case_in_which_it_stays_quiet(name: str) -> None:
    """The case has data, and it is not only too early to fire."""
    fires = [case for case, one in asked(name) if one["exp_alerts"]]
    quiet = [case for case, one in asked(name) if case not in fires]
    used = {
        selector.metric for alert in ALERTS if alert["alert"] == name for selector in rules.selectors(alert["expr"])
    }
    used -= {"genv_device_info", "genv_environment_info"}
    assert any(used & {metric for metric, _ in given(case)} for case in quiet)


def test_each_recording_rule_has_a_case() -> None:
    questions = [one for case in CASES for one in case.get("promql_expr_test", ()) if one["exp_samples"]]
    assert {one["expr"].partition("{")[0] for one in questions} == set(RECORDS)


def given(case: Json) -> list[tuple[str, set[str]]]:
    """Return the metrics of the input of a case, with their labels."""
    split = [re.fullmatch(r"(\w+)\{(.*)\}", one["series"], re.DOTALL) for one in case["input_series"]]
    return [(match[1], set(re.findall(r'(\w+)="(?:[^"\\]|\\.)*"', match[2]))) for match in split if match]


# The metrics and labels that they use.


def test_rules_use_existing_metrics_and_labels() -> None:
    for expression in rules.expressions():
        used = list(rules.selectors(expression))
        assert used or "ALERTS{" in expression, expression
        for selector in used:
            assert selector.metric in LABELS, expression
            assert set(selector.matchers) <= LABELS[selector.metric] | TARGET, selector.text


def test_rules_join_and_aggregate_by_existing_labels() -> None:
    for expression in rules.expressions():
        there = TARGET.union(*(LABELS[selector.metric] for selector in rules.selectors(expression)))
        there.update(re.findall(r'"(\w+)", "\$1"', expression))  # what label_replace makes
        if "ALERTS{" in expression:
            there.update(("alertname", "alertstate", "severity"))
        lists = re.findall(r"\b(?:by|without|on|ignoring|group_left|group_right) ?\(([^()]*)\)", expression)
        for label in {label.strip() for one in lists for label in one.split(",")} - {""}:
            assert label in there, f"{label} in {expression}"


def test_rate_and_increase_are_used_for_counters_only() -> None:
    for expression in rules.expressions():
        for metric in re.findall(r"\b(?:i?rate|i?increase|resets)\(\s*(\w+)", expression):
            assert METRICS[metric].type == "counter", expression


def test_the_cases_use_metrics_as_exported() -> None:
    for case in CASES:
        for metric, labels in given(case):
            assert metric in LABELS, case["name"]
            assert labels - TARGET <= LABELS[metric], (case["name"], metric)
            if not metric.endswith("_info"):
                assert labels - TARGET == LABELS[metric], (case["name"], metric)


def test_alerts_need_no_recording_rule() -> None:
    """So that the alert rules can be copied without the recording rules."""
    for alert in ALERTS:
        assert not re.search(r"[a-z]:[a-z]", re.sub(r'"[^"]*"', "", alert["expr"])), alert["alert"]


# The texts of the alerts.


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: f"{alert['alert']}-{alert['labels']['severity']}")
def test_each_alert_names_machine_gpu_users_and_runbook(alert: Json) -> None:
    name, annotations = alert["alert"], alert["annotations"]
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    assert "$labels.instance" in annotations["summary"]
    assert annotations["description"].endswith(".")
    page, _, section = annotations["runbook_url"].rpartition("#")
    assert page.endswith("/page/docs/runbook.html") or name == "GenvMonitorDown"
    assert section == name.lower()
    by = set(re.findall(r"group_left \(([^()]+)\)", alert["expr"]))
    if "uuid, name" in by:
        assert "$labels.index" in annotations["summary"] and "$labels.uuid" in annotations["summary"]
        assert "held_by" in annotations and "Labels.username" in annotations["summary"]
    if "name, username" in by:
        assert "$labels.username" in annotations["summary"] and "$labels.eid" in annotations["summary"]
        assert "devices" in annotations and re.search(r"GPU {{|; GPUs:", annotations["summary"])
    # A label that changes between evaluations would create a new alert each time.
    assert "$value" not in "".join(alert["labels"].values())


# The XID errors.


def test_each_xid_error_has_one_severity() -> None:
    """Unlisted ones are warnings."""
    by_severity = {}
    for alert in ALERTS:
        if alert["alert"] == "GenvDeviceXid":
            pattern = r'xid(=~|!~)"([\d|]+)"'
            by_severity[alert["labels"]["severity"]] = re.findall(pattern, alert["expr"])
    ((sign, critical),) = by_severity["critical"]
    ((same, info),) = by_severity["info"]
    assert sign == same == "=~"
    assert by_severity["warning"] == [("!~", critical), ("!~", info)]
    numbers = [int(number) for one in (critical, info) for number in one.split("|")]
    assert len(numbers) == len(set(numbers))
    assert sorted(map(int, critical.split("|"))) == list(map(int, critical.split("|")))
    assert {13, 31, 43, 45} <= set(map(int, info.split("|")))
    assert {48, 64, 79, 95, 119, 120} <= set(map(int, critical.split("|")))


# The recovery actions.


def test_each_recovery_action_has_one_severity() -> None:
    """Unlisted ones, which are newer, are warnings."""
    by_severity = {
        alert["labels"]["severity"]: re.findall(r'action(=~|!~)"([\w|]+)"', alert["expr"])
        for alert in ALERTS
        if alert["alert"] == "GenvDeviceRecoveryAction"
    }
    ((sign, critical),) = by_severity["critical"]
    assert sign == "=~"
    assert by_severity["warning"] == [("!~", f"none|{critical}")]
    listed = METRICS["genv_device_recovery_action"].help.partition("as action: ")[2]
    assert set(critical.split("|")) < set(re.findall(r"\w+", listed))
