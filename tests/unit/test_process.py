"""Garbage collection and memory settings of the process."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from genvd.collectors.registry import make_collectors
from genvd.config.schema import Config
from genvd.service.monitor import Monitor
from genvd.service.process import gc_paused

AT_THE_EDGES = 10
"""So often is it looked for just before and after a tick; in a tick it would be hundreds of times."""


@pytest.fixture
def eager() -> Iterator[list[str]]:
    """Collect garbage all the time; return a log of when a collection starts and stops."""
    seen: list[str] = []

    def note(phase: str, _: dict[str, int]) -> None:
        seen.append(phase)

    before = gc.get_threshold()
    gc.set_threshold(10)
    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)
    gc.set_threshold(*before)


def test_no_garbage_collection_during_a_tick(eager: list[str]) -> None:
    config = Config(ledger_enabled=False)
    monitor = Monitor(config, make_collectors(config, 2))
    for _ in range(3):
        eager.clear()
        monitor.tick(0)
        assert len(eager) <= AT_THE_EDGES
    eager.clear()
    made: list[list[int]] = [[] for _ in range(100)]
    assert eager, f"garbage is looked for again after {len(made)} objects"


def test_the_previous_state_is_restored() -> None:
    for wanted in (gc.disable, gc.enable):
        wanted()
        there = gc.isenabled()
        with pytest.raises(KeyError), gc_paused():
            raise KeyError
        assert gc.isenabled() == there


GAPS = """
from pathlib import Path
from genvd.service import process

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

process.tune_interpreter()
kept = []
for number in range(40):
    room = bytearray(8 << 20)
    kept.append(bytes(50_000))
    del room
    kept.append(bytes(50_000))
    if number == 0:
        before = resident()
print(resident() - before)
"""


def test_freed_buffers_do_not_fragment_the_heap() -> None:
    """Like the buffers for process environments, while other threads allocate small objects that stay."""
    result = subprocess.run([sys.executable, "-c", GAPS], capture_output=True, text=True, check=True)
    assert int(result.stdout) < 8 << 20, "4 MiB are kept, and each gap takes 8"
