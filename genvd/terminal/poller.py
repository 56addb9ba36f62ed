"""Asks for the Snapshot in a thread: an answer can take longer than anybody waits for a key to do something."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from genvd.terminal.client import Seen, ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable


class Source(Protocol):
    """Whom to ask; by one thread at a time."""

    def look(self) -> Seen:
        """Return what there is now.

        Raises:
            ServiceError: there is no answer.
        """


@dataclass(frozen=True, slots=True)
class View:
    """What was seen last."""

    seen: Seen
    looked: float
    """When, of :func:`time.monotonic`."""
    failure: str | None = None
    """Why nothing was seen since."""

    @property
    def now(self) -> float:
        """Unix time in seconds, by the clock of the machine that is seen."""
        return self.seen.now + time.monotonic() - self.looked


class Looks:
    """One look after another."""

    def __init__(self, source: Source, seen: Seen, ended: Callable[[], None]) -> None:
        """Begin with what was seen already.

        Args:
            source: whom to ask.
            seen: what it showed.
            ended: called by another thread when a look is over.
        """
        self.latest = View(seen, time.monotonic())
        self._source = source
        self._ended = ended
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Look, unless a look is under way."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._look, name="look", daemon=True)
            self._thread.start()

    def _look(self) -> None:
        try:
            self.latest = View(self._source.look(), time.monotonic())
        except ServiceError as error:
            self.latest = replace(self.latest, failure=str(error))
        except Exception as error:  # nobody sees what a thread raises, and a traceback would be drawn over the picture
            problem = f"unexpected {type(error).__name__}: {error}; please report this as a defect"
            self.latest = replace(self.latest, failure=problem)
        self._ended()
