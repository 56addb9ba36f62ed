"""Defects of ours that are met again and again, each told once: a traceback at each tick helps nobody find anything."""

from __future__ import annotations

import logging
import traceback

log = logging.getLogger(__name__)

_MOST_KINDS = 10
"""That are logged until all goes well again."""


class Defects:
    """What one part of the program has met. One thread at a time."""

    def __init__(self, part: str) -> None:
        """Begin with none.

        Args:
            part: what fails, as the log names it.
        """
        self._part = part
        self._kinds: set[tuple[object, ...]] = set()

    def tell(self, error: Exception) -> None:
        """Log a defect with its traceback, unless one of its kind was since the last success.

        Of one kind are errors of one type that come from one line: what they say may have a number in it.
        """
        kind = _kind_of(error)
        if kind not in self._kinds and len(self._kinds) < _MOST_KINDS:
            self._kinds.add(kind)
            log.error("%s failed unexpectedly; please report this", self._part, exc_info=error)

    def over(self) -> None:
        """Take note of a success."""
        if self._kinds:
            self._kinds.clear()
            log.info("%s succeeds again", self._part)


def _kind_of(error: Exception) -> tuple[object, ...]:
    frames = traceback.extract_tb(error.__traceback__)
    where = (frames[-1].filename, frames[-1].lineno) if frames else ()
    return type(error), *where
