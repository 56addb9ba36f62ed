"""The numbers of series and bytes in docs/scaling.md are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from genvd.config.loader import load
from genvd.config.schema import Config
from tests.support.victoriametrics import VictoriaMetrics, options
from tools.engines.federation import job
from tools.scaling.__main__ import DOCUMENT, between
from tools.scaling.tables import SHAPES, TABLES, parts, table

TEXT = DOCUMENT.read_text(encoding="utf-8")


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_are_up_to_date(name: str) -> None:
    match = between(name).search(TEXT)
    assert match
    said, measured = (cells(text) for text in (match[0].partition("\n")[2], table(name)))
    said = said[: len(measured)]
    assert [row[:-2] for row in said] == [row[:-2] for row in measured], "run python -m tools.scaling"
    for row, now in zip(said, measured, strict=True):  # bytes depend a little on versions of libraries
        assert [number(one) for one in row[-2:]] == pytest.approx([number(one) for one in now[-2:]], rel=0.15, abs=50)


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_the_formula_matches_the_tables() -> None:
    match = re.search(r"series = (\d+) \+ (\d+) D \+ (\d+) E \+ (\d+) P \+ (\d+) U", TEXT)
    assert match
    said = list(map(int, match.groups()))
    assert said == [round(row.cost.series) for row in parts()]
    rows = cells(table("examples"))
    for shape, row in zip(SHAPES, rows, strict=True):
        numbers = (1, shape.devices, shape.environments, shape.processes, shape.users)
        assert sum(a * b for a, b in zip(said, numbers, strict=True)) == number(row[4])


def test_each_group_of_metrics_is_named() -> None:
    groups = {name for name in Config.__slots__ if name.startswith("metrics_") and getattr(Config(), name)}
    named = {f"metrics_{name}" for name in re.findall(r"`metrics\.(\w+)`", TEXT)}
    assert named >= groups


@pytest.mark.parametrize("document", ["docs/scaling.md", "README.md"])
def test_the_example_configurations_are_valid(document: str, tmp_path: Path) -> None:
    text = (DOCUMENT.parents[1] / document).read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(publish:\n.*?)```", text, re.DOTALL)
    file = tmp_path / "monitor.yaml"
    file.write_text(example)
    config = load(file)
    assert "gpu1.example.org:8000" in config.publish_targets
    assert config.scrape_username == "prometheus"


def test_the_job_that_federates_is_the_one_that_is_tried() -> None:
    (example,) = re.findall(r"```yaml\n(scrape_configs:\n.*?)```", TEXT, re.DOTALL)
    (said,) = yaml.safe_load(example)["scrape_configs"]
    assert said == job(said["static_configs"][0]["targets"])


def test_vmalert_has_the_options_with_which_it_is_tried() -> None:
    (example,) = re.findall(r"```shell\n(vmalert .*?)```", TEXT, re.DOTALL)
    running = VictoriaMetrics(Path("unused"), port=1)
    tried = options(running, "", 15)
    assert set(re.findall(r"-\w[\w.]*", re.sub(r"=\S+", "", example))) == {one.partition("=")[0] for one in tried}
