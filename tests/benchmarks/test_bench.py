"""The bench measures all that it is to measure. What the figures are is not judged: the machine may be busy."""

from __future__ import annotations

import pytest

from tests.benchmarks import report
from tests.benchmarks.__main__ import PARTS, run
from tests.benchmarks.bench import TINY
from tests.benchmarks.peers import GENV, NVITOP
from tests.benchmarks.table import HEADINGS, Goal, Row, markdown, mebibytes, microseconds, milliseconds, number

GOALS = {
    ("share of the series that move at a tick", ""),
    ("CPU of a complete tick, one format rendered", "prometheus-client rendering + floor"),
    ("scrapes per second, 4 connections", "prometheus-client"),
    ("scrapes per second, 4 connections", "nvitop-exporter"),
    ("scrapes per second, 4 connections", "node_exporter"),
    ("scrape p99, 4 connections, during ticks", "prometheus-client, median"),
    ("resident memory after 2 ticks", ""),
    ("from exec to READY=1", ""),
    ("CPU of a tick for each of 8 processes, everything rendered", "prometheus-client rendering"),
    ("scrape p99, 8 processes, during ticks", ""),
    ("scrape p99, 100,000 series, during ticks", ""),
    ("renderings for each tick and format", ""),
    ("wakeups per second between two ticks", ""),
    ("CPU of a tick with 4 processes, monitor and helper", "without the helper"),
    ("CPU of a tick with 8 processes, monitor and helper", "without the helper"),
    ("resident memory of the helper, 4 processes", ""),
    ("resident memory of the helper, 8 processes", ""),
    ("from exec to READY=1, with the helper", "without the helper"),
}


def test_there_is_a_row_for_each_goal() -> None:
    rows = run(TINY, tuple(PARTS), peers=False)
    assert {(row.what, row.peer) for row in rows if row.goal} == GOALS
    assert all(row.ours is not None for row in rows)
    lines = markdown(rows).splitlines()
    assert len(lines) == 2 + len(rows)
    assert {line.count("|") for line in lines} == {len(HEADINGS) + 1}


@pytest.mark.parametrize(
    ("ours", "theirs", "goal", "verdict"),
    [
        (1.0, 4.0, Goal(0.25), "| 0.25  | ≤ 0.25 times | yes"),
        (2.0, 4.0, Goal(0.25), "| 0.5   | ≤ 0.25 times | **no**"),
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
    assert few[0][1:] == ("genv-monitor", NVITOP)
    assert len(few) >= 4
    for _, ours, theirs in few[1:]:
        assert any(row[1] == ours and row[3] == theirs for row in figures), (ours, theirs)


def test_the_readme_has_a_few_figures() -> None:
    peer, other = NVITOP, GENV
    rows = [
        Row("CPU of a complete tick, everything", 0.043, milliseconds, peer, 0.04),
        Row("resident memory after 1,000 ticks", 45 * 2**20, mebibytes, other, 33 * 2**20),
        Row("resident memory after 1,000 ticks", 45 * 2**20, mebibytes, peer, 34 * 2**20),
        Row("resident memory of the helper, 64 processes", 20 * 2**20, mebibytes),
        Row("CPU of one scrape", 284e-6, microseconds, peer, 0.018),
    ]
    assert report.few(rows).splitlines()[2:] == [
        "| CPU time of a collection | 43.00 ms | 40.00 ms |",
        "| CPU time of a scrape | 284 µs | 18,000 µs |",
        "| memory | 45.0 MiB | 34.0 MiB |",
        "| memory of its helper | 20.0 MiB |  |",
    ]


def _kept(name: str) -> list[tuple[str, ...]]:
    """Return the cells of the table that a document keeps: the headings and the lines."""
    _, begin, rest = (report.REPOSITORY / name).read_text().partition(report.BEGIN)
    table, end, _ = rest.partition(report.END)
    assert begin and end, name
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in [lines[0], *lines[2:]]]
