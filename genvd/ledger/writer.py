"""The thread that writes the ledger's file. Nobody waits for it: a disk that hangs, hangs this thread only."""

from __future__ import annotations

import logging
import math
import sqlite3
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from genvd.common.clock import AutoResetEvent
from genvd.common.error_log import ErrorLog
from genvd.common.safe_tree import UnsafePathError
from genvd.ledger import paths
from genvd.ledger.retention import Pace, keep_up
from genvd.ledger.schema import RefusedError, TakenError, is_corrupt
from genvd.ledger.store import Batch, Store, Stored, read_unwritable
from genvd.ledger.wall_clock import ClockState, LedgerClock

if TYPE_CHECKING:
    from pathlib import Path

    from genvd.ledger.amounts import Totals
    from genvd.ledger.pending import Book

log = logging.getLogger(__name__)

_WRITING = "writing the ledger"
_GOES_ON = "it goes on in memory, and is written as soon as that is possible"

_TICKS_OF_A_WRITE = 2
"""That one write may take."""

_HURRY = 0.1
"""Part of the write interval after which it is written if somebody hurries."""


@dataclass(slots=True)
class Retention:
    """How often it is written and how long things are kept, all in seconds. May be changed while it runs."""

    write_interval: float
    hourly: float
    daily: float
    collect_interval: float = 10.0
    """Seconds from one tick to the next."""

    @property
    def ticks(self) -> int:
        """After how many ticks the next batch has been written."""
        return math.ceil(self.write_interval / self.collect_interval) + _TICKS_OF_A_WRITE


