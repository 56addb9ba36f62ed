"""Runs a collector in a worker thread, with a deadline; measures the time, and catches and logs failures."""

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

RequestT = TypeVar("RequestT")
FactsT = TypeVar("FactsT")

GRACE_TICKS = 3
"""Failed ticks in a row for which the last good facts are kept. After that, stale is worse than absent."""

STEADY_TICKS = 3
"""Successful ticks in a row after which a failure counts as over, so that an intermittent one is logged once."""

HUNG = "hung"
"""The failure reason of a collector that does not answer in time."""

_NO_ANSWER = "does not answer in time; if this lasts, its metrics become absent; {advice}, or raise collect.timeout"


class Runner(Generic[RequestT, FactsT]):
    """Runs one collector and keeps its last good facts.

    A collector can hang: an NVML call does when a GPU is broken, and reading /proc/PID/environ does when the process is
    stuck in the kernel. So it runs in a worker thread, and is not called again before that call has returned. A late
    result is used if it arrives within :data:`GRACE_TICKS` ticks. A later one is discarded, and the collector is called
    again.
    """

    def __init__(
        self, collector: Collector[RequestT, FactsT], pool: WorkerPool, errors: ErrorLog | None = None
    ) -> None:
        """Create a runner; the collector is not called yet.

        Args:
            collector: the collector to run.
            pool: the worker threads, usually shared with other collectors.
            errors: the log of failures, with the collector's name as key; None to create one.
        """
        self.name = collector.name
        self._collector = collector
        self._pool = pool
        self._call: Future[tuple[FactsT | Exception, float]] | None = None  # a call whose result was not fetched yet
        self._started = self._deadline = 0.0
        self._late_ticks = 0  # ticks since the one that started the call; only that one waits for it
        self._facts: FactsT | None = None
        self._failures = 0
        self._errors = errors or ErrorLog(log, STEADY_TICKS)

    @property
    def busy(self) -> bool:
        """Whether a call is still running."""
        return self._call is not None and not self._call.done()

    def start(self, request: RequestT, deadline: float) -> None:
        """Call the collector, unless an earlier call is still running.

        Args:
            request: what to collect.
            deadline: when :meth:`result` stops waiting, as a time of :func:`time.monotonic`.
        """
        if self._call is not None:
            self._late_ticks += 1
            if self._late_ticks <= GRACE_TICKS or self.busy:
                return
        self._late_ticks = 0
        self._started, self._deadline = time.monotonic(), deadline
        self._call = self._pool.submit(lambda: self._timed_collect(request), deadline)

    def result(self) -> tuple[FactsT | None, CollectorStatus]:
        """Wait for the call until its deadline; return the facts and the status of the collector.

        After a failure the facts are the last good ones for :data:`GRACE_TICKS`, then None.
        """
        call = self._call
        if call is None or not self._pool.wait(call, 0.0 if self._late_ticks else self._deadline):
            advice = getattr(self._collector, "late_advice", "see 'dmesg' for what hangs")
            late = CollectorError(_NO_ANSWER.format(advice=advice), HUNG)
            return self._failed(late, time.monotonic() - self._started)
        self._call = None
        facts, seconds = call.result()
        if isinstance(facts, Exception):
            return self._failed(facts, seconds)
        return self._succeeded(facts, seconds)

    def discard(self) -> None:
        """Discard the last good facts and the result of the running call."""
        self._facts = None
        self._late_ticks = GRACE_TICKS

    def _timed_collect(self, request: RequestT) -> tuple[FactsT | Exception, float]:
        started = time.monotonic()
        return self._collect(request), time.monotonic() - started

    def _collect(self, request: RequestT) -> FactsT | Exception:
        try:
            return self._collector.collect(request)
        except CollectorError as error:
            return _without_frames(error)
        except Exception as error:  # a bug must cost only the metrics of this collector
            traceback.clear_frames(error.__traceback__)
            return error

    def _failed(self, error: Exception, seconds: float) -> tuple[FactsT | None, CollectorStatus]:
        self._failures += 1
        problem, reason, partial = str(error), None, None
        if isinstance(error, CollectorError):
            reason, partial = error.reason, error.partial
            self._errors.report(self.name, f"{self.name}: {problem}")
        else:
            problem = f"unexpected {type(error).__name__}: {error}; please report this bug"
            self._errors.defect(self.name, f"{self.name}:", error)
        if partial is not None:
            self._facts = cast("FactsT", partial)
        elif self._failures > GRACE_TICKS:
            self._facts = None
        return self._facts, CollectorStatus(self.name, False, seconds, problem, reason)

    def _succeeded(self, facts: FactsT, seconds: float) -> tuple[FactsT, CollectorStatus]:
        self._facts, self._failures = facts, 0
        self._errors.clear(self.name, f"{self.name}: works again")
        return facts, CollectorStatus(self.name, True, seconds)


def _without_frames(error: CollectorError) -> CollectorError:
    """Return the error without its traceback.

    The frames would keep alive everything that the collector read, in a cycle, until the next garbage collection.
    """
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error
