"""The ledger's file, held open by the one process that writes it."""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from genvd.analysis.restart_state import LastWork, RestartState, SavedAttachment, SavedTime
from genvd.ledger import account_names, paths, schema
from genvd.ledger.amounts import Consumer, Key, Total, Totals, Use
from genvd.ledger.schema import CorruptError, TakenError, transaction
from genvd.ledger.wall_clock import ClockState

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

HOUR = 3600

_ADDED = ", ".join(
    f"{name} = coalesce({{0}}.{name} + excluded.{name}, {{0}}.{name}, excluded.{name})"
    for name in ("allocated", "active", "idle", "energy", "allocated_again", "active_again", "idle_again")
)

_AMOUNTS = ("allocated", "active", "idle", "energy")
_KEPT = (*_AMOUNTS, *(f"ceiling_{name}" for name in _AMOUNTS))
_SET_TOTAL = f"""
    INSERT INTO person (username, uid, last, {", ".join(_KEPT)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (username) DO UPDATE SET uid = coalesce(excluded.uid, uid), last = CASE
        WHEN ({", ".join(_AMOUNTS)}) IS ({", ".join(f"excluded.{name}" for name in _AMOUNTS)}) THEN last
        ELSE max(last, excluded.last) END,
        {", ".join(f"{name} = excluded.{name}" for name in _KEPT)}
    WHERE ({", ".join(_KEPT)}) IS NOT ({", ".join(f"excluded.{name}" for name in _KEPT)})"""
_SET_ENVIRONMENT = """
    INSERT INTO environment (person, eid, created, name, last) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (person, eid, created)
    DO UPDATE SET name = coalesce(excluded.name, name), last = max(last, excluded.last)"""
_ADD_USE = f"""
    INSERT INTO hour VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET {_ADDED.format("hour")}"""
ADD_DAY = f"""
    INSERT INTO day VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET {_ADDED.format("day")}"""


@dataclass(slots=True)
class Batch:
    """What is written at once: it is in the file as a whole or not at all, and never twice."""

    uses: dict[tuple[int, Key], Use]
    """By the hour, as Unix time of its beginning."""
    totals: Totals
    """Of everybody, with these uses."""
    remembered: RestartState | None = None
    """What is to be known again after a restart, instead of what is there; None to leave that."""
    ceilings: Totals = field(default_factory=dict)
    """Up to where the counters may be shown before the next batch is written; of who is missing, up to the total."""
    clock: ClockState | None = None
    """What time is believed; None to leave that."""
    number: str = field(default_factory=lambda: os.urandom(8).hex())


@dataclass(slots=True)
class Stored:
    """What is in the file but for the hours and days."""

    totals: Totals = field(default_factory=dict)
    """What everybody has used since the ledger was begun, in the order in which they came."""
    ceilings: Totals = field(default_factory=dict)
    """Up to where the counters may have been shown."""
    remembered: RestartState = field(default_factory=RestartState)
    clock: ClockState = field(default_factory=ClockState)
    written: float | None = None
    """When it was last written, as Unix time in seconds; None if it never was."""


