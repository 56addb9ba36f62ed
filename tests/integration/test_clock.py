"""Clocks that are set, and time that passes while the service is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clock import Clock
from tests.support.manager import Manager
from tests.support.monitor import Monitor, Series, named, series
from tests.support.waiting import wait_for

HOUR, DAY = 3600.0, 86400.0
INTERVAL = 0.2
COLLECTIONS = series("genv_monitor_collections_total")
SKIPPED = series("genv_monitor_collections_skipped_total")
TIMESTAMP = series("genv_monitor_last_collection_timestamp_seconds")


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    directory = tmp_path / "clock"
    directory.mkdir()
    return Clock(directory)


@pytest.fixture
def monitor(clock: Clock, manager: Manager, tmp_path: Path) -> Iterator[Monitor]:
    told = {**manager.environment, "WATCHDOG_USEC": "2000000"}
    options: list[str | Path] = ["--demo", "-i", str(INTERVAL), "--config-dir", tmp_path / "published"]
    with Monitor(options, environment={**clock.environment, **told}) as running:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log


def go_on_at_their_pace(monitor: Monitor) -> Series:
    """Return the metrics after some more ticks, which came one after the other."""
    started, before = time.monotonic(), monitor.metrics()
    after = monitor.next_metrics(5)
    made = after[COLLECTIONS] - before[COLLECTIONS]
    assert made <= (time.monotonic() - started) / INTERVAL + 2, "a burst of ticks"
    durations = named(after, "genv_monitor_collector_duration_seconds")
    assert durations and all(0 <= duration < 60 for duration in durations.values())
    assert all(value == 1 for value in named(after, "genv_monitor_collector_success").values())
    return after


def is_now(moment: float, ahead: float = 0.0) -> bool:
    return abs(moment - ahead - time.time()) < 60


def test_the_simulated_clocks_differ(clock: Clock) -> None:
    script = "import time; print(time.time(), time.monotonic())"

    def clocks() -> tuple[float, float]:
        shown = subprocess.check_output([sys.executable, "-c", script], env={**os.environ, **clock.environment})
        wall, monotonic = map(float, shown.split())
        return wall - time.time(), monotonic - time.monotonic()

    for wall, monotonic in ((0.0, 0.0), (-DAY, 0.0), (DAY, HOUR)):
        clock.set(wall=wall, monotonic=monotonic)
        assert all(abs(found - told) < 60 for found, told in zip(clocks(), (wall, monotonic), strict=True))


def test_the_wall_clock_is_set(monitor: Monitor, clock: Clock) -> None:
    skipped = go_on_at_their_pace(monitor)[SKIPPED]
    for ahead in (-DAY, DAY, 0.0):
        clock.set(wall=ahead)
        after = go_on_at_their_pace(monitor)
        assert is_now(after[TIMESTAMP], ahead)
    assert after[SKIPPED] - skipped < HOUR / INTERVAL, "no tick waits for the wall clock, and none is missed for it"


def test_the_machine_was_suspended_for_an_hour(monitor: Monitor, clock: Clock, manager: Manager) -> None:
    """Nothing runs and the monotonic clock stops; afterwards the wall clock is an hour later."""
    before = go_on_at_their_pace(monitor)
    monitor.process.send_signal(signal.SIGSTOP)
    clock.set(wall=HOUR)
    monitor.process.send_signal(signal.SIGCONT)
    after = go_on_at_their_pace(monitor)
    assert is_now(after[TIMESTAMP], HOUR)
    assert after[SKIPPED] - before[SKIPPED] < HOUR / INTERVAL / 2, "what nobody could have made was not left out"


def test_the_process_was_frozen_for_many_intervals(monitor: Monitor, manager: Manager) -> None:
    before = go_on_at_their_pace(monitor)
    monitor.process.send_signal(signal.SIGSTOP)
    wait_for(lambda: time.monotonic() - manager.said("WATCHDOG=1")[-1] > 10 * INTERVAL, "ten intervals are over")
    thawed = time.monotonic()
    monitor.process.send_signal(signal.SIGCONT)
    wait_for(lambda: manager.said("WATCHDOG=1")[-1] > thawed, "the watchdog hears of it")
    after = go_on_at_their_pace(monitor)
    assert after[SKIPPED] - before[SKIPPED] >= 8
    first_beat = next(moment for moment in manager.said("WATCHDOG=1") if moment > thawed)
    told = [moment for moment in manager.said("STATUS=") if moment > thawed]
    before_it = [moment for moment in told if moment < first_beat]
    assert len(before_it) <= 1, "it hears of it before anything but the collection in which it was frozen"


def test_the_virtual_machine_was_paused_for_an_hour(monitor: Monitor, clock: Clock) -> None:
    """All clocks jump forward by an hour."""
    before = go_on_at_their_pace(monitor)
    clock.set(wall=HOUR, monotonic=HOUR)
    after = go_on_at_their_pace(monitor)
    assert is_now(after[TIMESTAMP], HOUR)
    missed = HOUR / INTERVAL
    assert 0.9 * missed < after[SKIPPED] - before[SKIPPED] < 1.1 * missed
