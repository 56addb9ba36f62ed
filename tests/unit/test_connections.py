"""Who has to go when there is no room for a new connection."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Protocol

import pytest

from genvd.web import connections
from genvd.web.connection import Connection
from genvd.web.connections import Connections, Stage
from genvd.web.transport import Plain

MOST = 80


class Put(Protocol):
    """Brings so many new connections into a stage."""

    def __call__(self, stage: Stage, number: int = 1) -> list[Connection]: ...


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Connections:
    monkeypatch.setattr(connections, "room", lambda: MOST)
    return Connections()


@pytest.fixture(scope="module")
def ours() -> Iterator[socket.socket]:
    """One for all: nothing is sent."""
    with socket.socket() as made:
        yield made


@pytest.fixture
def put(table: Connections, ours: socket.socket) -> Put:
    def put(stage: Stage, number: int = 1) -> list[Connection]:
        made = [Connection(ours, "127.0.0.1", Plain(ours), None) for _ in range(number)]
        for connection in made:
            table.put(connection, stage)
        return made

    return put


def test_nobody_goes_while_there_is_room(table: Connections, put: Put) -> None:
    put(Stage.NEW, MOST - 1)
    assert table.surplus() is None
    put(Stage.RESTING)
    assert table.surplus() is not None


@pytest.mark.parametrize("bad", list(Stage)[:-1])
def test_who_lies_about_goes_before_who_had_answers(table: Connections, put: Put, bad: Stage) -> None:
    put(Stage.RESTING, MOST // 2)
    oldest, *_ = put(bad, MOST // 2)
    assert table.surplus() is oldest


def test_the_oldest_goes_first_and_each_stage_counts_anew(table: Connections, put: Put) -> None:
    first, second, *_ = put(Stage.NEW, MOST)
    assert table.surplus() is first
    table.put(first, Stage.RESTING)
    assert table.surplus() is second
    table.remove(second)
    assert second.stage is None
    assert table.surplus() is None


def test_who_comes_new_is_not_shut_out_by_those_who_rest(table: Connections, put: Put) -> None:
    resting, *_ = put(Stage.RESTING, MOST - 1)
    put(Stage.NEW)
    assert table.surplus() is resting


def test_who_has_been_there_too_long_is_found(table: Connections, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    (new,) = put(Stage.NEW)
    (resting,) = put(Stage.RESTING)
    assert table.deadline() == 1010.0
    now = 1009.9
    assert list(table.overdue()) == []
    now = 1010.1
    assert list(table.overdue()) == [new]
    now = 1200.0
    assert set(table.overdue()) == {new, resting}
