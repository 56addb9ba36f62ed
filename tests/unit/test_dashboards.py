"""The published dashboards: valid for any Grafana, with queries of existing metrics."""

import importlib.util
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from genvd.metrics import ALL
from genvd.metrics.contract import CONTRACT
from genvd.metrics.service import SERIES_DROPPED
from tests.support import debian, rules

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "genvd/publish/files/grafana/dashboards"
RULES = ROOT / "genvd/publish/files/prometheus/rules"
DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
OF_ONE_MACHINE = ("machine", "monitor")

METRICS = {metric.name: metric for metric in (*ALL, SERIES_DROPPED)}
SIXTEEN = {metric.name for metric in CONTRACT}
PROCESS = {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"}
"""Metrics of the process that prometheus-client exports."""

FROM_PROMETHEUS = {"ALERTS", "ALERTS_FOR_STATE"}

SELECTORS = re.compile(r"(?<![\w:$])([a-zA-Z_]\w*(?::\w+)*)(\{[^}]*\})")
"""A selector: a name and its matchers."""

VARIABLES = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|([A-Za-z_]\w*))")

needs_sdk = pytest.mark.skipif(
    importlib.util.find_spec("grafana_foundation_sdk") is None, reason="the Grafana SDK is not installed"
)
every_dashboard = pytest.mark.parametrize("path", sorted(PUBLISHED.glob("*.json")), ids=lambda path: path.stem)

Json = dict[str, Any]


def load(path: Path) -> Json:
    loaded: Json = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def panels(dashboard: Json) -> list[Json]:
    """Return all panels, including those in collapsed rows."""
    return [inner for panel in dashboard["panels"] for inner in (panel, *panel.get("panels", []))]


def targets(dashboard: Json) -> Iterator[Json]:
    return itertools.chain.from_iterable(panel.get("targets", []) for panel in panels(dashboard))


def expressions(dashboard: Json) -> list[str]:
    return [target["expr"] for target in targets(dashboard)]


def run_tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.dashboards", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@needs_sdk
def test_check_passes_after_writing_and_fails_after_any_change(tmp_path: Path) -> None:
    there = ["--directory", str(tmp_path)]
    assert run_tool("--check", *there).returncode == 1
    assert run_tool(*there).returncode == 0
    assert run_tool("--check", *there).returncode == 0
    overview = tmp_path / "overview.json"
    overview.write_text(overview.read_text(encoding="utf-8").replace("now-6h", "now-2h"), encoding="utf-8")
    done = run_tool("--check", *there)
    assert done.returncode == 1
    assert "now-2h" in done.stdout


@needs_sdk
def test_check_fails_on_a_dashboard_without_code(tmp_path: Path) -> None:
    there = ["--directory", str(tmp_path)]
    run_tool(*there)
    (tmp_path / "stray.json").write_text("{}", encoding="utf-8")
    done = run_tool("--check", *there)
    assert done.returncode == 1
    assert "stray.json" in done.stdout


