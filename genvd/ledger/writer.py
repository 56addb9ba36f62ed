"""The thread that writes the ledger's file. No other thread waits for it, so a disk that hangs blocks only this one."""

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
from genvd.ledger.retention import RetentionTimer, apply_retention
from genvd.ledger.schema import LedgerLockedError, UnusableLedgerError, is_corrupt
from genvd.ledger.store import Batch, Store, StoredState, read_file
from genvd.ledger.wall_clock import TrustedClock, TrustedClockState

if TYPE_CHECKING:
    from pathlib import Path

    from genvd.ledger.amounts import Totals
    from genvd.ledger.pending import PendingUsage

log = logging.getLogger(__name__)

_WRITING = "writing the ledger"

_TICKS_PER_WRITE = 2
"""The number of ticks that a write itself may take."""

_REQUESTED_WRITE_RATIO = 0.1
"""A requested write happens after this part of the write interval."""


@dataclass(slots=True)
class WriterSettings:
    """How often the file is written and how long data is kept, in seconds. May change while the thread runs."""

    write_interval: float
    hourly: float
    """How long hours are kept, before they are merged into days."""
    daily: float
    """How long days are kept."""
    collect_interval: float = 10.0

    @property
    def ticks(self) -> int:
        """The number of ticks until the next write is done."""
        return math.ceil(self.write_interval / self.collect_interval) + _TICKS_PER_WRITE


