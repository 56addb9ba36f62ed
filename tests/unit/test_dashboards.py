"""The published dashboards: what the code in tools/dashboards makes, and fit for any Grafana."""

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

from genvd.metrics import ALL
from genvd.metrics.contract import CONTRACT
from tests.support import debian

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "genvd/publish/files/grafana/dashboards"
DATA_SOURCE = {"type": "prometheus", "uid": "genv-prometheus"}
COLUMNS = 24

METRICS = {metric.name for metric in ALL}
SIXTEEN = {metric.name for metric in CONTRACT}

needs_sdk = pytest.mark.skipif(
    importlib.util.find_spec("grafana_foundation_sdk") is None, reason="the Grafana SDK is not installed"
)
every_dashboard = pytest.mark.parametrize("path", sorted(PUBLISHED.glob("*.json")), ids=lambda path: path.stem)

Json = dict[str, Any]


def load(path: Path) -> Json:
    loaded: Json = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def panels(dashboard: Json) -> list[Json]:
    """All panels, those inside collapsed rows too."""
    return [inner for panel in dashboard["panels"] for inner in (panel, *panel.get("panels", []))]


def targets(dashboard: Json) -> Iterator[Json]:
    return itertools.chain.from_iterable(panel.get("targets", []) for panel in panels(dashboard))


def expressions(dashboard: Json) -> list[str]:
    return [target["expr"] for target in targets(dashboard)]


def run_tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.dashboards", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@needs_sdk
def test_what_is_committed_is_what_the_code_makes() -> None:
    done = run_tool("--check")
    assert done.returncode == 0, done.stdout + done.stderr


@needs_sdk
def test_check_passes_after_writing_and_fails_after_any_change(tmp_path: Path) -> None:
    there = ["--directory", str(tmp_path)]
    assert run_tool("--check", *there).returncode == 1
    assert run_tool(*there).returncode == 0
    assert run_tool("--check", *there).returncode == 0
    overview = tmp_path / "overview.json"
    overview.write_text(overview.read_text(encoding="utf-8").replace("now-1h", "now-2h"), encoding="utf-8")
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
def test_text_is_in_the_one_form(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"


@every_dashboard
def test_any_grafana_takes_it_as_it_is(path: Path) -> None:
    dashboard = load(path)
    assert "__inputs" not in dashboard
    assert dashboard["id"] is None
    assert dashboard["uid"] == f"genv-{path.stem}"
    assert "genv" in dashboard["tags"]


def test_uids_are_unique() -> None:
    uids = [load(path)["uid"] for path in PUBLISHED.glob("*.json")]
    assert len(uids) == len(set(uids))


@every_dashboard
def test_everything_names_the_data_source(path: Path) -> None:
    dashboard = load(path)
    asking = [*panels(dashboard), *targets(dashboard), *dashboard["templating"]["list"]]
    assert [one for one in asking if one.get("datasource") != DATA_SOURCE] == []


@every_dashboard
def test_machines_can_be_chosen(path: Path) -> None:
    (variable,) = [one for one in load(path)["templating"]["list"] if one["name"] == "instance"]
    assert variable["multi"] and variable["includeAll"]
    assert variable["allValue"] == ".*"
    assert variable["query"]["query"] == "label_values(genv_is_installed, instance)"


@every_dashboard
def test_every_panel_says_what_it_means(path: Path) -> None:
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
    taken: set[tuple[int, int]] = set()
    for panel in panels(load(path)):
        place = panel["gridPos"]
        assert place["x"] >= 0 and place["y"] >= 0 and place["w"] > 0 and place["h"] > 0
        assert place["x"] + place["w"] <= COLUMNS, panel["title"]
        columns = range(place["x"], place["x"] + place["w"])
        cells = set(itertools.product(columns, range(place["y"], place["y"] + place["h"])))
        assert not cells & taken, panel["title"]
        taken |= cells
    height = max(y for _, y in taken) + 1
    assert len(taken) == COLUMNS * height


@every_dashboard
def test_queries_use_known_metrics_of_the_chosen_machines(path: Path) -> None:
    for expression in expressions(load(path)):
        used = re.findall(r"\b(genv_\w+)(\{[^}]*\})?", expression)
        assert used, expression
        assert {name for name, _ in used} <= METRICS
        for name, matchers in used:
            assert matchers.startswith('{instance=~"$instance"'), name


def test_overview_shows_each_of_the_sixteen() -> None:
    queries = " ".join(expressions(load(PUBLISHED / "overview.json")))
    assert set(re.findall(r"\bgenv_\w+", queries)) >= SIXTEEN


@every_dashboard
def test_gauges_are_not_taken_for_counters(path: Path) -> None:
    for expression in expressions(load(path)):
        assert not re.search(r"\b(i?rate|increase|resets)\b", expression), expression


@every_dashboard
def test_queries_parse(path: Path, tmp_path: Path) -> None:
    values = {"$__rate_interval": "1m", "$__range": "1h", "$instance": ".*"}
    rules = []
    for number, expression in enumerate(expressions(load(path))):
        for variable, value in values.items():
            expression = expression.replace(variable, value)
        assert "$" not in expression
        rules.append({"record": f"query:{number}", "expr": expression})
    # JSON is YAML too.
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": path.stem, "rules": rules}]}), encoding="utf-8")
    promtool = debian.program("promtool", "prometheus")
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