@every_dashboard
def test_the_json_is_formatted(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"


@every_dashboard
def test_it_can_be_imported_into_any_grafana(path: Path) -> None:
    dashboard = load(path)
    assert "__inputs" not in dashboard
    assert dashboard["id"] is None
    assert dashboard["uid"] == f"genv-{path.stem}"
    assert "genv" in dashboard["tags"]


@every_dashboard
def test_everything_uses_the_chosen_data_source(path: Path) -> None:
    dashboard = load(path)
    first, *others = dashboard["templating"]["list"]
    assert [
        one for one in (*panels(dashboard), *targets(dashboard), *others) if one.get("datasource") != DATA_SOURCE
    ] == []
    provisioned = yaml.safe_load((PUBLISHED.parent / "provisioning/datasources/default.yml").read_text())
    (source,) = provisioned["datasources"]
    assert (first["type"], first["name"], first["query"]) == ("datasource", "datasource", source["type"])
    assert (first["current"]["value"], first["current"]["text"]) == (source["uid"], source["name"])


@every_dashboard
def test_machines_can_be_chosen(path: Path) -> None:
    (variable,) = [one for one in load(path)["templating"]["list"] if one["name"] == "instance"]
    assert variable["query"]["query"] == 'label_values(genv_is_installed{job=~"$job"}, instance)'
    one_only = path.stem in OF_ONE_MACHINE
    assert (variable["multi"], variable["includeAll"]) == (not one_only, not one_only)
    assert variable.get("allValue") == (None if one_only else ".*")


@every_dashboard
def test_jobs_can_be_chosen(path: Path) -> None:
    """All stands for the jobs that there are: other targets of the Prometheus do not count."""
    (variable,) = [one for one in load(path)["templating"]["list"] if one["name"] == "job"]
    assert variable["query"]["query"] == "label_values(genv_is_installed, job)"
    assert variable["multi"] and variable["includeAll"] and not variable.get("allValue")
    assert all('job="' not in expression for expression in expressions(load(path)))


def test_a_variable_is_the_same_on_every_dashboard() -> None:
    found: dict[str, set[tuple[str, ...]]] = {}
    for path in PUBLISHED.glob("*.json"):
        for variable in load(path)["templating"]["list"]:
            found.setdefault(variable["name"], set()).add((variable["label"], variable["type"]))
    assert {name: len(same) for name, same in found.items() if len(same) != 1} == {}
    assert set(found) == {"datasource", "job", "instance", "username", "eid", "device", "pid"}


@every_dashboard
def test_variables_are_defined_before_they_are_used_and_used(path: Path) -> None:
    dashboard = load(path)
    defined = {"__range", "__rate_interval"}
    for variable in dashboard["templating"]["list"]:
        query = variable["query"]["query"] if variable["type"] == "query" else ""
        assert variables(query) <= defined, variable["name"]
        defined.add(variable["name"])
    used = set().union(*map(variables, expressions(dashboard)))
    assert used <= defined
    assert defined - used <= {"datasource", "__range", "__rate_interval"}


def variables(text: str) -> set[str]:
    return {braced or plain for braced, plain in VARIABLES.findall(text)}


@every_dashboard
def test_every_panel_has_a_title_and_a_description(path: Path) -> None:
    shown = [panel for panel in panels(load(path)) if panel["type"] != "row"]
    assert [panel["title"] for panel in shown if not panel.get("description", "").endswith(".")] == []
    assert [panel["id"] for panel in shown if not panel.get("title")] == []


@every_dashboard
def test_panel_ids_are_unique(path: Path) -> None:
    ids = [panel["id"] for panel in panels(load(path))]
    assert all(isinstance(number, int) and number > 0 for number in ids)
    assert len(ids) == len(set(ids))


@every_dashboard
def test_panels_fill_the_grid_without_overlap(path: Path) -> None:
    dashboard = load(path)
    fill_the_grid(dashboard["panels"], 0)
    for row in dashboard["panels"]:
        if row.get("panels"):  # of a closed row, below its heading
            fill_the_grid(row["panels"], row["gridPos"]["y"] + 1)


def fill_the_grid(some: list[Json], top: int) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in some:
        place = panel["gridPos"]
        assert place["x"] >= 0 and place["y"] >= 0 and place["w"] > 0 and place["h"] > 0
        assert place["x"] + place["w"] <= COLUMNS, panel["title"]
        columns = range(place["x"], place["x"] + place["w"])
        cells = set(itertools.product(columns, range(place["y"], place["y"] + place["h"])))
        assert not cells & taken, panel["title"]
        taken |= cells
    height = max(y for _, y in taken) + 1 - top
    assert len(taken) == COLUMNS * height


def test_the_machine_can_be_looked_over() -> None:
    """Its height in Grafana's grid, 38 pixels a unit, and the queries when it is opened."""
    dashboard = load(PUBLISHED / "machine.json")
    assert len(panels(dashboard)) <= 50
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    assert height * 38 < 2000
    assert len([target for panel in dashboard["panels"] for target in panel.get("targets", [])]) <= 30


def test_the_home_answers_without_scrolling() -> None:
    """What Grafana shows at 1280 x 900 below its bars and the variables: 20 units of its grid."""
    dashboard = load(PUBLISHED / "overview.json")
    first_row = next(panel for panel in dashboard["panels"] if panel["type"] == "row")
    assert first_row["gridPos"]["y"] <= 20
    above = {panel["title"] for panel in dashboard["panels"] if panel["gridPos"]["y"] < first_row["gridPos"]["y"]}
    assert above >= {"GPUs free", "GPUs", "Who holds GPUs", "Alerts firing", "GPU-hours of the last 24 hours"}


def links(dashboard: Json) -> Iterator[tuple[str, Json]]:
    """Yield the URLs of all links, each with its panel or dashboard."""
    yield from ((link["url"], dashboard) for link in dashboard["links"])
    for panel in panels(dashboard):
        for override in panel.get("fieldConfig", {}).get("overrides", []):
            for one in override["properties"]:
                if one["id"] == "links":
                    yield from ((link["url"], panel) for link in one["value"])


@every_dashboard
def test_links_lead_to_dashboards_and_pass_variables(path: Path) -> None:
    dashboard = load(path)
    there = {load(other)["uid"]: load(other) for other in PUBLISHED.glob("*.json")}
    here = {variable["name"] for variable in dashboard["templating"]["list"]}
    found = list(links(dashboard))
    assert len(found) > len(dashboard["links"]), "rows lead nowhere"
    for url, on in found:
        if "/page/docs/" in url:  # of a monitor
            assert url.startswith("${__data.fields.Page:raw}/") and "Page" in titles(on).values()
            continue
        address, _, query = url.partition("?")
        goal = there[address.removeprefix("/d/")]
        assert goal["uid"] != dashboard["uid"] or on is not dashboard
        names = {variable["name"] for variable in goal["templating"]["list"]}
        carried = set(re.findall(r"\$\{(\w+):queryparam\}", query))
        chosen = dict(re.findall(r"var-(\w+)=([^&]+)", query))
        assert carried <= here
        assert carried | set(chosen) <= names, url
        if on is not dashboard:
            assert {"datasource", "job"} <= carried and "instance" in carried | set(chosen), url
            assert query.endswith("&${__url_time_range}")
            columns = set(titles(on).values())
            for value in chosen.values():
                column = re.fullmatch(r"\$\{__data\.fields\.(\w+)\}", value)
                assert (column and column[1] in columns) or value == "${__value.raw}", url


@every_dashboard
def test_each_dashboard_links_to_all_others(path: Path) -> None:
    dashboard = load(path)
    there = {load(other)["uid"] for other in PUBLISHED.glob("*.json")}
    assert {link["url"] for link in dashboard["links"]} == {f"/d/{uid}" for uid in there - {dashboard["uid"]}}
    assert all(link["includeVars"] and link["keepTime"] and link["type"] == "link" for link in dashboard["links"])


def titles(panel: Json) -> dict[str, str]:
    """Return the titles of the columns of a table by the names of the fields."""
    (organize,) = [one["options"] for one in panel["transformations"] if one["id"] == "organize"]
    renamed: dict[str, str] = organize["renameByName"]
    return {field: title for field, title in renamed.items() if not organize["excludeByName"].get(field)}


def labels_of(name: str) -> set[str]:
    """Return the labels of a metric in Prometheus."""
    own = set(METRICS[name].labels) if name in METRICS else set()
    if "instance" in own:  # that is the name of the machine
        own = own - {"instance"} | {"exported_instance"}
    return own | {"instance", "job"}


@every_dashboard
def test_queries_use_existing_metrics_of_the_chosen_machines(path: Path) -> None:
    chosen = f'instance{"=" if path.stem in OF_ONE_MACHINE else "=~"}"$instance", job=~"$job"'
    for expression in expressions(load(path)):
        for name, matchers in SELECTORS.findall(expression):
            if name in FROM_PROMETHEUS:
                assert path.stem in ("fleet", "overview")
                continue
            if name.startswith(("username:", "name:")):  # of all machines
                assert matchers == '{job=~"$job"}'
                continue
            assert matchers.startswith("{" + chosen), name
            if ":" not in name and name not in PROCESS:
                assert set(re.findall(r"(\w+)[=!]~?\"", matchers)) <= labels_of(name), name
        for labels, name in re.findall(r"by \(([\w, ]+)\) \((?:\w+\()?(genv_\w+)\{", expression):
            assert set(labels.split(", ")) <= labels_of(name), (labels, name)
        for name in re.findall(r"(?<![\w:])genv_\w+(?!\w*:)", expression):
            assert name in METRICS, name


def recorded() -> set[str]:
    groups = [group for path in RULES.glob("*.yml") for group in yaml.safe_load(path.read_text())["groups"]]
    return {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}


def test_the_fleet_uses_recorded_metrics_only() -> None:
    asked = set()
    for expression in expressions(load(PUBLISHED / "fleet.json")):
        names = set(re.findall(r"(?<![\w:$])[a-z_]+:\w+:\w+", expression))
        assert names or {name for name, _ in SELECTORS.findall(expression)} & FROM_PROMETHEUS, expression
        # Whether a machine serves its pages with TLS is one series for each machine.
        assert set(re.findall(r"(?<![\w:])genv_\w+", expression)) <= {
            "genv_monitor_certificate_not_after_timestamp_seconds"
        }
        asked |= names
    assert asked <= recorded()
    assert recorded() - asked == set(), "each recorded metric is shown"


def test_each_metric_is_on_a_dashboard() -> None:
    queries = " ".join(query for path in PUBLISHED.glob("*.json") for query in expressions(load(path)))
    shown = {name for name, _ in SELECTORS.findall(queries)}
    assert set(METRICS) - shown == set()


def test_recovery_actions_have_the_names_of_the_label() -> None:
    """Red are those with a critical alert."""
    (panel,) = [one for one in panels(load(PUBLISHED / "machine.json")) if one["title"] == "Recovery action"]
    ((mapping,), (target,)) = panel["fieldConfig"]["defaults"]["mappings"], panel["targets"]
    told = METRICS["genv_device_recovery_action"].help.partition("as action: ")[2]
    assert {one["text"] for one in mapping["options"].values()} == set(re.findall(r"\w+", told)) - {"or"}
    for number, one in mapping["options"].items():
        query = rf'(?:^| or ){number} \* max by \(instance, index\) \(\w+\{{[^}}]*action="{one["text"]}"\}}\)'
        assert re.search(query, target["expr"]), one["text"]
    critical = [alert["expr"] for alert in rules.rules("alert") if _is_critical(alert, "GenvDeviceRecoveryAction")]
    red = [one["text"] for one in mapping["options"].values() if one["color"] == "red"]
    assert re.findall(r'action=~"([\w|]+)"', critical[0])[0].split("|") == sorted(red, key=critical[0].index)


def _is_critical(alert: Json, name: str) -> bool:
    return bool(alert["alert"] == name and alert["labels"]["severity"] == "critical")


UNITS = {
    "_bytes": "bytes",
    "_celsius": "celsius",
    "_temperature": "celsius",
    "_watts": "watt",
    "_hertz": "hertz",
    "_ratio": "percentunit",
    "_bytes_per_second": "binBps",
    "_idle_seconds": "s",
    "_duration_seconds": "s",
    "_timestamp_seconds": "dateTimeFromNow",
    "genv_device_utilization": "percent",
}


@every_dashboard
def test_values_have_the_unit_of_their_metric(path: Path) -> None:
    for panel in panels(load(path)):
        defaults = panel.get("fieldConfig", {}).get("defaults", {})
        if panel["type"] == "table":
            shown = {title: properties(panel, title) for title in titles(panel).values()}
            units = {field[-1]: shown[title]["unit"] for field, title in titles(panel).items() if "#" in field}
        else:
            units = {target["refId"]: defaults.get("unit") for target in panel.get("targets", [])}
        for target in panel.get("targets", []):
            if target["refId"] not in units:
                continue
            unit = units[target["refId"]]
            assert unit, panel["title"]
            names = {name for name, _ in SELECTORS.findall(target["expr"])} - {"genv_environment_info"}
            changed = re.search(r"/|rate\(|increase\(|count|time\(\)", target["expr"])
            if len(names) == 1 and not changed:
                (name,) = names
                for ending, expected in UNITS.items():
                    if name.endswith(ending):
                        assert unit == expected, (panel["title"], name)


def properties(panel: Json, column: str) -> Json:
    found: Json = {}
    for override in panel["fieldConfig"]["overrides"]:
        if override["matcher"] == {"id": "byName", "options": column}:
            found |= {one["id"]: one.get("value") for one in override["properties"]}
    return found


@every_dashboard
def test_panels_have_a_text_for_no_data(path: Path) -> None:
    if path.stem == "overview":  # older than this rule
        return
    for panel in panels(load(path)):
        if panel["type"] != "row":
            assert panel["fieldConfig"]["defaults"].get("noValue"), panel["title"]


def test_overview_shows_each_of_the_sixteen() -> None:
    queries = " ".join(expressions(load(PUBLISHED / "overview.json")))
    assert set(re.findall(r"\bgenv_\w+", queries)) >= SIXTEEN


@every_dashboard
def test_rate_and_increase_are_used_for_counters_only(path: Path) -> None:
    for expression in expressions(load(path)):
        for function, name in re.findall(r"\b(\w+)\((\w+)\{[^}]*\}\[", expression):
            if name in PROCESS:
                continue
            counter = METRICS[name].type == "counter"
            assert (function in ("rate", "increase")) == counter, expression


@every_dashboard
def test_queries_are_such_that_victoriametrics_gives_the_same(path: Path) -> None:
    """See ``replaced`` and ``of_others`` in tools/dashboards/promql.py, and ``trend`` in panels.py there."""
    for expression in expressions(load(path)):
        assert "NaN" not in expression
        maybe_unchanged = re.findall(r'(.{19}), "\w+", "[^"]*", "\w+", "(?!\(\.\*\)")[^"]*"\)', expression)
        assert set(maybe_unchanged) <= {'"none", "", "", "")'}, expression
        assert expression.count('!~"$username"') == expression.count('!~"$username"}) unless '), expression


@every_dashboard
def test_queries_parse(path: Path, tmp_path: Path) -> None:
    values = {"__rate_interval": "1m", "__range": "1h"}
    rules = []
    for number, expression in enumerate(expressions(load(path))):
        expression = VARIABLES.sub(lambda match: values.get(match[1] or match[2], ".*"), expression)
        assert not re.search(r"\$(?!1)", expression), expression
        rules.append({"record": f"query:{number}", "expr": expression})
    # JSON is YAML too.
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": path.stem, "rules": rules}]}), encoding="utf-8")
    promtool = debian.promtool()
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
