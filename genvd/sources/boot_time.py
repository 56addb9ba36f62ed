"""When the machine was started, by which the kernel tells when processes were."""

from __future__ import annotations

import os
import time

_STEP_SECONDS = 1.0
"""Less than that is the clock being slewed, of which a time in the past must not move."""


class BootTime:
    """Turns times since the machine was started into Unix time."""

    def __init__(self) -> None:
        self._booted = _booted()
        self._ticks = os.sysconf("SC_CLK_TCK")

    def unix_time(self, ticks: int) -> float:
        """Return a time of field 22 of proc_pid_stat(5) in Unix seconds; one and the same until the clock is set.

        Args:
            ticks: clock ticks since the machine was started.
        """
        booted = _booted()
        if abs(booted - self._booted) > _STEP_SECONDS:
            self._booted = booted
        return round(self._booted + ticks / self._ticks, 2)


def _booted() -> float:
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
