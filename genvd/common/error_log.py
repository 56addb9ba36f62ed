"""What is wrong, in the log: once when it begins, when it becomes something else, and when it is over."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Hashable
from dataclasses import dataclass, field

MOST_KINDS = 10
"""Kinds of one trouble that are logged, whatever new ones somebody invents."""

QUIET_SECONDS = 3600.0
"""A kind that was not met for so long is logged when it comes back, though the trouble has never been over."""

_FREE_RETURNS = 2
"""So often a trouble may come back within :data:`QUIET_SECONDS` before its end is doubted."""

_FIRST_HOLD_SECONDS, _LAST_HOLD_SECONDS = 10.0, 3600.0
"""For which it must stay away then before it is over. It doubles with each further return."""

_MOST_KEYS = 1000
"""Things that fail at a time and are logged, and that are remembered to have failed."""


@dataclass(slots=True)
class _Trouble:
    """What is known of one thing that fails, or did lately."""

    since: float
    returns: int = 0
    level: int = logging.NOTSET
    """The highest of its lines."""
    kinds: dict[Hashable, float] = field(default_factory=dict)
    """Each kind that was logged, with the time at which it was last met."""
    failures: int = 0
    last_failure: float = 0.0
    successes: int = 0
    """In a row, since the last failure."""
    good_since: float = 0.0

    @property
    def hold(self) -> float:
        """Seconds for which all must be well before it is over."""
        if self.returns <= _FREE_RETURNS:
            return 0.0
        return min(_FIRST_HOLD_SECONDS * 2.0 ** min(self.returns - _FREE_RETURNS - 1, 20), _LAST_HOLD_SECONDS)


class ErrorLog:
    """Logs the troubles of one part of the program, each of them as a state. One thread at a time.

    However often a trouble is reported, it takes a line when it begins, one for each kind that it changes to, and one
    when it is over. One that comes and goes is over when it has stayed away for a while, which is longer each time.
    So nothing that happens outside can fill the log.
    """

    def __init__(
        self, log: logging.Logger, steady: int = 1, quiet_seconds: float = QUIET_SECONDS, most: int | None = None
    ) -> None:
        """Begin with none.

        Args:
            log: where the lines go.
            steady: how many calls of :meth:`clear` in a row end a trouble.
            quiet_seconds: see :data:`QUIET_SECONDS`.
            most: things that fail at a time and are logged one by one; :attr:`more` has the number of the others. None
                for each, up to a large number.
        """
        self.active: dict[Hashable, _Trouble] = {}
        """What is not over yet, by its key: to be read only. Who calls :meth:`clear` very often can ask it first."""
        self._log = log
        self._steady = steady
        self._quiet_seconds = quiet_seconds
        self._most = most
        self._more: set[Hashable] = set()
        self._past: dict[Hashable, _Trouble] = {}

    def report(
        self,
        key: Hashable,
        text: str,
        *,
        kind: Hashable = None,
        level: int = logging.WARNING,
        error: Exception | None = None,
    ) -> bool:
        """Take note of a failure; return whether it was logged.

        Args:
            key: what fails.
            text: the line for the log.
            kind: tells this failure from others of the same key, where the text has something in it that changes from
                one to the next. None for the text itself, or for the type and the place of ``error``.
            level: of the line.
            error: a defect of this program, whose traceback is logged as well.
        """
        now = time.monotonic()
        if self._most is not None and key not in self.active and len(self.active) >= self._most:
            self._more.add(key)
            return False
        self._more.discard(key)
        trouble = self._begun(key, now)
        if trouble is None:
            return False
        trouble.failures += 1
        trouble.successes = 0
        trouble.last_failure = now
        if kind is None:
            kind = text if error is None else _place_of(error)
        if not self._is_news(trouble, kind, now):
            return False
        trouble.level = max(trouble.level, level)
        self._log.log(level, "%s", text, exc_info=error)
        return True

    def defect(self, key: Hashable, what: str, error: Exception, cost: str = "") -> None:
        """Take note of a defect of this program; its traceback is logged as well.

        Args:
            key: what fails.
            what: the same as the log names it.
            error: the defect.
            cost: what it costs, if that is to be said.
        """
        text = f"{what} failed unexpectedly{cost}; please report this"
        self.report(key, text, level=logging.ERROR, error=error)

    def clear(self, key: Hashable, text: str) -> None:
        """Take note of a success; if that ends a trouble, log it.

        Args:
            key: what succeeds.
            text: the line for the log.
        """
        self._more.discard(key)
        trouble = self.active.get(key)
        if trouble is None:
            return
        now = time.monotonic()
        if not trouble.successes:
            trouble.good_since = now
        trouble.successes += 1
        if trouble.successes < self._steady or now - trouble.good_since < trouble.hold:
            return
        self._past.pop(key, None)
        self._past[key] = self.active.pop(key)
        level = logging.INFO if trouble.level > logging.INFO else trouble.level
        self._log.log(level, "%s%s", text, _summary(trouble))

    def drop(self, key: Hashable) -> None:
        """Take a thing that is not there any more for one that does not fail, without a line."""
        self._more.discard(key)
        self.active.pop(key, None)

    @property
    def more(self) -> int:
        """How many things fail that are not logged one by one."""
        return len(self._more)

    def _begun(self, key: Hashable, now: float) -> _Trouble | None:
        """Return the trouble of a key, which begins if there is none; None where there are too many."""
        trouble = self.active.get(key)
        if trouble is not None:
            return trouble
        if len(self.active) >= _MOST_KEYS and not self._forget_an_old_one(now):
            return None
        past = self._past.pop(key, None)
        while len(self._past) >= _MOST_KEYS:
            del self._past[next(iter(self._past))]
        trouble = self.active[key] = _Trouble(now)
        if past is not None and now - past.good_since < self._quiet_seconds + past.hold:
            trouble.returns = past.returns + 1
        return trouble

    def _forget_an_old_one(self, now: float) -> bool:
        """Make room for another trouble, if the one that it looks at has not been reported for long."""
        key = next(iter(self.active))
        trouble = self.active.pop(key)
        if now - trouble.last_failure >= self._quiet_seconds:
            return True
        self.active[key] = trouble  # at the end, so that the next call looks at another one
        return False

    def _is_news(self, trouble: _Trouble, kind: Hashable, now: float) -> bool:
        """Remember that a kind was met; tell whether it is to be logged."""
        met = trouble.kinds.pop(kind, None)  # what was met last is last
        if met is None and len(trouble.kinds) >= MOST_KINDS:
            oldest = next(iter(trouble.kinds))
            if now - trouble.kinds[oldest] < self._quiet_seconds:
                return False
            del trouble.kinds[oldest]
        trouble.kinds[kind] = now
        return met is None or now - met >= self._quiet_seconds


def _place_of(error: Exception) -> Hashable:
    """Return the kind of a defect: its type and the line that it comes from, as its text may have a number in it."""
    frames = traceback.extract_tb(error.__traceback__)
    where = (frames[-1].filename, frames[-1].lineno) if frames else ()
    return type(error), *where


def _summary(trouble: _Trouble) -> str:
    """Return how often and for how long it failed; nothing of what failed once."""
    if trouble.failures < 2:
        return ""
    seconds = max(1, round(trouble.good_since - trouble.since))
    return f"; it failed {trouble.failures} times within {seconds} s"
