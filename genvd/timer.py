"""The timer thread: one tick each interval, on a schedule that does not drift."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from genvd.waker import Waker

Tick = Callable[[int], None]
"""Called with the number of ticks that were skipped since the last call."""


class Timer:
    """Calls ``tick`` at once and then at every multiple of the interval since the start.

    A tick that takes longer than the interval makes the ticks that fall into it be skipped, not queued.
    """

    def __init__(self, interval: float, tick: Tick) -> None:
        """Make a timer that is not started yet.

        Args:
            interval: seconds from one tick to the next.
            tick: what to do; it must not raise.
        """
        self._interval = interval
        self._tick = tick
        self._waker = Waker()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="timer", daemon=True)

    def start(self) -> None:
        """Start ticking."""
        self._thread.start()

    def stop(self) -> None:
        """Have no further tick; a tick that is going on is not waited for."""
        self._stopping = True
        self._waker.wake()

    def _run(self) -> None:
        start, number, skipped = time.monotonic(), 0, 0
        while not self._stopping:
            self._tick(skipped)
            now = time.monotonic()
            next_number = max(number + 1, int((now - start) / self._interval) + 1)
            skipped, number = next_number - number - 1, next_number
            self._wait_until(start + number * self._interval)

    def _wait_until(self, moment: float) -> None:
        while not self._stopping and (left := moment - time.monotonic()) > 0:
            self._waker.wait(left)
