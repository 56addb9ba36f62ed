"""The timer thread: one tick each interval, on a schedule that does not drift."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from genvd.common.clock import AutoResetEvent

Tick = Callable[[int], None]
"""Called with the number of ticks that were skipped since the previous call."""


class Timer:
    """Calls ``tick`` at once, and then at every multiple of the interval since the start.

    A tick that is due while another one is running is skipped, not queued.
    """

    def __init__(
        self,
        interval: float,
        tick: Tick,
        heartbeat: Callable[[], object] = lambda: None,
        heartbeat_interval: float = math.inf,
    ) -> None:
        """Create a timer that is not started yet.

        Args:
            interval: seconds between two ticks.
            tick: the function to call. It must not raise.
            heartbeat: called before each tick, and during the wait for the next one.
            heartbeat_interval: the longest time between two heartbeats during a wait, in seconds.
        """
        self._interval = interval
        self._tick = tick
        self._heartbeat = heartbeat
        self._heartbeat_interval = heartbeat_interval
        self._wakeup = AutoResetEvent()
        self._stopping = False
        self._restarting = False
        self._thread = threading.Thread(target=self._run, name="timer", daemon=True)

    def start(self) -> None:
        """Start ticking."""
        self._thread.start()

    def restart(self, interval: float) -> None:
        """Tick as soon as possible, and then at this interval."""
        self._interval = interval
        self._restarting = True
        self._wakeup.set()

    def stop(self) -> None:
        """Prevent further ticks. A running tick is not waited for."""
        self._stopping = True
        self._wakeup.set()

    def _run(self) -> None:
        while not self._stopping:
            self._restarting = False
            self._follow_schedule(self._interval)

    def _follow_schedule(self, interval: float) -> None:
        start, number, skipped = time.monotonic(), 0, 0
        while not self._interrupted:
            self._heartbeat()
            self._tick(skipped)
            next_number = max(number + 1, int((time.monotonic() - start) / interval) + 1)
            skipped, number = next_number - number - 1, next_number
            self._wait_until(start + number * interval)

    def _wait_until(self, moment: float) -> None:
        while not self._interrupted and (left := moment - time.monotonic()) > 0:
            self._heartbeat()
            self._wakeup.wait(min(left, self._heartbeat_interval))

    @property
    def _interrupted(self) -> bool:
        return self._stopping or self._restarting