class Store:
    """An open ledger. All its methods may raise ``sqlite3.Error``; it is used by one thread."""

    def __init__(self, directory: Path, mode: str, *, check: bool = True) -> None:
        """Open it, making what is missing.

        Args:
            directory: where it is.
            mode: ``live``, or ``demo`` for the ledger of a simulated machine.
            check: whether to read all of it if it was not closed properly.

        Raises:
            UnsafePathError: the place is not safe to write to.
            RefusedError: it is another process's to write, or not a ledger that this program understands.
            OSError: the system does not let it be opened.
            sqlite3.Error: SQLite does not.
        """
        self.path = paths.prepare(directory)
        lock = paths.lock(self.path)
        if lock is None:
            raise TakenError("another genv-monitor writes it; stop that one or choose another directory")
        self._lock = lock
        try:
            crashed = schema.has_log(self.path)
            self.connection = schema.open_for_writing(self.path, mode)
            try:
                if crashed and check:
                    self._check()
                self._inode = self._current_inode()
                self._times: tuple[SavedTime, ...] | None = None
                self._attachments: tuple[SavedAttachment, ...] | None = None
                self._accounts: account_names.Written | None = None
            except BaseException:
                self.connection.close()
                raise
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Let go of the file."""
        try:
            self.connection.close()
        finally:
            os.close(self._lock)

    @property
    def replaced(self) -> bool:
        """Whether the file was taken away or another one put in its place."""
        try:
            return self._current_inode() != self._inode
        except OSError:
            return True

    def stored(self) -> Stored:
        """Return what is in it."""
        return read(self.connection)

    def write(self, batch: Batch) -> None:
        """Write a batch, unless it is there already: an error may come after all was written."""
        with transaction(self.connection):
            (number,) = self.connection.execute("SELECT batch FROM state").fetchone()
            if number == batch.number:
                return
            self._write_totals(batch)
            environments: dict[Consumer, int] = {}
            devices: dict[str, int] = {}
            for (start, (consumer, uuid)), use in batch.uses.items():
                if consumer not in environments:
                    environments[consumer] = self._environment(consumer, start)
                if uuid not in devices:
                    devices[uuid] = self._device(uuid)
                self.connection.execute(_ADD_USE, (start, environments[consumer], devices[uuid], *use.values()))
            self._write_remembered(batch.remembered)
            if batch.clock is not None:
                clock = (batch.clock.believed, batch.clock.doubted_seconds)
                self.connection.execute("UPDATE state SET believed = ?, doubted = ?", clock)
            self.connection.execute("UPDATE state SET batch = ?, written = ?", (batch.number, time.time()))
        if batch.remembered is not None:
            self._times = batch.remembered.times
            self._attachments = batch.remembered.attachments

    def _write_totals(self, batch: Batch) -> None:
        hour = int(time.time()) // HOUR * HOUR
        self.connection.executemany(
            _SET_TOTAL,
            (
                (username, total.uid, hour, *total.amounts, *batch.ceilings.get(username, total).amounts)
                for username, total in batch.totals.items()
            ),
        )

    def _write_remembered(self, remembered: RestartState | None) -> None:
        if remembered is None:
            return
        self.connection.execute("DELETE FROM last_work")
        self.connection.executemany(
            "INSERT INTO last_work (eid, uid, created, worked, known, known_boot) VALUES (?, ?, ?, ?, ?, ?)",
            ((one.eid, one.uid, one.created, one.worked, one.known, one.known_boot) for one in remembered.last_work),
        )
        self.connection.execute("UPDATE state SET boot_id = ?", (remembered.boot_id,))
        self._write_times(remembered.times)
        self._write_attachments(remembered.attachments)
        self._accounts = account_names.write(self.connection, remembered.accounts, self._accounts)

    def _write_attachments(self, attachments: tuple[SavedAttachment, ...]) -> None:
        if attachments == self._attachments:
            return
        self._attachments = None  # until it is certain that this is in the file
        self.connection.execute("DELETE FROM attachment")
        self.connection.executemany(
            "INSERT INTO attachment VALUES (?, ?, ?, ?, ?)",
            ((one.eid, one.device_index, one.attached, one.uuid, one.pci_bus_id) for one in attachments),
        )

    def _write_times(self, times: tuple[SavedTime, ...]) -> None:
        if times == self._times:
            return
        self._times = None  # until it is certain that this is in the file
        self.connection.execute("DELETE FROM seen")
        self.connection.executemany(
            "INSERT INTO seen (eid, device, claimed, found, earliest, latest, clock) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (one.eid, one.device_index, one.claimed, one.resolved, one.earliest, one.latest, one.clock_offset)
                for one in times
            ),
        )

    def _environment(self, consumer: Consumer, start: int) -> int:
        (person,) = self.connection.execute("SELECT id FROM person WHERE username = ?", (consumer.username,)).fetchone()
        created = -1 if consumer.created is None else consumer.created
        self.connection.execute(_SET_ENVIRONMENT, (person, consumer.eid, created, consumer.name, start))
        (number,) = self.connection.execute(
            "SELECT id FROM environment WHERE (person, eid, created) = (?, ?, ?)", (person, consumer.eid, created)
        ).fetchone()
        return int(number)

    def _device(self, uuid: str) -> int:
        self.connection.execute("INSERT OR IGNORE INTO device (uuid) VALUES (?)", (uuid,))
        (number,) = self.connection.execute("SELECT id FROM device WHERE uuid = ?", (uuid,)).fetchone()
        return int(number)

    def _check(self) -> None:
        """Raise what SQLite raises for a damaged file if it is one: after a crash it may be."""
        ((found,),) = self.connection.execute("PRAGMA quick_check(1)").fetchall()
        if found != "ok":
            raise CorruptError("a check after a crash found it damaged")

    def _current_inode(self) -> tuple[int, int]:
        status = self.path.stat()
        return status.st_dev, status.st_ino


def read(connection: sqlite3.Connection) -> Stored:
    """Return what is in the file of a ledger, whatever its version: what an older one did not keep is not known."""
    version = schema.version(connection)
    rows = connection.execute("SELECT username, uid, allocated, active, idle, energy FROM person ORDER BY id")
    totals = {username: Total(*amounts) for username, *amounts in rows}
    (written,) = connection.execute("SELECT written FROM state").fetchone()
    stored = Stored(totals, clock=ClockState(written), written=written)
    if version >= schema.CEILING_VERSION:
        stored.ceilings = _ceilings(connection, totals)
        believed, doubted = connection.execute("SELECT believed, doubted FROM state").fetchone()
        stored.clock = ClockState(written if believed is None else believed, doubted)
    stored.remembered = read_remembered(connection)
    return stored


def read_remembered(connection: sqlite3.Connection) -> RestartState:
    """Return what is to be known again after a restart; see :func:`read`."""
    version = schema.version(connection)
    attachments = _attachments(connection, version)
    if version < schema.LAST_WORK_VERSION:
        return RestartState()
    columns = "eid, uid, created, worked, known"
    if version < schema.BOOT_VERSION:
        rows = connection.execute(f"SELECT {columns} FROM last_work")
        return RestartState(tuple(LastWork(*row) for row in rows), attachments=attachments)
    last_work = tuple(LastWork(*row) for row in connection.execute(f"SELECT {columns}, known_boot FROM last_work"))
    rows = connection.execute(
        "SELECT eid, device, claimed, found, earliest, latest, clock FROM seen WHERE clock IS NOT NULL"
    )
    (boot_id,) = connection.execute("SELECT boot_id FROM state").fetchone()
    times = tuple(SavedTime(*row) for row in rows)
    return RestartState(last_work, times, attachments, account_names.read(connection), boot_id)


def _attachments(connection: sqlite3.Connection, version: int) -> tuple[SavedAttachment, ...]:
    if version < schema.ATTACHMENT_VERSION:
        return ()
    rows = connection.execute("SELECT eid, device, attached, uuid, pci_bus_id FROM attachment")
    return tuple(SavedAttachment(*row) for row in rows)


def _ceilings(connection: sqlite3.Connection, totals: Totals) -> Totals:
    ceilings = ", ".join(f"ceiling_{name}" for name in _AMOUNTS)
    rows = connection.execute(f"SELECT username, uid, {ceilings} FROM person WHERE ceiling_allocated IS NOT NULL")
    return {username: Total(*amounts).at_least(totals[username]) for username, *amounts in rows}


def read_unwritable(path: Path) -> Stored:
    """Return what is in a file that cannot be opened for writing, as on a disk that is full.

    Raises:
        RefusedError, sqlite3.Error: it cannot be read either.
    """
    with closing(schema.open_for_reading(path)) as connection:
        return read(connection)
