"""Runs any collector the same way: in a worker thread, timed, with a deadline, its failures caught and logged."""

from __future__ import annotations

import logging
import time
import traceback
from concurrent.futures import Future
from typing import Generic, TypeVar, cast

from genvd.collectors.base import Collector, CollectorError
from genvd.common.error_log import ErrorLog
from genvd.common.worker_pool import WorkerPool
from genvd.model.snapshot import CollectorStatus

log = logging.getLogger(__name__)

Q = TypeVar("Q")
F = TypeVar("F")

GRACE_TICKS = 3
"""Failed ticks in a row for which the last good facts of a collector are kept. After that, stale is worse than
absent."""

STEADY_TICKS = 3
"""Good ticks in a row after which a collector is said to work again; one that is now late and now not stays quiet."""

HUNG = "hung"
"""The reason of a collector that does not answer in time."""

_NO_ANSWER = (
    "does not answer in time; its metrics go away if that lasts, everything else goes on; see 'dmesg' for what hangs,"
    " or raise collect.timeout"
)


class Runner(Generic[Q, F]):
    """One collector, and the last good facts from it.

    A collector can hang: an NVML call does when a GPU is broken, reading /proc/PID/environ does when the process is
    stuck in the kernel. So it runs in a worker thread, and is not called again until that call has returned. A late
    result still counts for a few ticks; after that it describes the past, and the collector is called again.
    """

    def __init__(self, collector: Collector[Q, F], pool: WorkerPool, errors: ErrorLog | None = None) -> None:
        """Create a runner that has not called its collector yet.

        Args:
            collector: the collector to call.
            pool: the threads that it runs in; usually shared with other collectors.
            errors: where failures are logged, by the name of the collector; None for a log of its own.
        """
        self.name = collector.name
        self._collector = collector
        self._pool = pool
        self._call: Future[tuple[F | Exception, float]] | None = None  # whose result was not taken yet
        self._started = self._deadline = 0.0
        self._late_ticks = 0  # since the call should have been done: it is waited for only once
        self._facts: F | None = None
        self._failures = 0
        self._errors = errors or ErrorLog(log, STEADY_TICKS)

    @property
    def busy(self) -> bool:
        """Whether a call has not returned yet."""
        return self._call is not None and not self._call.done()

    def start(self, request: Q, deadline: float) -> None:
        """Call the collector, unless an earlier call is still running.

        Args:
            request: what to ask it.
            deadline: when :meth:`result` stops waiting for the result, as :func:`time.monotonic` counts.
        """
        if self._call is not None:
            self._late_ticks += 1
            if self._late_ticks <= GRACE_TICKS or self.busy:
                return
        self._late_ticks = 0
        self._started, self._deadline = time.monotonic(), deadline
        self._call = self._pool.submit(lambda: self._timed_collect(request), deadline)

    def result(self) -> tuple[F | None, CollectorStatus]:
        """Return the facts from the collector, waiting for them until the deadline at most.

        Returns:
            The facts, which are the last good ones for a few ticks after the collector began to fail and None
            afterwards; and whether the collector works.
        """
        call = self._call
        if call is None or not self._pool.wait(call, 0.0 if self._late_ticks else self._deadline):
            return self._failed(CollectorError(_NO_ANSWER, HUNG), time.monotonic() - self._started)
        self._call = None
        answer, seconds = call.result()
        if isinstance(answer, Exception):
            return self._failed(answer, seconds)
        return self._succeeded(answer, seconds)

    def discard(self) -> None:
        """Ignore all results up to now, and that of the running call."""
        self._facts = None
        self._late_ticks = GRACE_TICKS

    def _timed_collect(self, request: Q) -> tuple[F | Exception, float]:
        started = time.monotonic()
        return self._collect(request), time.monotonic() - started

    def _collect(self, request: Q) -> F | Exception:
        try:
            return self._collector.collect(request)
        except CollectorError as error:
            return _without_frames(error)
        except Exception as error:  # a defect of ours must cost the metrics of this collector only
            traceback.clear_frames(error.__traceback__)
            return error

    def _failed(self, error: Exception, seconds: float) -> tuple[F | None, CollectorStatus]:
        self._failures += 1
        problem, reason, partial = str(error), None, None
        if isinstance(error, CollectorError):
            reason, partial = error.reason, error.partial
            self._errors.report(self.name, f"{self.name}: {problem}")
        else:
            problem = f"unexpected {type(error).__name__}: {error}; please report this as a defect"
            self._errors.defect(self.name, f"{self.name}:", error)
        if partial is not None:
            self._facts = cast("F", partial)
        elif self._failures > GRACE_TICKS:
            self._facts = None
        return self._facts, CollectorStatus(self.name, False, seconds, problem, reason)

    def _succeeded(self, facts: F, seconds: float) -> tuple[F, CollectorStatus]:
        self._facts, self._failures = facts, 0
        self._errors.clear(self.name, f"{self.name}: works again")
        return facts, CollectorStatus(self.name, True, seconds)


def _without_frames(error: CollectorError) -> CollectorError:
    """Return the error without the frames that it went through.

    They keep all that the collector had read, and one of them keeps the error, until Python looks for garbage.
    """
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error