class LedgerWriter:
    """Writes pending usage to the file, and loads the file at the start."""

    def __init__(self, pending: PendingUsage, directory: Path, mode: str, settings: WriterSettings) -> None:
        """Prepare the thread, without starting it.

        Args:
            pending: what to write.
            directory: where the file is, or is to be created.
            mode: ``live`` or ``demo``.
            settings: how often to write, and how long to keep data.
        """
        self.directory = directory
        self.write_success: bool | None = None
        """Whether the last write succeeded; None before the first one."""
        self.last_write_timestamp: float | None = None
        """Unix time in seconds; also of a write before the start."""
        self.loaded = threading.Event()
        """Set once the file has been read, or could not be read."""
        self._pending = pending
        self._mode = mode
        self._settings = settings
        self._store: Store | None = None
        self._unwritten_batch: Batch | None = None
        self._loaded_from_store = False
        self._counted_elsewhere = False  # another process had the lock
        self._integrity_checked = False
        self._retention_timer = RetentionTimer()
        self._errors = ErrorLog(log)
        self._wakeup = AutoResetEvent()
        self._stopping = False
        self._write_requested = False
        self._clock = TrustedClock(TrustedClockState())
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Make the thread use changed settings now, and not only after the current wait."""
        self._wakeup.set()

    def request_write(self) -> None:
        """Make the thread write soon, because ceilings hold counters back."""
        self._write_requested = True
        self._wakeup.set()

    def stop(self) -> None:
        """Make the thread write what is pending and end."""
        self._stopping = True
        self._wakeup.set()

    def wait(self, seconds: float) -> bool:
        """Wait at most this long for the thread to end; return whether it has."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            stopping = self._stopping  # read before the write, which then has everything counted before stop()
            self._run_once()
            if stopping:
                break
            self._wait_for_next_write()
        self._close()

    def _wait_for_next_write(self) -> None:
        since = time.monotonic()
        while not self._stopping and (left := since + self._wait_seconds() - time.monotonic()) > 0:
            self._wakeup.wait(left)
        self._write_requested = False  # before the write, so that requests during it lead to another one

    def _wait_seconds(self) -> float:
        return self._settings.write_interval * (_REQUESTED_WRITE_RATIO if self._write_requested else 1)

    def _run_once(self) -> None:
        """Write what is pending, to a new file if the old one is damaged. Failures are logged, not raised."""
        try:
            try:
                self._write()
            except sqlite3.DatabaseError as error:
                if not is_corrupt(error):
                    raise
                self._move_corrupt_file(error)
                self._write()
        except (sqlite3.Error, OSError, UnusableLedgerError, UnsafePathError) as error:
            self._record_failure(error)
        except Exception as error:  # a bug in this program must not end the thread
            self._errors.defect(_WRITING, _WRITING, error)
            self._unwritten_batch = None  # the totals of the next batch include it
            self._record_failure(error)
        else:
            self._errors.clear(_WRITING, f"{_WRITING} succeeds again")
        finally:
            self.loaded.set()

    def _write(self) -> None:
        """Write the batch that failed before, if any, then a new one; then delete old data if that is due."""
        store = self._open()
        if self._unwritten_batch is not None:
            store.write(self._unwritten_batch)
            self._unwritten_batch = None
        monotonic, wall, settings = time.monotonic(), time.time(), self._settings
        trusted = self._clock.now(monotonic, wall, min(settings.hourly, settings.daily))
        self._unwritten_batch = self._pending.take_batch(0 if self._stopping else settings.ticks)
        self._unwritten_batch.clock = self._clock.state
        store.write(self._unwritten_batch)
        self._record_success(self._unwritten_batch.ceilings)
        self._unwritten_batch = None
        if self._retention_timer.is_due(monotonic, wall):
            deleted = apply_retention(
                store.connection, trusted, settings.hourly, settings.daily, lambda: not self._stopping
            )
            self._pending.remove_users(deleted)

    def _open(self) -> Store:
        """Return the open file. It is opened if necessary, and loaded if that has not been done yet."""
        if self._store is not None and self._store.replaced:
            self._errors.report("replaced", f"ledger: {self._store.path} was deleted or replaced; creating a new file")
            self._close()
        if self._store is None:
            store = Store(self.directory, self._mode, check=not self._integrity_checked)
            self._integrity_checked = True
            try:
                stored = store.read()
                if not self._loaded_from_store:
                    self._load(stored)
                self.last_write_timestamp = stored.written or self.last_write_timestamp
            except BaseException:
                with suppress(sqlite3.Error, OSError):
                    store.close()
                raise
            self._store = store
        return self._store

    def _load(self, stored: StoredState) -> None:
        if self._counted_elsewhere:
            self._pending.reset()
            self._counted_elsewhere = False
        self._pending.load(stored)
        self._pending.set_ceilings({**stored.totals, **stored.ceilings})
        self._clock = TrustedClock(stored.clock)
        self._loaded_from_store = True
        self.loaded.set()

    def _move_corrupt_file(self, error: Exception) -> None:
        self._close()
        self._integrity_checked = True
        label = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        path = paths.move_corrupt_file(self.directory / paths.FILE_NAME, label)
        text = f"ledger: the file is damaged ({error}); moved it to {path}, creating a new file"
        self._errors.report("damaged", text, kind=str(error), level=logging.ERROR)

    def _close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            with suppress(sqlite3.Error, OSError):
                store.close()

    def _record_success(self, ceilings: Totals) -> None:
        self._pending.set_ceilings(ceilings)
        self.last_write_timestamp = time.time()
        self.write_success = True
        self._errors.clear("written", "ledger: the file can be written again")

    def _record_failure(self, error: Exception) -> None:
        self._close()
        if not self._loaded_from_store:
            self._load_read_only(error)
        self._pending.set_ceilings(None)
        self.write_success = False
        problem = _describe(error, self.directory)
        self._errors.report("written", f"ledger: {problem}; usage is kept in memory until the file can be written")

    def _load_read_only(self, error: Exception) -> None:
        """Load the totals from a file that cannot be written.

        If it cannot be read either, they stay unknown. A file that this program cannot use counts as empty.
        """
        if isinstance(error, LedgerLockedError):
            self._counted_elsewhere = True
        if isinstance(error, UnusableLedgerError | UnsafePathError):
            self._pending.load(StoredState())
            return
        path = self.directory / paths.FILE_NAME
        with suppress(sqlite3.Error, OSError):
            try:
                stored = read_file(path) if path.exists() else StoredState()
            except UnusableLedgerError:  # it is empty
                stored = StoredState()
            self._pending.load(stored)


def _describe(error: Exception, directory: Path) -> str:
    """Return one line: the file, the reason, and what to do."""
    path = directory / paths.FILE_NAME
    if isinstance(error, UnsafePathError):
        return f"cannot be written: {error} with ledger.directory"
    if isinstance(error, UnusableLedgerError):
        return f"{path}: cannot be written: {error}"
    if isinstance(error, OSError):
        name = error.filename or path
        return f"{name}: cannot be written: {error.strerror}; make it writable, or choose another ledger.directory"
    if not isinstance(error, sqlite3.Error):
        return f"{path}: cannot be written: {type(error).__name__}, which is a defect of this program; please report it"
    return f"{path}: cannot be written: {error}; check whether the disk is full, read-only or broken"
