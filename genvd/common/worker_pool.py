"""Worker threads for calls that may hang, such as those to the driver."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from genvd.common.clock import Waker

T = TypeVar("T")

HEAD_START_SECONDS = 0.05
"""A call that takes longer may hang, so the next one starts in another thread."""

_MOST_WORKERS = 256
"""More than a machine has GPUs, each of which can hang; the executor starts a thread only when none is idle. A driver
that claims thousands of GPUs which do not answer must not cost thousands of threads: the other calls wait for one."""


class WorkerPool:
    """Runs calls in worker threads. Calls are submitted, and waited for, by one thread at a time.

    Threads that run at the same time compete for the interpreter, so a call usually has the time until it is done to
    itself. The threads of the executor are joined when the interpreter exits: a process in which a call may hang has to
    end by :func:`genvd.service.process.leave`.
    """

    def __init__(self, name: str) -> None:
        """Create a pool without threads.

        Args:
            name: prefix of the names of its threads.
        """
        self._executor = ThreadPoolExecutor(_MOST_WORKERS, name)
        self._waker = Waker()

    def submit(self, call: Callable[[], T], deadline: float) -> Future[T]:
        """Start a call, and wait up to :data:`HEAD_START_SECONDS` for its result.

        Args:
            call: the function to run.
            deadline: end of the waiting, as :func:`time.monotonic` counts.

        Raises:
            RuntimeError: the system does not allow another thread.
        """
        future = self._executor.submit(call)
        future.add_done_callback(lambda _: self._waker.wake())
        self.wait(future, min(deadline, time.monotonic() + HEAD_START_SECONDS))
        return future

    def wait(self, future: Future[T], deadline: float) -> bool:
        """Wait for a call of this pool until the deadline; return whether it is done.

        Unlike :meth:`Future.result`, it does not wait longer when the clock of the machine is set back.
        """
        while not future.done() and (left := deadline - time.monotonic()) > 0:
            self._waker.wait(left)
        return future.done()
