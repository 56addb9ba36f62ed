"""Instants that stay comparable when somebody sets the clock, also over a restart of the monitor."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""A random identifier that the kernel makes at each boot (proc_sys_kernel(5))."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant, by two clocks."""

    boot: float
    """Seconds of CLOCK_BOOTTIME, which goes on while the machine is suspended and is never set."""
    unix: float
    """Unix time in seconds."""

    @classmethod
    def now(cls) -> Moment:
        """Return this instant."""
        return cls(time.clock_gettime(time.CLOCK_BOOTTIME), time.time())

    def unix_time(self, boot: float) -> float:
        """Return a time of CLOCK_BOOTTIME as Unix time, as the clock is set now."""
        return self.unix - (self.boot - boot)


@cache
def boot_id() -> str | None:
    """Return what tells this boot of the machine from others; None where the kernel does not say.

    Times of CLOCK_BOOTTIME can be compared only if they are of the same boot.
    """
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip() or None
    except (OSError, ValueError):
        return None
