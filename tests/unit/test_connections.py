"""Which connection is closed when there are too many."""

from __future__ import annotations

import pytest

from genvd.web.connections import Connections, Stage

LIMIT = 80


class Member:
    """A connection with only a stage."""

    stage: Stage | None = None


@pytest.fixture
def table() -> Connections[Member]:
    return Connections()


def put(table: Connections[Member], stage: Stage, number: int = 1) -> list[Member]:
    """Add so many new connections to a stage."""
    made = [Member() for _ in range(number)]
    for member in made:
        table.put(member, stage)
    return made


def test_no_connection_is_closed_below_the_limit(table: Connections[Member]) -> None:
    put(table, Stage.NEW, LIMIT - 1)
    assert table.victim_if_full(LIMIT) is None
    put(table, Stage.IDLE)
    assert table.victim_if_full(LIMIT) is not None


@pytest.mark.parametrize("bad", list(Stage)[:-1])
def test_unused_connections_are_closed_before_idle_ones(table: Connections[Member], bad: Stage) -> None:
    put(table, Stage.IDLE, LIMIT // 2)
    oldest, *_ = put(table, bad, LIMIT // 2)
    assert table.victim_if_full(LIMIT) is oldest


def test_the_oldest_of_a_stage_is_closed_first(table: Connections[Member]) -> None:
    first, second, *_ = put(table, Stage.NEW, LIMIT)
    assert table.victim_if_full(LIMIT) is first
    table.put(first, Stage.IDLE)
    assert table.victim_if_full(LIMIT) is second
    table.remove(second)
    assert second.stage is None
    assert table.victim_if_full(LIMIT) is None


def test_idle_connections_do_not_keep_out_new_ones(table: Connections[Member]) -> None:
    idle, *_ = put(table, Stage.IDLE, LIMIT - 1)
    put(table, Stage.NEW)
    assert table.victim_if_full(LIMIT) is idle


def test_a_connection_is_closed_when_there_are_no_more_descriptors(table: Connections[Member]) -> None:
    assert table.victim(0) is None
    (idle,) = put(table, Stage.IDLE)
    (new,) = put(table, Stage.NEW)
    assert table.victim(0) is new
    table.remove(new)
    assert table.victim(0) is idle
