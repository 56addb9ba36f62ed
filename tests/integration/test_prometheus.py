"""The monitor, what it publishes, and a real Prometheus that takes both as they are."""

from __future__ import annotations

import configparser
import gzip
import itertools
import json
import os
import re
import subprocess
from collections import Counter, defaultdict
from contextlib import ExitStack
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from genvd.metrics.contract import CONTRACT
from genvd.publish.publication import published_files
from tests.standin import Gpu, Process
from tests.support import debian
from tests.support.monitor import PROGRAM, Monitor
from tests.support.needs import published_host
from tests.support.prometheus import Prometheus, each_second
from tests.support.waiting import PATIENCE, wait_for
from tools.drawing.__main__ import draw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from prometheus_client.metrics_core import Metric as Family

    from tests.standin import Scenario
    from tests.support.prometheus import Vector

    Rows = dict[tuple[str, ...], float]
    Json = dict[str, Any]
    Query = tuple[str, str, str]
    """Type and title of the panel, and the letter."""

QUICK = ("--interval", "0.5")
STILL = ("--interval", "3600")
"""No second collection during a test: what is asked for twice is the same."""

RULES = [path for path in published_files() if path.match("prometheus/rules/*.yml")]
DASHBOARDS = sorted(path.stem for path in published_files() if path.match("grafana/dashboards/*.json"))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the running machine publishes."""
    return tmp_path_factory.mktemp("published")


@pytest.fixture(scope="module")
def machine(published: Path) -> Iterator[Monitor]:
    """A simulated machine that publishes, and tells all that there is to tell."""
    config = published.parent / "monitor.yaml"
    config.write_text(yaml.safe_dump({"metrics": {"pcie_throughput": True}}), encoding="utf-8")
    with Monitor(("--demo", *QUICK, "--config", config, "--config-dir", published)) as monitor:
        yield monitor


@pytest.fixture(scope="module")
def machines(machine: Monitor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """Several machines, by what Prometheus calls them: how many devices each has.

    The two small ones do the same at nearly the same time, so one user, eid and pid is on several machines.
    """
    with ExitStack() as stack:
        small = [
            stack.enter_context(Monitor(("--demo", "2", *QUICK, "--config-dir", tmp_path_factory.mktemp("not-used"))))
            for _ in range(2)
        ]
        yield {_target(machine): 8, **{_target(one): 2 for one in small}}


@pytest.fixture(scope="module")
def slow_prometheus(
    machine: Monitor, published: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """A Prometheus on the published configuration, which may scrape for the first time 20 seconds from now."""
    with Prometheus(published / "prometheus/prometheus.yml", tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture(scope="module")
def prometheus(
    slow_prometheus: Prometheus,  # only so that it waits for its first scrape in the meantime
    machines: Mapping[str, int],
    published: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the machines each second, and has done so several times."""
    config = each_second(published / "prometheus/prometheus.yml", tuple(machines))
    with Prometheus(config, tmp_path_factory.mktemp("data")) as running:
        scrapes = "count_over_time(up[1h]) >= 3"
        wait_for(lambda: len(running.query(scrapes)) == len(machines), "three scrapes of each machine")
        yield running


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitor]:
    """A simulated machine on which nothing changes."""
    with Monitor(("--demo", *STILL, "--config-dir", tmp_path_factory.mktemp("not-used"))) as monitor:
        yield monitor


def _target(monitor: Monitor) -> str:
    return f"{published_host()}:{monitor.port}"


# The dashboards.


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_query_of_a_dashboard_has_data(
    name: str, machines: Mapping[str, int], prometheus: Prometheus, published: Path
) -> None:
    dashboard = _dashboard(published, name)
    targets = {query: one for query, one in _targets(dashboard).items() if (name, query[1]) not in MAY_BE_EMPTY}
    choices_of: dict[str, Callable[[], dict[str, str]]] = {
        "all": lambda: _choices(dashboard, prometheus, machines, all_values=True),
        "each": lambda: _choices(dashboard, prometheus, machines, all_values=False),
        "one machine": lambda: {**choices_of["all"](), "instance": _largest(machines)},
    }
    wanting = {(*query, chosen) for query in targets for chosen in choices_of}
    assert wanting

    def all_had_data() -> bool:
        """Tell whether each has had data by now; the machines, and so the values to choose, change all the time."""
        for chosen, choose in choices_of.items():
            choices = choose()
            assert choices["instance"] in (".*", _any_of(sorted(machines)), _largest(machines))
            for query in [query for query in targets if (*query, chosen) in wanting]:
                if _ask(prometheus, targets[query], _interpolated(targets[query]["expr"], choices)):
                    wanting.remove((*query, chosen))
        return not wanting

    try:
        wait_for(all_had_data, "data", 3 * PATIENCE)
    except AssertionError as error:
        pytest.fail(f"{error} for\n" + "\n".join(map(str, sorted(wanting))))


