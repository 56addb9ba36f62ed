"""Garbage collection of the process."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from genvd.collectors.registry import make_collectors
from genvd.config.schema import Config
from genvd.service.monitor import Monitor
from genvd.service.process import tune_interpreter

CYCLES = """
import gc
from genvd.service import process

process.tune_interpreter()
seen = []
gc.callbacks.append(lambda phase, info: seen.append(info.get("collected")))
for _ in range(60_000):
    cycle = []
    cycle.append(cycle)
print(sum(number or 0 for number in seen))
"""


@pytest.fixture
def collections() -> Iterator[list[str]]:
    """Tune this process; return a log of when garbage collections start and stop."""
    seen: list[str] = []

    def note(phase: str, _: dict[str, int]) -> None:
        seen.append(phase)

    thresholds, interval = gc.get_threshold(), sys.getswitchinterval()
    tune_interpreter()
    gc.collect()
    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)
    gc.set_threshold(*thresholds)
    sys.setswitchinterval(interval)


def test_ticks_collect_no_garbage(collections: list[str]) -> None:
    config = Config(ledger_enabled=False)
    monitor = Monitor(config, make_collectors(config, 2))
    for _ in range(3):
        monitor.tick(0)
    assert not collections


def test_cycles_are_collected() -> None:
    result = subprocess.run([sys.executable, "-c", CYCLES], capture_output=True, text=True, check=True)
    assert int(result.stdout) >= 40_000
