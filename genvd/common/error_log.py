"""Logs errors as states: one line when an error begins, one when its kind changes, one when it is over."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Hashable
from dataclasses import dataclass, field

MAX_KINDS = 10
"""How many kinds of one error are logged, however many there are."""

REPEAT_SECONDS = 3600.0
"""A kind that did not occur for this long is logged when it occurs again, even if the error was never over."""

_FREE_RETURNS = 2
"""How often an error may come back within :data:`REPEAT_SECONDS` before :attr:`_ErrorState.hold_seconds` applies."""

_FIRST_HOLD_SECONDS, _LAST_HOLD_SECONDS = 10.0, 3600.0
"""How long such an error must then stay away before it is over. The time doubles with each further return."""

_MAX_KEYS = 1000
"""How many errors are logged at a time, and how many past ones are remembered."""


@dataclass(slots=True)
class _ErrorState:
    """The state of one error, which is active or ended a short time ago."""

    since: float
    returns: int = 0
    level: int = logging.NOTSET
    """The highest level that it was logged with."""
    kinds: dict[Hashable, float] = field(default_factory=dict)
    """The logged kinds, each with the time of its last occurrence."""
    failures: int = 0
    last_failure: float = 0.0
    successes: int = 0
    """Number of successes since the last failure."""
    good_since: float = 0.0

    @property
    def hold_seconds(self) -> float:
        """How long there must be no failure before the error is over."""
        if self.returns <= _FREE_RETURNS:
            return 0.0
        return min(_FIRST_HOLD_SECONDS * 2.0 ** min(self.returns - _FREE_RETURNS - 1, 20), _LAST_HOLD_SECONDS)


class ErrorLog:
    """Logs the errors of one part of the program as states. Only one thread at a time may use it.

    An error is logged once when it begins, once for each new kind, and once when it is over, however often it is
    reported. An error that comes and goes is over only after it has stayed away for some time, which grows with each
    return. So nothing outside this program can fill the log.
    """

    def __init__(
        self,
        log: logging.Logger,
        successes_to_clear: int = 1,
        repeat_seconds: float = REPEAT_SECONDS,
        max_active: int | None = None,
    ) -> None:
        """Create a log without active errors.

        Args:
            log: the logger.
            successes_to_clear: how many calls of :meth:`clear` in a row end an error.
            repeat_seconds: see :data:`REPEAT_SECONDS`.
            max_active: how many errors are logged at a time. :attr:`unlogged` counts the others. None for a large
                number.
        """
        self.active: dict[Hashable, _ErrorState] = {}
        """The active errors by key. Callers only read it, for example to call :meth:`clear` only where needed."""
        self._log = log
        self._successes_to_clear = successes_to_clear
        self._repeat_seconds = repeat_seconds
        self._max_active = max_active
        self._unlogged: set[Hashable] = set()
        self._past: dict[Hashable, _ErrorState] = {}

    def report(
        self,
        key: Hashable,
        text: str,
        *,
        kind: Hashable = None,
        level: int = logging.WARNING,
        error: Exception | None = None,
    ) -> bool:
        """Record a failure; return whether it was logged.

        Args:
            key: identifies what fails.
            text: the line for the log.
            kind: distinguishes failures of the same key. Give it where the text contains a changing value. By default
                the text, or the type and line of ``error``.
            level: the log level of the line.
            error: a bug in this program. Its traceback is logged too.
        """
        now = time.monotonic()
        if self._max_active is not None and key not in self.active and len(self.active) >= self._max_active:
            self._unlogged.add(key)
            return False
        self._unlogged.discard(key)
        state = self._get_or_begin(key, now)
        if state is None:
            return False
        state.failures += 1
        state.successes = 0
        state.last_failure = now
        if kind is None:
            kind = text if error is None else _kind_of(error)
        if not self._is_new(state, kind, now):
            return False
        state.level = max(state.level, level)
        self._log.log(level, "%s", text, exc_info=error)
        return True

    def defect(self, key: Hashable, what: str, error: Exception, cost: str = "") -> None:
        """Record a bug in this program, and log it with its traceback.

        Args:
            key: identifies what fails.
            what: the name of what fails, for the log.
            error: the exception.
            cost: its effect, such as " and is left out", for the log.
        """
        text = f"{what} failed unexpectedly{cost}; please report this"
        self.report(key, text, level=logging.ERROR, error=error)

    def clear(self, key: Hashable, text: str) -> None:
        """Record a success, and log it if it ends an error.

        Args:
            key: identifies what succeeds.
            text: the line for the log.
        """
        self._unlogged.discard(key)
        state = self.active.get(key)
        if state is None:
            return
        now = time.monotonic()
        if not state.successes:
            state.good_since = now
        state.successes += 1
        if state.successes < self._successes_to_clear or now - state.good_since < state.hold_seconds:
            return
        self._past.pop(key, None)
        self._past[key] = self.active.pop(key)
        level = logging.INFO if state.level > logging.INFO else state.level
        self._log.log(level, "%s%s", text, _summary(state))

    def forget(self, key: Hashable) -> None:
        """Remove the error of something that no longer exists, without a line in the log."""
        self._unlogged.discard(key)
        self.active.pop(key, None)

    @property
    def unlogged(self) -> int:
        """The number of current errors beyond ``max_active``, which are not logged."""
        return len(self._unlogged)

    def _get_or_begin(self, key: Hashable, now: float) -> _ErrorState | None:
        """Return the active error of a key, created if needed; None if there are too many errors."""
        state = self.active.get(key)
        if state is not None:
            return state
        if len(self.active) >= _MAX_KEYS and not self._evict_stale(now):
            return None
        past = self._past.pop(key, None)
        while len(self._past) >= _MAX_KEYS:
            del self._past[next(iter(self._past))]
        state = self.active[key] = _ErrorState(now)
        if past is not None and now - past.good_since < self._repeat_seconds + past.hold_seconds:
            state.returns = past.returns + 1
        return state

    def _evict_stale(self, now: float) -> bool:
        """Check one active error, and remove it if it was not reported for long; return whether it was removed."""
        key = next(iter(self.active))
        state = self.active.pop(key)
        if now - state.last_failure >= self._repeat_seconds:
            return True
        self.active[key] = state  # at the end, so that the next call checks another one
        return False

    def _is_new(self, state: _ErrorState, kind: Hashable, now: float) -> bool:
        """Record that a kind occurred; return whether to log it."""
        last_seen = state.kinds.pop(kind, None)  # the most recent kind is the last one
        if last_seen is None and len(state.kinds) >= MAX_KINDS:
            oldest = next(iter(state.kinds))
            if now - state.kinds[oldest] < self._repeat_seconds:
                return False
            del state.kinds[oldest]
        state.kinds[kind] = now
        return last_seen is None or now - last_seen >= self._repeat_seconds


def _kind_of(error: Exception) -> Hashable:
    """Return the kind of an exception: its type and source line. Its text may contain a changing value."""
    frames = traceback.extract_tb(error.__traceback__)
    where = (frames[-1].filename, frames[-1].lineno) if frames else ()
    return type(error), *where


def _summary(state: _ErrorState) -> str:
    """Return how often and for how long it failed, or nothing if it failed once."""
    if state.failures < 2:
        return ""
    seconds = max(1, round(state.good_since - state.since))
    return f"; it failed {state.failures} times within {seconds} s"
