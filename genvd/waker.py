"""Waiting that can be ended from another thread, on the monotonic clock, without waking up in between."""

from __future__ import annotations

import math
import os
import select


class Waker:
    """A wait that ends early when somebody calls :meth:`wake`.

    The wait of :mod:`threading` counts on the wall clock before Python 3.11, so that setting the clock back would
    stretch it; poll(2) does not.
    """

    def __init__(self) -> None:
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(self._event, select.POLLIN)

    def fileno(self) -> int:
        """Return the descriptor that is readable once somebody called :meth:`wake`."""
        return self._event

    def wake(self) -> None:
        """End the wait that is going on, or the next one."""
        os.eventfd_write(self._event, 1)

    def wait(self, seconds: float) -> bool:
        """Wait at most so many seconds; tell whether somebody called :meth:`wake`."""
        if not self._poll.poll(max(0, math.ceil(seconds * 1000))):
            return False
        os.eventfd_read(self._event)
        return True

    def close(self) -> None:
        """Give the descriptor back; nobody may call anything afterwards."""
        os.close(self._event)