class Keeper:
    """Keeps a book in a file."""

    def __init__(self, book: Book, directory: Path, mode: str, retention: Retention) -> None:
        """Make it ready to start.

        Args:
            book: what is to be kept.
            directory: where the file is, or is to be made.
            mode: ``live`` or ``demo``.
            retention: how often, and how long.
        """
        self.directory = directory
        self.write_success: bool | None = None
        self.last_write_timestamp: float | None = None
        self.loaded = threading.Event()
        """Set when it is known what was counted before, or that it cannot be known just now."""
        self._book = book
        self._mode = mode
        self._retention = retention
        self._store: Store | None = None
        self._batch: Batch | None = None  # one that could not be written
        self._known = False  # what is in the file
        self._taken = False
        self._checked = False
        self._pace = Pace()
        self._errors = ErrorLog(log)
        self._wakeup = AutoResetEvent()
        self._stopping = False
        self._hurrying = False
        self._clock = LedgerClock(ClockState())
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def reconfigured(self) -> None:
        """Go by the changed policy at once, not only after the wait that the one before began."""
        self._wakeup.set()

    def hurry(self) -> None:
        """Write soon, as counters wait for that."""
        self._hurrying = True
        self._wakeup.set()

    def stop(self) -> None:
        """Have what is left written, and the thread end."""
        self._stopping = True
        self._wakeup.set()

    def wait(self, seconds: float) -> bool:
        """Wait for the thread to end, but no longer than this; return whether it has."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            stopping = self._stopping  # what is counted before stop() is still written
            self._step()
            if stopping:
                break
            self._rest()
        self._close()

    def _rest(self) -> None:
        since = time.monotonic()
        while not self._stopping and (left := since + self._patience() - time.monotonic()) > 0:
            self._wakeup.wait(left)
        self._hurrying = False  # before the write, which has what somebody may hurry for from here on

    def _patience(self) -> float:
        return self._retention.write_interval * (_HURRY if self._hurrying else 1)

    def _step(self) -> None:
        try:
            try:
                self._write()
            except sqlite3.DatabaseError as error:
                if not is_corrupt(error):
                    raise
                self._begin_anew(error)
                self._write()
        except (sqlite3.Error, OSError, RefusedError, UnsafePathError) as error:
            self._failed(error)
        except Exception as error:  # a defect of ours must not stop the writing for ever
            self._errors.defect(_WRITING, _WRITING, error)
            self._batch = None  # the totals of the next one have it all
            self._failed(error)
        else:
            self._errors.clear(_WRITING, f"{_WRITING} succeeds again")
        finally:
            self.loaded.set()

    def _write(self) -> None:
        store = self._open()
        if self._batch is not None:
            store.write(self._batch)
            self._batch = None
        monotonic, wall, retention = time.monotonic(), time.time(), self._retention
        now = self._clock.now(monotonic, wall, min(retention.hourly, retention.daily))
        self._batch = self._book.batch(0 if self._stopping else retention.ticks)
        self._batch.clock = self._clock.state
        store.write(self._batch)
        self._succeeded(self._batch.ceilings)
        self._batch = None
        if self._pace.due(monotonic, wall):
            gone = keep_up(store.connection, now, retention.hourly, retention.daily, lambda: not self._stopping)
            self._book.forget(gone)

    def _open(self) -> Store:
        if self._store is not None and self._store.replaced:
            self._errors.report("taken away", f"ledger: {self._store.path} was taken away; a new one is begun")
            self._close()
        if self._store is None:
            store = Store(self.directory, self._mode, check=not self._checked)
            self._checked = True
            try:
                stored = store.stored()
                if not self._known:
                    self._load(stored)
                self.last_write_timestamp = stored.written or self.last_write_timestamp
            except BaseException:
                with suppress(sqlite3.Error, OSError):
                    store.close()
                raise
            self._store = store
        return self._store

    def _load(self, stored: Stored) -> None:
        if self._taken:
            self._book.start_over()
            self._taken = False
        self._book.begin(stored)
        self._book.written({**stored.totals, **stored.ceilings})
        self._clock = LedgerClock(stored.clock)
        self._known = True
        self.loaded.set()

    def _begin_anew(self, error: Exception) -> None:
        self._close()
        self._checked = True
        label = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        path = paths.set_aside(self.directory / paths.FILE, label)
        text = f"ledger: it is damaged ({error}); it is now {path}, and a new one is begun"
        self._errors.report("damaged", text, kind=str(error), level=logging.ERROR)

    def _close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            with suppress(sqlite3.Error, OSError):
                store.close()

    def _succeeded(self, ceilings: Totals) -> None:
        self._book.written(ceilings)
        self.last_write_timestamp = time.time()
        self.write_success = True
        self._errors.clear("written", "ledger: it is written again")

    def _failed(self, error: Exception) -> None:
        self._close()
        if not self._known:
            self._load_anyway(error)
        self._book.written(None)
        self.write_success = False
        problem = _told(error, self.directory)
        self._errors.report("written", f"ledger: {problem}; {_GOES_ON}")

    def _load_anyway(self, error: Exception) -> None:
        """Find out what was counted before without being able to write; if nobody can say that, it is not known."""
        if isinstance(error, TakenError):
            self._taken = True
        if isinstance(error, RefusedError | UnsafePathError):
            self._book.begin(Stored())
            return
        path = self.directory / paths.FILE
        with suppress(sqlite3.Error, OSError):
            try:
                stored = read_unwritable(path) if path.exists() else Stored()
            except RefusedError:  # nothing is in it
                stored = Stored()
            self._book.begin(stored)


def _told(error: Exception, directory: Path) -> str:
    """Return an error in one line: the thing, the reason, the way out."""
    path = directory / paths.FILE
    if isinstance(error, UnsafePathError):
        return f"cannot be written: {error} with ledger.directory"
    if isinstance(error, RefusedError):
        return f"{path}: cannot be written: {error}"
    if isinstance(error, OSError):
        place_ = error.filename or path
        return f"{place_}: cannot be written: {error.strerror}; make it writable, or choose another ledger.directory"
    if not isinstance(error, sqlite3.Error):
        return f"{path}: cannot be written: {type(error).__name__}, which is a defect of this program; please report it"
    return f"{path}: cannot be written: {error}; see whether the disk is full, read-only or broken"