MAY_BE_EMPTY = {
    ("fleet", "Alerts firing"): "the demo may have nothing to alert about; the number above says 0",
    ("overview", "Alerts firing"): "likewise",
    ("monitor", "Age of the ledger file"): "the ledger of the demo is kept in memory only",
    ("monitor", "Certificates"): "the demo is served without TLS",
    ("machine", "Host memory"): "each GPU of the demo has memory of its own",
    ("machine", "Memory of no visible process"): "the demo has an unseen container only now and then",
    ("machine", "Modes"): "each GPU of the demo has memory of its own, so the last column is empty",
    ("people", "Rules broken now"): "the demo breaks one only now and then; the number above says 0",
    ("people", "Rules over time"): "likewise",
}
"""Panels that are rightly empty, and why."""


def test_what_may_be_empty_is_there(published: Path) -> None:
    titles = {(name, title) for name in DASHBOARDS for _, title, _ in _targets(_dashboard(published, name))}
    assert set(MAY_BE_EMPTY) <= titles


def _dashboard(published: Path, name: str) -> Json:
    loaded: Json = json.loads((published / f"grafana/dashboards/{name}.json").read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("name", DASHBOARDS)
def test_it_can_be_drawn_without_grafana(name: str, prometheus: Prometheus, published: Path) -> None:
    before = prometheus.query("genv_environment_info")
    page = draw(published / f"grafana/dashboards/{name}.json", f"http://127.0.0.1:{prometheus.port}", 60)
    assert "Drawn from real query results, not by Grafana" in page
    for panel in _dashboard(published, name)["panels"]:
        assert escape(panel["title"]) in page
    if name == "overview":
        stayed = before.keys() & prometheus.query("genv_environment_info").keys()
        users = {dict(labels)["username"] for labels in stayed}
        assert users and all(f">{user}</td>" in page for user in users)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_columns_of_a_table_fit_together(
    name: str, machines: Mapping[str, int], prometheus: Prometheus, published: Path
) -> None:
    """Grafana puts values into one row by their labels, so all columns need the same ones, and those that are shown."""
    dashboard = _dashboard(published, name)
    choices = _choices(dashboard, prometheus, machines, all_values=True)
    time = min(prometheus.query("timestamp(up)").values())
    tables = [panel for panel in _panels(dashboard) if panel["type"] == "table"]
    assert tables
    for panel in tables:
        (organize,) = [one["options"] for one in panel["transformations"] if one["id"] == "organize"]
        columns = {label for label in organize["indexByName"] if not label.startswith("Value")}
        first, *others = (prometheus.query(_interpolated(one["expr"], choices), time) for one in panel["targets"])
        assert all({label for label, _ in labels} <= columns for labels in first), panel["title"]
        for other in others:
            assert set(other) <= set(first), panel["title"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_no_two_lines_have_the_same_name(
    name: str, machines: Mapping[str, int], prometheus: Prometheus, published: Path
) -> None:
    dashboard = _dashboard(published, name)
    choices = _choices(dashboard, prometheus, machines, all_values=True)
    time = min(prometheus.query("timestamp(up)").values())
    for panel in _panels(dashboard):
        if panel["type"] == "table":
            continue
        names: list[str] = []
        for target in panel.get("targets", ()):
            vector = prometheus.query(_interpolated(target["expr"], choices), time)
            names += [_named(target.get("legendFormat", ""), dict(labels)) for labels in vector]
        assert len(names) == len(set(names)), panel["title"]


def _named(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), legend)


def _ask(prometheus: Prometheus, target: Json, expression: str) -> Mapping[Any, Any]:
    if target.get("instant"):
        return prometheus.query(expression)
    now = prometheus.query("time()")[frozenset()]
    found = prometheus.query_range(expression, now - 60, now, 1)
    # Where a number is not known its panel gets -1.
    return {labels: values for labels, values in found.items() if set(values) != {-1.0}}


def _targets(dashboard: Json) -> dict[Query, Json]:
    """Return the queries of all panels."""
    found = [
        ((panel["type"], panel["title"], target["refId"]), target)
        for panel in _panels(dashboard)
        for target in panel.get("targets", ())
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


def _panels(dashboard: Json) -> list[Json]:
    """Return all panels, those inside collapsed rows too."""
    return [inner for panel in dashboard["panels"] for inner in (panel, *panel.get("panels", ()))]


_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{(\w+)(?::\w+)?\})")
_BUILT_IN = {
    "__interval": "15s",
    "__interval_ms": "15000",
    "__rate_interval": "1m",
    "__rate_interval_ms": "60000",
    "__range": "1h",
    "__range_s": "3600",
    "__range_ms": "3600000",
}


def _interpolated(expression: str, choices: Mapping[str, str]) -> str:
    """Put in the variables as Grafana does."""
    return _VARIABLE.sub(lambda match: choices[match[1] or match[2]], expression)


def _largest(machines: Mapping[str, int]) -> str:
    return max(machines, key=lambda name: machines[name])


def _choices(
    dashboard: Json, prometheus: Prometheus, machines: Mapping[str, int], *, all_values: bool
) -> dict[str, str]:
    """Choose values for the variables: all by All, or each; where only one can be chosen, the largest machine."""
    choices = dict(_BUILT_IN)
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            values = _values(_interpolated(variable["query"]["query"], choices), prometheus)
            assert values, f"the variable {variable['name']} has no values"
            if not variable["multi"]:
                assert _largest(machines) in values
                choices[variable["name"]] = _largest(machines)
                continue
        else:
            values = [variable["current"]["value"]]
        choices[variable["name"]] = (variable.get("allValue") if all_values else None) or _any_of(values)
    return choices


def _any_of(values: Iterable[str]) -> str:
    """Return what Grafana writes into a matcher for several values."""
    return f"({'|'.join(re.escape(value) for value in values)})".replace("\\", "\\\\")


def _values(query: str, prometheus: Prometheus) -> list[str]:
    match = re.fullmatch(r"label_values\((?:(?P<selector>.+),\s*)?(?P<label>\w+)\)", query)
    assert match, f"a template query of a kind that this test does not know: {query}"
    return prometheus.label_values(match["label"], match["selector"])


# The overview's numbers, worked out from the bare series of the same moment.


def test_the_overview_of_several_machines_is_right(
    machines: Mapping[str, int], prometheus: Prometheus, published: Path
) -> None:
    overview = _dashboard(published, "overview")
    # The last moment of which all samples are stored: those of a scrape are, all at once with its "up".
    time = min(prometheus.query("timestamp(up)").values())
    choices = _choices(overview, prometheus, machines, all_values=True)
    shown = {
        query: prometheus.query(_interpolated(target["expr"], choices), time)
        for query, target in _targets(overview).items()
    }
    expected = dict(_overview(lambda name, *labels: _rows(prometheus, time, name, *labels)))
    for query, values in expected.items():
        assert shown[query] == pytest.approx(values), query

    # A device in MIG mode tells no utilisation.
    modes = _rows(prometheus, time, "genv_device_info", "instance", "index", "mig_mode")
    mig = Counter(instance for instance, _, mode in modes if mode == "enabled")
    assert mig
    for title, without in (
        ("Compute utilisation by GPU", mig),
        ("Memory by GPU", Counter[str]()),
        ("Temperature by GPU", Counter[str]()),
    ):
        instances = Counter(dict(labels)["instance"] for labels in shown["timeseries", title, "A"])
        assert instances + without == machines
    users = _rows(prometheus, time, "genv_user_environments_total", "instance", "username")
    assert len({username for _, username in users}) < len(users)


def _rows(prometheus: Prometheus, time: float, name: str, *labels: str) -> Rows:
    """Return the series of a metric by the values of labels, which must tell them apart."""
    vector = prometheus.query(name, time)
    rows = {tuple(dict(key).get(label, "") for label in labels): value for key, value in vector.items()}
    assert len(rows) == len(vector)
    return rows


def _vector(rows: Rows, *labels: str) -> Vector:
    return {frozenset(zip(labels, key, strict=True)): value for key, value in rows.items()}


def _number(value: float) -> Vector:
    return {frozenset(): value}


def _mean(values: Iterable[float]) -> Vector:
    listed = list(values)
    return _number(sum(listed) / len(listed))


def _overview(rows: Callable[..., Rows]) -> Iterator[tuple[Query, Vector]]:
    """Work out what queries of the overview have to show."""
    yield from _overview_numbers(rows)
    yield from _overview_devices(rows)
    yield from _overview_environments_and_users(rows)
    yield from _overview_processes(rows)


def _overview_numbers(rows: Callable[..., Rows]) -> Iterator[tuple[Query, Vector]]:
    def total(name: str, *labels: str) -> float:
        return sum(rows(name, "instance", *labels).values())

    users = rows("genv_user_environments_total", "instance", "username")
    devices = rows("genv_device_temperature", "instance", "index")
    in_environments = total("genv_environment_processes_total", "eid")
    yield ("stat", "Genv installed", "A"), _number(100)
    yield ("stat", "Environments", "A"), _number(total("genv_environments_total"))
    yield ("stat", "Users", "A"), _number(len({username for _, username in users}))
    yield ("stat", "GPUs attached", "A"), _number(total("genv_attached_devices_total"))
    yield ("stat", "Attached GPUs", "A"), _number(100 * total("genv_attached_devices_total") / len(devices))
    yield ("stat", "GPU processes", "A"), _number(total("genv_processes_total"))
    yield ("stat", "In environments", "A"), _number(100 * in_environments / total("genv_processes_total"))
    yield ("stat", "GPUs free", "A"), _number(total("genv_device_free", "index"))
    yield (
        ("stat", "GPUs down", "A"),
        _number(len(devices) - total("genv_device_up", "index") + total("genv_devices_missing")),
    )
    yield ("stat", "Hottest GPU", "A"), _number(max(devices.values()))


def _overview_devices(rows: Callable[..., Rows]) -> Iterator[tuple[Query, Vector]]:
    device = ("instance", "index")
    utilization = rows("genv_device_utilization", *device)
    total = rows("genv_device_memory_total_bytes", *device)
    used = rows("genv_device_memory_used_bytes", *device)
    memory = {key: 100 * used[key] / total[key] for key in total}
    temperature = rows("genv_device_temperature", *device)
    values = {"Compute utilisation": utilization, "Memory": memory, "Temperature": temperature}
    for what, value in values.items():
        yield ("gauge", f"{what}, average", "A"), _mean(value.values())
        yield ("timeseries", f"{what} by GPU", "A"), _vector(value, *device)
        yield ("timeseries", f"{what} by GPU", "B"), _mean(value.values())


def _overview_environments_and_users(rows: Callable[..., Rows]) -> Iterator[tuple[Query, Vector]]:
    memory: dict[tuple[str, ...], float] = defaultdict(float)
    uses = rows("genv_process_used_gpu_memory_bytes", "instance", "eid", "pid", "device")
    for (instance, eid, _, _), value in uses.items():
        memory[instance, eid] += value

    labels = ("instance", "eid", "username", "name")
    names = {key[:2]: key for key in rows("genv_environment_info", *labels)}
    devices = rows("genv_environment_attached_devices_total", "instance", "eid")
    yield ("table", "Who holds GPUs", "A"), _vector({names[key]: value for key, value in devices.items()}, *labels)
    yield ("table", "Who holds GPUs", "C"), _vector({names[key]: memory[key] for key in devices}, *labels)

    user = ("instance", "username")
    for reference, what in zip("ABC", ("environments", "attached_devices", "processes"), strict=True):
        values = rows(f"genv_user_{what}_total", *user)
        yield ("table", "Users of each machine", reference), _vector(values, *user)


def _overview_processes(rows: Callable[..., Rows]) -> Iterator[tuple[Query, Vector]]:
    labels = ("instance", "pid", "eid", "device")
    uses = rows("genv_process_used_gpu_memory_bytes", *labels)
    devices = rows("genv_process_devices_total", "instance", "pid", "eid")
    described = rows("genv_process_info", "instance", "pid", "eid", "username", "command")
    infos = {key[:3]: key[3:] for key in described}

    def shown(values: Rows) -> Vector:
        named = {(*key[:2], key[2] or "(none)", key[3], *infos[key[:3]]): value for key, value in values.items()}
        return _vector(named, *labels, "username", "command")

    yield ("table", "Processes", "A"), shown({key: devices[key[:3]] for key in uses})
    yield ("table", "Processes", "B"), shown(uses)


def test_the_table_of_gpus_shows_each_with_everybody_on_it(
    machines: Mapping[str, int], prometheus: Prometheus, published: Path
) -> None:
    time = min(prometheus.query("timestamp(up)").values())
    shown = _shown(prometheus, published, machines, "overview", time)
    states = {
        tuple(dict(labels).get(name, "") for name in ("instance", "index", "username", "name")): value
        for labels, value in shown["table", "GPUs", "A"].items()
    }
    free = _rows(prometheus, time, "genv_device_free", "instance", "index")
    used = {key[:2]: value for key, value in states.items() if key[2:] != ("", "")}
    assert {key[:2] for key in states} == set(free)
    assert {key[:2] for key, value in states.items() if value == 1} == {key for key, value in free.items() if value}
    assert set(used) == {key for key, value in free.items() if not value}

    held = _rows(prometheus, time, "genv_environment_device_attached", "instance", "eid", "index")
    infos = _rows(prometheus, time, "genv_environment_info", "instance", "eid", "username", "name")
    names = {key[:2]: key[2:] for key in infos}
    assert {(instance, index, *names[instance, eid]) for instance, eid, index in held} <= set(states)
    attached = {(instance, index) for instance, _, index in held}
    assert {key for key, value in used.items() if value in (2, 5)} == attached
    assert {key for key, value in used.items() if value == 3} == set(used) - attached


# The numbers of the people, likewise.


def test_the_people_of_several_machines_are_right(
    machines: Mapping[str, int], prometheus: Prometheus, published: Path
) -> None:
    time = min(prometheus.query("timestamp(up)").values())
    shown = _shown(prometheus, published, machines, "people", time)
    expected = dict(_people(lambda name, *labels: _rows(prometheus, time, name, *labels)))
    for query, values in expected.items():
        assert shown[query] == pytest.approx(values), query

    window = _BUILT_IN["__range"]
    counters = ("allocated_device_seconds", "active_device_seconds", "idle_device_seconds", "energy_joules")
    for reference, counter in zip("ABCF", counters, strict=True):
        hours: dict[tuple[str, ...], float] = defaultdict(float)
        rises = _rows(prometheus, time, f"increase(genv_user_{counter}_total[{window}])", "instance", "username")
        for (_, username), rise in rises.items():
            hours[(username,)] += rise / (3.6e6 if "joules" in counter else 3600)
        assert max(hours.values()) > 0
        assert len(rises) > len(hours), "somebody is on several machines"
        assert shown["table", "GPU-hours by user", reference] == pytest.approx(_vector(hours, "username")), counter


def _people(rows: Callable[..., Rows]) -> Iterator[tuple[Query, Vector]]:
    """Work out what queries of the people have to show."""
    held = rows("genv_environment_device_attached", "instance", "eid", "index")
    (grace,) = set(rows("genv_monitor_idle_grace_seconds", "instance").values())
    without_work = rows("genv_environment_idle_seconds", "instance", "eid")
    idle = {key: seconds if seconds >= grace else 0.0 for key, seconds in without_work.items()}
    on_each = rows("genv_environment_device_idle_seconds", "instance", "eid", "index")
    holders: dict[tuple[str, str], list[float]] = defaultdict(list)
    for instance, eid, index in held:
        seconds = on_each[instance, eid, index]
        holders[instance, index].append(seconds if seconds >= grace else 0.0)
    forgotten = [times for times in holders.values() if min(times) > 0]
    assert forgotten
    yield ("stat", "GPUs attached", "A"), _number(len(holders))
    yield ("stat", "GPUs idle", "A"), _number(len(forgotten))
    broken = rows("genv_environment_violation", "instance", "eid", "rule")
    yield ("stat", "Broken rules", "A"), _number(sum(broken.values()))

    infos = rows("genv_environment_info", "instance", "eid", "username", "name")
    infos_by_eid = {key[:2]: key[2:] for key in infos}
    memory: dict[tuple[str, ...], float] = defaultdict(float)
    uses = rows("genv_environment_used_gpu_memory_bytes", "instance", "eid", "device")
    for (instance, eid, _), value in uses.items():
        memory[instance, eid] += value
    labels = ("instance", "eid", "username", "name")
    yield ("table", "Environments", "C"), _vector({key: memory[key[:2]] for key in infos}, *labels)
    idle_of = {key: idle[key[:2]] for key in infos if key[:2] in idle}
    yield ("table", "Environments", "H"), _vector(idle_of, *labels)
    limits = rows("genv_environment_memory_limit_bytes", "instance", "eid")
    shares = {key: value / limits[key[:2]] for key, value in uses.items() if limits.get(key[:2])}
    assert shares
    by_gpu = {(*key, *infos_by_eid[key[:2]]): share for key, share in shares.items()}
    yield ("table", "Environments by GPU", "C"), _vector(by_gpu, "instance", "eid", "device", "username", "name")


# The numbers of one machine, and of the processes, likewise.


def test_who_holds_the_devices_of_a_machine_is_right(
    machines: Mapping[str, int], prometheus: Prometheus, published: Path
) -> None:
    here = _largest(machines)
    time = min(prometheus.query("timestamp(up)").values())
    shown = _shown(prometheus, published, machines, "machine", time)

    def rows(name: str, *labels: str) -> Rows:
        return {key: value for key, value in _rows(prometheus, time, name, *labels).items() if key[0] == here}

    held = rows("genv_environment_device_attached", "instance", "eid", "index")
    memory = rows("genv_environment_used_gpu_memory_bytes", "instance", "eid", "device")
    names = {key[:2]: key[2:] for key in rows("genv_environment_info", "instance", "eid", "username", "name")}
    labels = ("instance", "eid", "index", "username", "name")
    taken = {(*key, *names[key[:2]]): memory[key] for key in held}
    assert shown["table", "Attached GPUs", "B"] == pytest.approx(_vector(taken, *labels))

    holders = Counter(index for _, _, index in held)
    models = rows("genv_device_info", "instance", "index", "name")
    assert len({name for _, _, name in models}) == 2
    by_device = {key: float(holders[key[1]]) for key in models}
    assert shown["table", "GPUs", "K"] == _vector(by_device, "instance", "index", "name")

    temperature = rows("genv_device_temperature", "instance", "index")
    slowdown = rows('genv_device_temperature_threshold_celsius{threshold="slowdown"}', "instance", "index")
    margin = rows("genv_device_temperature_margin_celsius", "instance", "index")
    below = {key: margin.get(key, slowdown[key] - temperature[key]) for key in temperature}
    assert shown["bargauge", "Degrees below slowdown", "A"] == _vector(below, "instance", "index")


def test_whose_the_processes_are_is_right(machines: Mapping[str, int], prometheus: Prometheus, published: Path) -> None:
    time = min(prometheus.query("timestamp(up)").values())
    shown = _shown(prometheus, published, machines, "processes", time)
    described = ("instance", "pid", "eid", "username", "command", "type", "cgroup_kind", "cgroup")
    infos = {key[:3]: key for key in _rows(prometheus, time, "genv_process_info", *described)}
    memory = _rows(prometheus, time, "genv_process_used_gpu_memory_bytes", "instance", "pid", "eid", "device")

    assert any(len(key[-1]) == 64 for key in infos.values()), "a container"

    def vector(where: Callable[[str, str], bool]) -> Vector:
        chosen: Rows = {}
        for (instance, pid, eid, device), value in memory.items():
            *description, cgroup = infos[instance, pid, eid][3:]
            description.append(cgroup[:12] if len(cgroup) == 64 else cgroup)
            if where(eid, description[2]):
                key = (instance, pid, eid or "(none)", *description, device)
                chosen[key] = value
        return _vector(chosen, *described, "device")

    assert shown["table", "Processes", "B"] == vector(lambda eid, kind: True)
    outside = vector(lambda eid, kind: not eid and kind != "graphics")
    assert outside
    assert shown["table", "Processes outside genv", "B"] == outside


def _shown(
    prometheus: Prometheus, published: Path, machines: Mapping[str, int], name: str, time: float
) -> dict[Query, Vector]:
    dashboard = _dashboard(published, name)
    choices = _choices(dashboard, prometheus, machines, all_values=True)
    return {
        query: prometheus.query(_interpolated(target["expr"], choices), time)
        for query, target in _targets(dashboard).items()
    }


# The published prometheus.yml.


def test_a_machine_that_stops_is_down_until_it_is_back(tmp_path: Path) -> None:
    arguments = ("--demo", "2", *QUICK, "--config-dir", tmp_path)
    with Monitor(arguments) as monitor:
        config = each_second(tmp_path / "prometheus/prometheus.yml")
        with Prometheus(config, tmp_path / "data") as running:
            _wait_for_up(running, 1)
            devices = 'genv_device_temperature{index="1"}'
            assert len(running.query(devices)) == 1
            assert monitor.stop() == 0
            _wait_for_up(running, 0)
            assert running.query(devices) == {}
            with Monitor((*arguments, "--port", str(monitor.port))):
                _wait_for_up(running, 1)
                assert len(running.query(devices)) == 1


def _wait_for_up(running: Prometheus, value: float) -> None:
    wait_for(lambda: list(running.query("up").values()) == [value], f"up is {value}")


def test_promtool_accepts_the_published_configuration(machine: Monitor, published: Path) -> None:
    done = _promtool("check", "config", str(published / "prometheus/prometheus.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_runs_on_the_published_configuration(machine: Monitor, slow_prometheus: Prometheus) -> None:
    (target,) = wait_for(lambda: [one for one in slow_prometheus.targets() if one["health"] != "unknown"], "a scrape")
    assert (target["health"], target["lastError"]) == ("up", "")
    assert target["scrapeInterval"] == "15s"
    labels = {"job": "genv", "instance": _target(machine)}
    assert target["labels"] == labels

    assert wait_for(lambda: slow_prometheus.query("up"), "up") == {frozenset({"__name__": "up", **labels}.items()): 1}
    assert len(CONTRACT) == 16
    found = {metric.name: [dict(labels) for labels in slow_prometheus.query(metric.name)] for metric in CONTRACT}
    assert [name for name, series in found.items() if not series] == []
    for metric in CONTRACT:
        names = {"__name__", *labels, *metric.labels}
        # Prometheus has no empty labels: to it, no label and an empty one are the same.
        for series in found[metric.name]:
            assert set(series) | ({"eid"} & set(metric.labels)) == names, metric.name


# The two formats.


ACCEPT = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
)
"""What Prometheus 2 and 3 say they take."""


@pytest.mark.parametrize("accept", ACCEPT)
def test_prometheus_gets_openmetrics(accept: str, still: Monitor) -> None:
    plain = still.get("/metrics", {"Accept": accept})
    assert plain.status == 200
    assert plain.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert plain.body.endswith(b"# EOF\n")
    compressed = still.get("/metrics", {"Accept": accept, "Accept-Encoding": "gzip"})
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(compressed.body) == plain.body


def test_prometheus_understands_openmetrics(prometheus: Prometheus, machines: Mapping[str, int]) -> None:
    # Only OpenMetrics names a counter without its suffix.
    found = prometheus.metadata("genv_monitor_collections")
    assert [one["type"] for one in found] == ["counter"] * len(machines)
    assert {one["type"] for one in prometheus.metadata("genv_users_total")} == {"gauge"}


def test_both_formats_say_the_same(still: Monitor) -> None:
    text = still.get("/metrics").body.decode()
    openmetrics = still.get("/metrics", {"Accept": "application/openmetrics-text"}).body.decode()
    in_text = list(parse_text(text))
    in_openmetrics = list(parse_openmetrics(openmetrics))  # type: ignore[no-untyped-call]
    assert {metric.name for metric in CONTRACT} <= {family.name for family in in_text}
    assert _described(in_text) == _described(in_openmetrics)
    assert _series(in_text) == _series(in_openmetrics)


def _described(families: Sequence[Family]) -> dict[str, tuple[str, str]]:
    return {family.name: (family.type, family.documentation) for family in families}


def _series(families: Sequence[Family]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    samples = list(itertools.chain.from_iterable(family.samples for family in families))
    series = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}
    assert len(series) == len(samples)
    return series


# What promtool has against the metrics.

# Contract: the names are fixed.
KNOWN_LINTS = {
    metric.name: f'{metric.name} non-counter metrics should not have "_total" suffix'
    for metric in CONTRACT
    if metric.name.endswith("_total")
}


def test_promtool_minds_only_the_names_of_the_contract_on_a_simulated_machine(still: Monitor) -> None:
    assert _minded(still) == set(KNOWN_LINTS)
    assert len(KNOWN_LINTS) == 10


def test_promtool_minds_only_the_names_of_the_contract_on_this_machine(state_directory: Path) -> None:
    with Monitor(STILL) as monitor:
        # There is an answer to how many environments there are with or without a GPU.
        assert "genv_environments_total" in _minded(monitor)


def test_promtool_minds_only_the_names_of_the_contract_with_a_driver(
    state_directory: Path, nvml_library: Path, scenario: Scenario
) -> None:
    scenario.gpus = [Gpu("GPU-0", processes=[Process(os.getpid(), 1 << 30)]), Gpu("GPU-1")]
    scenario.write()
    with Monitor(STILL, scenario.environment(nvml_library)) as monitor:
        assert {"genv_process_devices_total", "genv_processes_total"} <= _minded(monitor)


def _minded(monitor: Monitor) -> set[str]:
    """Return the metrics that promtool has something against; it may have only what is known."""
    text = monitor.get("/metrics").body.decode()
    there = {family.name for family in parse_text(text)}
    done = _promtool("check", "metrics", text=text)
    minded = there & set(KNOWN_LINTS)
    assert sorted(done.stderr.splitlines()) == sorted(KNOWN_LINTS[name] for name in minded)
    assert (done.stdout, done.returncode) == ("", 3)
    return minded


def _promtool(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    command = (debian.promtool(), *arguments)
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


# What the published files say.

NAMES = (
    "plain",
    "with space",
    "single'quote",
    'double"quote',
    "back`quote",
    "co:lon",
    "semi;colon",
    "semi ;colon",
    "ha#sh",
    "ha #sh",
    "dol$lar",
    "dollar$HOME",
    "per%cent",
    "back\\slash",
    "open [bracket",
    "question?",
    "aster*isk",
    "{braces} [brackets], & * ! | > @",
    "umläut",
    "\N{SNOWMAN}\N{GRINNING FACE}",
)


def test_the_machine_publishes_where_it_serves(machine: Monitor, published: Path) -> None:
    # It was told to take any free port.
    _check_prometheus(published, f"{published_host()}:{machine.port}")
    _check_grafana(published)


@pytest.mark.parametrize("name", NAMES)
def test_the_files_lead_to_the_published_directory(name: str, tmp_path: Path) -> None:
    directory = tmp_path / name
    _publish("--config-dir", directory, "--port", "9400")
    _check_prometheus(directory, f"{published_host()}:9400")
    _check_grafana(directory)
    done = _promtool("check", "config", str(directory / "prometheus/prometheus.yml"))
    assert f"SUCCESS: {len(RULES)} rule files found" in done.stdout, done.stdout + done.stderr


def test_the_rules_go_with_the_configuration(tmp_path: Path) -> None:
    _publish("--config-dir", tmp_path / "here")
    (tmp_path / "here/prometheus").rename(tmp_path / "elsewhere")
    done = _promtool("check", "config", str(tmp_path / "elsewhere/prometheus.yml"))
    assert f"SUCCESS: {len(RULES)} rule files found" in done.stdout, done.stdout + done.stderr


def test_a_relative_directory_becomes_absolute(tmp_path: Path) -> None:
    _publish("--config-dir", "below", directory=tmp_path)
    _check_grafana(tmp_path / "below")


@pytest.mark.parametrize("url", ["https://prometheus.example:9091/path", "http://localhost:9091/?a=$HOME&b=#c"])
def test_the_data_source_is_the_configured_prometheus(url: str, tmp_path: Path) -> None:
    config = tmp_path / "monitor.yaml"
    config.write_text(yaml.safe_dump({"publish": {"prometheus_url": url, "directory": str(tmp_path)}}))
    _publish("--config", config)
    _check_grafana(tmp_path, url)


def _publish(*arguments: str | Path, directory: Path | None = None) -> None:
    done = subprocess.run([PROGRAM, "publish", *arguments], cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _check_prometheus(directory: Path, target: str) -> None:
    content = _load(directory / "prometheus/prometheus.yml")
    assert content["global"] == {"scrape_interval": "15s", "evaluation_interval": "15s"}
    (job,) = content["scrape_configs"]
    assert job["job_name"] == "genv"
    assert job["static_configs"] == [{"targets": [target]}]


def _check_grafana(directory: Path, prometheus_url: str = "http://localhost:9090") -> None:
    assert directory.is_absolute()
    grafana = directory / "grafana"
    ini = _load_ini(grafana / "grafana.ini")
    assert ini["auth.anonymous"] == {"enabled": "true", "org_name": "Main Org.", "org_role": "Viewer"}
    assert ini["paths"] == {"provisioning": str(grafana / "provisioning")}
    home = grafana / "dashboards/overview.json"
    assert ini["dashboards"] == {"default_home_dashboard_path": str(home)}
    assert json.loads(home.read_text(encoding="utf-8"))["uid"] == "genv-overview"

    (source,) = _load(grafana / "provisioning/datasources/default.yml")["datasources"]
    assert _provisioned(source.pop("url")) == prometheus_url
    assert source.pop("name")
    assert source == {"type": "prometheus", "uid": "genv-prometheus", "access": "proxy", "isDefault": True}

    (provider,) = _load(grafana / "provisioning/dashboards/default.yml")["providers"]
    assert provider["type"] == "file"
    dashboards = Path(_provisioned(provider["options"]["path"]))
    assert dashboards == grafana / "dashboards"
    assert sorted(path.stem for path in dashboards.glob("*.json")) == DASHBOARDS


def _load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _load_ini(path: Path) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(path.read_text(encoding="utf-8"))
    return {section: {key: _unquoted(value) for key, value in parser[section].items()} for section in parser.sections()}


def _unquoted(value: str) -> str:
    """Read a value of an INI file as Grafana does (its library: gopkg.in/ini.v1)."""
    if value.startswith("`"):
        return value[1 : value.rindex("`", 1)]
    value = re.split("[#;]", value)[0].strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" and value[0] not in value[1:-1]:
        value = value[1:-1]
    assert not re.search(r"\$(__\w+)?\{", value), "Grafana takes this for a variable"
    return value


def _provisioned(value: str) -> str:
    """Read a value of a provisioning file as Grafana does: ``$$`` is a dollar sign, ``$`` begins a variable."""
    parts = value.split("$$")
    assert not any("$" in part for part in parts), f"Grafana takes part of this for a variable: {value}"
    return "$".join(parts)
