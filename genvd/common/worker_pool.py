"""Worker threads for calls that may hang, such as those to the driver."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar
from weakref import ref

from genvd.common.clock import AutoResetEvent

T = TypeVar("T")

HEAD_START_SECONDS = 0.05
"""How long :meth:`WorkerPool.submit` waits. A call that takes longer may hang, so the next one gets another thread."""

_MAX_WORKERS = 256
"""More than a machine has GPUs. A driver may claim thousands of GPUs that do not answer; further calls then wait."""


class _Worker:
    """A thread and the last call that it got.

    An executor with several threads would not do: since Python 3.12, when one of its threads takes a call that it had
    counted on another idle one for, it forgets that one, so it ends up with as many threads as it may have.
    """

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, name)
        self._last: ref[Future[Any]] | None = None  # no more, so that the result can be freed

    @property
    def idle(self) -> bool:
        last = self._last() if self._last else None
        return last is None or last.done()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        future = self._executor.submit(call)
        self._last = ref(future)
        return future


class WorkerPool:
    """Runs calls in worker threads. Only one thread at a time may submit calls and wait for them.

    Python joins the threads of an executor when the interpreter exits. A process whose calls may hang must therefore
    end with :func:`genvd.service.process.exit_process`.
    """

    def __init__(self, name: str) -> None:
        """Create a pool without threads.

        Args:
            name: prefix of the names of its threads.
        """
        self._name = name
        self._workers: deque[_Worker] = deque()
        self._wakeup = AutoResetEvent()

    def submit(self, call: Callable[[], T], deadline: float) -> Future[T]:
        """Start a call, and wait up to :data:`HEAD_START_SECONDS` for its result.

        Threads that run at the same time compete for the interpreter, so a short call runs alone.

        Args:
            call: the function to run.
            deadline: when to stop waiting, on the clock of :func:`time.monotonic`.

        Raises:
            RuntimeError: the system does not allow another thread.
        """
        future = self._submit(call)
        future.add_done_callback(lambda _: self._wakeup.set())
        self.wait(future, min(deadline, time.monotonic() + HEAD_START_SECONDS))
        return future

    def wait(self, future: Future[T], deadline: float) -> bool:
        """Wait for a call of this pool until the deadline; return whether it is done.

        Unlike :meth:`Future.result`, it does not wait longer if the system clock is set back.
        """
        while not future.done() and (left := deadline - time.monotonic()) > 0:
            self._wakeup.wait(left)
        return future.done()

    def _submit(self, call: Callable[[], T]) -> Future[T]:
        """Give a call to an idle worker, else to a new one, else to one worker after the other."""
        worker = next((one for one in self._workers if one.idle), None)
        if worker is not None:
            return worker.submit(call)
        if len(self._workers) < _MAX_WORKERS:
            new = _Worker(f"{self._name}-{len(self._workers)}")
            future = new.submit(call)
            self._workers.append(new)  # not if the system allows no further thread
            return future
        self._workers.rotate(-1)
        return self._workers[-1].submit(call)
