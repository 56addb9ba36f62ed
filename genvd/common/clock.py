"""Time: instants that survive a change of the system clock, and a wait that another thread can end."""

from __future__ import annotations

import math
import os
import select
import time
import weakref
from functools import cache
from typing import NamedTuple

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
"""A random identifier that changes at each boot (proc_sys_kernel(5))."""


class Moment(NamedTuple):
    """One instant, measured with two clocks."""

    boot: float
    """Seconds of CLOCK_BOOTTIME. It also counts while the machine is suspended, and nobody can set it."""
    unix: float
    """Unix time in seconds."""

    @classmethod
    def now(cls) -> Moment:
        """Return the current instant."""
        return cls(time.clock_gettime(time.CLOCK_BOOTTIME), time.time())

    def unix_time(self, boot: float) -> float:
        """Convert a time of CLOCK_BOOTTIME to Unix time, by the current setting of the system clock."""
        return self.unix - (self.boot - boot)


@cache
def boot_id() -> str | None:
    """Return the identifier of the current boot, or None if the kernel does not provide it.

    Times of CLOCK_BOOTTIME can be compared only within the same boot.
    """
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return file.read().strip() or None
    except (OSError, ValueError):
        return None


class AutoResetEvent:
    """An event for one waiting thread, which clears itself when the wait ends.

    Unlike :class:`threading.Event`, its timeout does not depend on the system clock: before Python 3.11, and with a C
    library without sem_clockwait(3), setting the clock back extends all waits of :mod:`threading`.
    """

    def __init__(self) -> None:
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        weakref.finalize(self, os.close, self._event).atexit = False
        self._poll = select.poll()
        self._poll.register(self._event, select.POLLIN)

    def set(self) -> None:
        """End the current wait, or the next one if no thread is waiting."""
        os.eventfd_write(self._event, 1)

    def wait(self, seconds: float) -> bool:
        """Wait for :meth:`set`, at most this long; return whether it was called."""
        if not self._poll.poll(max(0, math.ceil(seconds * 1000))):
            return False
        os.eventfd_read(self._event)
        return True


def watchdog_seconds() -> float | None:
    """Return the timeout of the watchdog for this process (sd_watchdog_enabled(3)), or None."""
    try:
        if int(os.environ.get("WATCHDOG_PID", os.getpid())) != os.getpid():
            return None
        seconds = int(os.environ.get("WATCHDOG_USEC", "")) / 1e6
    except ValueError:
        return None
    return seconds if seconds > 0 else None
