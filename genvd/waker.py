"""Waiting that another thread can end, by the monotonic clock and without wake-ups in between."""

from __future__ import annotations

import math
import os
import select
import weakref


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
