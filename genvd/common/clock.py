"""Time: instants that stay comparable when somebody sets the clock, and waits that another thread can end."""

from __future__ import annotations

import math
import os
import select
import time
import weakref
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


class Waker:
    """A wait that ends early when another thread calls :meth:`wake`. One thread waits at a time.

    The locks, and so all waits, of :mod:`threading` and :mod:`concurrent.futures` use the wall clock before Python 3.11
    and where the C library has no sem_clockwait(3): setting the clock back extends them. poll(2) is not affected.
    """

    def __init__(self) -> None:
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        weakref.finalize(self, os.close, self._event).atexit = False
        self._poll = select.poll()
        self._poll.register(self._event, select.POLLIN)

    def wake(self) -> None:
        """End the current wait, or the next one if there is none."""
        os.eventfd_write(self._event, 1)

    def wait(self, seconds: float) -> bool:
        """Wait at most this long; return whether :meth:`wake` was called."""
        if not self._poll.poll(max(0, math.ceil(seconds * 1000))):
            return False
        os.eventfd_read(self._event)
        return True
