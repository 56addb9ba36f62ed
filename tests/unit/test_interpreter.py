"""How the interpreter runs while a tick makes objects."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from genvd.config import Config
from genvd.interpreter import undisturbed
from genvd.monitor import Monitor
from genvd.sources.assembly import make_sources

AT_THE_EDGES = 10
"""So often is it looked for just before and after a tick; in a tick it would be hundreds of times."""


@pytest.fixture
def eager() -> Iterator[list[str]]:
    """Have Python look for garbage all the time; return when it begins and ends to."""
    seen: list[str] = []

    def note(phase: str, _: dict[str, int]) -> None:
        seen.append(phase)

    before = gc.get_threshold()
    gc.set_threshold(10)
    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)
    gc.set_threshold(*before)


def test_nobody_looks_for_garbage_during_a_tick(eager: list[str]) -> None:
    config = Config(ledger_enabled=False)
    monitor = Monitor(config, make_sources(config, 2))
    for _ in range(3):
        eager.clear()
        monitor.tick(0)
        assert len(eager) <= AT_THE_EDGES
    eager.clear()
    made: list[list[int]] = [[] for _ in range(100)]
    assert eager, f"garbage is looked for again after {len(made)} objects"


def test_it_stays_as_it_was() -> None:
    for wanted in (gc.disable, gc.enable):
        wanted()
        there = gc.isenabled()
        with pytest.raises(KeyError), undisturbed():
            raise KeyError
        assert gc.isenabled() == there
