"""The bench measures all that it is to measure. What the figures are is not judged: the machine may be busy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.benchmarks import bench, report
from tests.benchmarks.__main__ import PARTS, run
from tests.benchmarks.bench import TINY
from tests.benchmarks.peers import CLIENT, GENV, NODE_EXPORTER, NVITOP
from tests.benchmarks.table import HEADINGS, Goal, Row, markdown, mebibytes, milliseconds, number

GOALS = {
    ("CPU of a tick, everything", NVITOP, "≤ 1/2"),
    ("share of the series that change at a tick", "", "≥ 33%"),
    ("CPU of a tick, monitor and helper", "without the helper", "≤ 1.1 times"),
    ("resident memory of the helper", "", "≤ 18.0 MiB"),
    ("CPU of a tick, the sixteen metrics only", GENV, "≤ 1/3"),
    ("CPU of a tick, the sixteen metrics only", f"{GENV}, nvidia-smi takes 30 ms", "≤ 1/15"),
    ("resident memory after 2 ticks", f"{GENV}, the smallest", "≤ 1.25 times"),
    ("scrapes per second, 4 connections", NVITOP, "≥ 10 times"),
    ("scrapes per second, 4 connections", NODE_EXPORTER, "≥ 10 times"),
    ("scrapes per second, 4 connections", CLIENT, "≥ 10 times"),
    ("scrape p99 while ticking, N series", f"{CLIENT}, median", "≤ 1/2"),
    ("CPU from exec to READY=1", "bare imports of the dependencies", "≤ 2.5 times"),
    ("CPU of a tick for each of 8 processes", "bare reads", "≤ 1.5 times"),
    ("CPU of a tick for each of 8 processes", "for each of 4", "≤ 1.1 times"),
    ("wake-ups in 0.1 s without tick and scrape, monitor and helper", "", "≤ 0"),
}


def test_there_is_a_row_for_each_goal() -> None:
    rows, missing = run(TINY, tuple(PARTS), peers=False)
    assert not missing
    assert {
        (re.sub(r"[\d,]+ series", "N series", row.what), row.peer, str(row.goal)) for row in rows if row.goal
    } == GOALS
    assert all(row.ours is not None for row in rows)
    lines = markdown(rows).splitlines()
    assert len(lines) == 2 + len(rows)
    assert {line.count("|") for line in lines} == {len(HEADINGS) + 1}


def test_an_exporter_that_is_not_there_costs_its_own_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bench, "why_missing", lambda name: f"there is no {name}")
    measured = bench.Bench(tmp_path, TINY, peers=True)
    assert not measured.has(NVITOP)
    text = report.full([Row("work", 1.0, number, NVITOP, None, Goal(0.5))], measured.missing, "make bench")
    assert "| not measured | ≤ 1/2 " in text
    assert text.endswith(f"Not measured: {NVITOP}: there is no {NVITOP}\n")


def test_the_limit_stands_in_the_table() -> None:
    row = Row("work", 3.0, number, "peer", 2.0, Goal(0.5), ("bare library", 1.8))
    assert row.cells()[-3:] == ("≤ 1/2", "**no**", "bare library: 1.80, ratio 0.9")


@pytest.mark.parametrize(
    ("ours", "theirs", "goal", "verdict"),
    [
        (1.0, 4.0, Goal(0.25), "| 0.25  | ≤ 1/4 | yes"),
        (2.0, 4.0, Goal(0.25), "| 0.5   | ≤ 1/4 | **no**"),
        (80.0, 4.0, Goal(least=20), "| 20    | ≥ 20 times | yes"),
        (76.0, 4.0, Goal(least=20), "| 19    | ≥ 20 times | **no**"),
        (76.0, None, Goal(least=20), "| not measured | ≥ 20 times |  "),
    ],
)
def test_a_row_says_whether_the_goal_is_reached(ours: float, theirs: float | None, goal: Goal, verdict: str) -> None:
    assert verdict in markdown([Row("work", ours, number, "peer", theirs, goal)])


def test_the_figures_of_the_readme_are_those_of_the_whole_table() -> None:
    figures = _kept(report.ALL)
    few = _kept(report.FEW)
    assert few[0][1:] == ("genv-monitor", "other exporter")
    assert len(few) >= 4
    for _, ours, theirs in few[1:]:
        assert any(row[1] == ours and theirs in ("", f"{row[3]} ({row[2]})") for row in figures), (ours, theirs)


def test_the_readme_has_a_few_figures() -> None:
    rows = [
        Row("CPU of a tick, everything", 0.043, milliseconds, NVITOP, 0.09),
        Row("CPU of a tick, monitor and helper", 0.043, milliseconds),
        Row("resident memory of the helper", 16 * 2**20, mebibytes),
        Row("resident memory after 1,000 ticks", 41 * 2**20, mebibytes, GENV, 33 * 2**20),
        Row("resident memory after 1,000 ticks", 41 * 2**20, mebibytes, NVITOP, 34 * 2**20),
        Row("scrapes per second, 4 connections", 3500, number, NVITOP, 50),
    ]
    assert report.few(rows).splitlines()[2:] == [
        "| CPU time of a collection | 43.00 ms | 90.00 ms (nvitop-exporter) |",
        "| scrapes per second | 3,500 | 50 (nvitop-exporter) |",
        "| memory | 41.0 MiB | 33.0 MiB (existing genv monitor) |",
        "| memory of its helper | 16.0 MiB |  |",
    ]


def _kept(name: str) -> list[tuple[str, ...]]:
    """Return the cells of the table that a document keeps: the headings and the lines."""
    _, begin, rest = (report.REPOSITORY / name).read_text().partition(report.BEGIN)
    table, end, _ = rest.partition(report.END)
    assert begin and end, name
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in [lines[0], *lines[2:]]]
