"""Who has to go when there is no room for a new connection."""

from __future__ import annotations

import pytest

from genvd.web.connections import Connections, Stage

MOST = 80


class Member:
    """Has nothing but its stage."""

    stage: Stage | None = None


@pytest.fixture
def table() -> Connections[Member]:
    return Connections()


def put(table: Connections[Member], stage: Stage, number: int = 1) -> list[Member]:
    """Bring so many new connections into a stage."""
    made = [Member() for _ in range(number)]
    for member in made:
        table.put(member, stage)
    return made


def test_nobody_goes_while_there_is_room(table: Connections[Member]) -> None:
    put(table, Stage.NEW, MOST - 1)
    assert table.victim_if_full(MOST) is None
    put(table, Stage.IDLE)
    assert table.victim_if_full(MOST) is not None


@pytest.mark.parametrize("bad", list(Stage)[:-1])
def test_who_lies_about_goes_before_who_had_answers(table: Connections[Member], bad: Stage) -> None:
    put(table, Stage.IDLE, MOST // 2)
    oldest, *_ = put(table, bad, MOST // 2)
    assert table.victim_if_full(MOST) is oldest


def test_the_oldest_goes_first_and_each_stage_counts_anew(table: Connections[Member]) -> None:
    first, second, *_ = put(table, Stage.NEW, MOST)
    assert table.victim_if_full(MOST) is first
    table.put(first, Stage.IDLE)
    assert table.victim_if_full(MOST) is second
    table.remove(second)
    assert second.stage is None
    assert table.victim_if_full(MOST) is None


def test_who_comes_new_is_not_shut_out_by_those_who_rest(table: Connections[Member]) -> None:
    resting, *_ = put(table, Stage.IDLE, MOST - 1)
    put(table, Stage.NEW)
    assert table.victim_if_full(MOST) is resting


def test_somebody_goes_where_descriptors_are_used_up(table: Connections[Member]) -> None:
    assert table.victim(0) is None
    (resting,) = put(table, Stage.IDLE)
    (new,) = put(table, Stage.NEW)
    assert table.victim(0) is new
    table.remove(new)
    assert table.victim(0) is resting
