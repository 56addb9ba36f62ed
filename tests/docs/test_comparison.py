"""docs/comparison.md names metrics that exist, and covers everything that the other exporters export."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from genvd.metrics import ALL
from genvd.metrics.contract import CONTRACT

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "comparison.md").read_text()
OTHERS = Path(__file__).parent / "exported_by_others.txt"
_NAME = re.compile(r"`([^`]+)`")


class Row(NamedTuple):
    """A row of the tables."""

    theirs: list[str]
    ours: list[str]
    reason: str


def rows() -> list[Row]:
    lines = [line for line in TEXT.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert {len(row) for row in cells} == {3}
    return [Row(_NAME.findall(theirs), _NAME.findall(ours), reason) for theirs, ours, reason in cells]


def exported_by_others() -> list[str]:
    return [line for line in OTHERS.read_text().splitlines() if line and not line.startswith("#")]


def test_its_metrics_exist() -> None:
    names = {metric.name for metric in ALL}
    assert [name for row in rows() for name in row.ours if name not in names] == []


def test_each_row_has_an_equivalent_or_a_reason() -> None:
    assert [row.theirs for row in rows() if not row.ours and not row.reason] == []


def test_everything_that_others_export_has_a_row() -> None:
    patterns = [pattern for row in rows() for pattern in row.theirs]
    missing = [name for name in exported_by_others() if not any(fnmatchcase(name, p) for p in patterns)]
    assert missing == []


def test_each_row_is_about_an_exported_metric() -> None:
    others = {*exported_by_others(), *(metric.name for metric in CONTRACT)}
    unknown = [p for row in rows() for p in row.theirs if not any(fnmatchcase(name, p) for name in others)]
    assert unknown == []


def test_the_sixteen_are_the_same() -> None:
    same = {row.theirs[0] for row in rows() if row.theirs == row.ours}
    assert same == {metric.name for metric in CONTRACT}
