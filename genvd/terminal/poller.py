"""Fetches the Snapshot in a background thread, so that ``top`` reacts to keys while an answer is slow."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from genvd.terminal.client import TimedSnapshot
from genvd.terminal.http_client import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable


class SnapshotSource(Protocol):
    """Where Snapshots come from. It is called by one thread at a time."""

    def fetch(self) -> TimedSnapshot:
        """Return the current Snapshot.

        Raises:
            ServiceError: there is no answer.
        """


@dataclass(frozen=True, slots=True)
class PollState:
    """The last Snapshot, and why there is no newer one."""

    snapshot: TimedSnapshot
    fetched: float
    """Time of the last success, of :func:`time.monotonic`."""
    failure: str | None = None
    """Why the last attempt failed; None if it succeeded."""

    @property
    def now(self) -> float:
        """The current Unix time in seconds, by the clock of the monitored machine."""
        return self.snapshot.now + time.monotonic() - self.fetched


class Poller:
    """Fetches Snapshots, one at a time."""

    def __init__(self, source: SnapshotSource, first: TimedSnapshot, on_done: Callable[[], None]) -> None:
        """Create a poller that has a Snapshot already.

        Args:
            source: what is polled.
            first: the Snapshot that was fetched already.
            on_done: called in the background thread after each attempt.
        """
        self.latest = PollState(first, time.monotonic())
        self._source = source
        self._on_done = on_done
        self._thread: threading.Thread | None = None

    def start_fetch(self) -> None:
        """Start a fetch, unless one is running."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._fetch, name="fetch", daemon=True)
            self._thread.start()

    def _fetch(self) -> None:
        try:
            self.latest = PollState(self._source.fetch(), time.monotonic())
        except ServiceError as error:
            self.latest = replace(self.latest, failure=str(error))
        except Exception as error:  # a traceback would be written over the screen
            problem = f"unexpected {type(error).__name__}: {error}; please report this as a defect"
            self.latest = replace(self.latest, failure=problem)
        self._on_done()
