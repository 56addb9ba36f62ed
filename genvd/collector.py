"""Runs any source the same way: in another thread, timed, with a deadline, its failure caught and logged."""

from __future__ import annotations

import logging
import time
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar, cast

from genvd.crew import Crew
from genvd.error_log import ErrorLog
from genvd.model import CollectorStatus
from genvd.sources import Source, SourceError

log = logging.getLogger(__name__)

Q = TypeVar("Q")
F = TypeVar("F")

GRACE_TICKS = 3
"""Failed ticks in a row for which the last good facts of a source still stand. After that, stale is worse than
absent."""

STEADY_TICKS = 3
"""Good ticks in a row after which a source is said to work again; one that is now late and now not stays quiet."""

HUNG = "hung"
"""The reason of a source that does not answer in time."""

_NO_ANSWER = (
    "does not answer in time; its metrics go away if that lasts, everything else goes on; see 'dmesg' for what hangs,"
    " or raise collect.timeout"
)


class Collector(Generic[Q, F]):
    """One source, and the last good facts it gave.

    A source can hang (an NVML call does when a GPU is sick, /proc/PID/environ does when the process is stuck in
    the kernel), so it is asked in another thread that nobody waits for longer than agreed. While it hangs it
    is not asked again, so threads do not pile up. What it gives when it comes back soon counts then; after a long
    time it describes a machine that is no more, and it is asked anew.
    """

    def __init__(self, source: Source[Q, F], crew: Crew | None = None) -> None:
        """Make one that has not been asked yet.

        Args:
            source: whom to ask.
            crew: who asks; None for a thread of its own.
        """
        self.name = source.name
        self._source = source
        self._crew = crew or Crew(f"source-{source.name}")
        self._has_own_crew = crew is None
        self._answers: SimpleQueue[tuple[F | Exception, float]] = SimpleQueue()
        self._asked_at: float | None = None
        self._late_ticks = 0  # it has been busy for with one question: nobody waits for that twice
        self._facts: F | None = None
        self._failures = 0
        self._errors = ErrorLog(log, STEADY_TICKS)

    @property
    def busy(self) -> bool:
        """Whether the source still works on a question."""
        return self._asked_at is not None and self._answers.empty()

    def ask(self, question: Q) -> None:
        """Have the source asked, unless it still works on an earlier question."""
        if self._asked_at is not None:
            self._late_ticks += 1
            if self._late_ticks <= GRACE_TICKS or self.busy:
                return
            self._answers.get()
        self._late_ticks = 0
        self._asked_at = time.monotonic()
        self._crew.do(lambda: self._work(question))

    def facts(self, deadline: float) -> tuple[F | None, CollectorStatus]:
        """Return what the source gave, waiting until ``deadline`` (of :func:`time.monotonic`) at most.

        Returns:
            The facts, which are the last good ones for a few ticks after the source began to fail and None
            afterwards; and how the source did.
        """
        try:
            answer, seconds = self._crew.get(self._answers, 0.0 if self._late_ticks else deadline)
        except Empty:
            return self._failed(SourceError(_NO_ANSWER, HUNG), time.monotonic() - (self._asked_at or deadline))
        self._asked_at = None
        if isinstance(answer, Exception):
            return self._failed(answer, seconds)
        return self._succeeded(answer, seconds)

    def forget(self) -> None:
        """Let nothing count any more that was asked or told so far."""
        self._facts = None
        self._late_ticks = GRACE_TICKS

    def close(self) -> None:
        """Have no thread any more, once the source has answered; one of others goes on."""
        if self._has_own_crew:
            self._crew.close()

    def _work(self, question: Q) -> None:
        started = time.monotonic()
        answer = self._answer(question)
        self._answers.put((answer, time.monotonic() - started))

    def _answer(self, question: Q) -> F | Exception:
        try:
            return self._source.read(question)
        except Exception as error:  # a defect of ours must cost the metrics of this source only
            return error

    def _failed(self, error: Exception, seconds: float) -> tuple[F | None, CollectorStatus]:
        self._failures += 1
        problem, reason, partial = str(error), None, None
        if isinstance(error, SourceError):
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
