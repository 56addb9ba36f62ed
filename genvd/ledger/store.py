"""Reads and writes the tables of the ledger, in its file or in memory. Only one process may write the file."""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from genvd.analysis.restart_state import DeviceWork, LastWork, RestartState, SavedAttachment, SavedTime
from genvd.ledger import account_names, paths, schema
from genvd.ledger.amounts import CAPACITY_STATES, Capacity, Consumer, Total, Totals, Usage, UsageKey
from genvd.ledger.schema import CorruptLedgerError, LedgerLockedError, transaction
from genvd.ledger.wall_clock import TrustedClockState

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

HOUR = 3600

_ADD_AMOUNTS = ", ".join(
    f"{name} = coalesce({{0}}.{name} + excluded.{name}, {{0}}.{name}, excluded.{name})"
    for name in (
        *("allocated", "active", "idle", "energy", "allocated_again", "active_again", "idle_again"),
        *("outside", "outside_again"),
    )
)
"""Adds amounts to those in the table {0}. If only one of two amounts is known, the result is that one."""

_AMOUNTS = ("allocated", "active", "idle", "energy", "outside")
_TOTAL_COLUMNS = (*_AMOUNTS, *(f"ceiling_{name}" for name in _AMOUNTS))
_UPSERT_TOTAL = f"""
    INSERT INTO person (username, uid, last, {", ".join(_TOTAL_COLUMNS)}) VALUES (?, ?, ?{", ?" * len(_TOTAL_COLUMNS)})
    ON CONFLICT (username) DO UPDATE SET uid = coalesce(excluded.uid, uid), last = CASE
        WHEN ({", ".join(_AMOUNTS)}) IS ({", ".join(f"excluded.{name}" for name in _AMOUNTS)}) THEN last
        ELSE max(last, excluded.last) END,
        {", ".join(f"{name} = excluded.{name}" for name in _TOTAL_COLUMNS)}
    WHERE ({", ".join(_TOTAL_COLUMNS)}) IS NOT ({", ".join(f"excluded.{name}" for name in _TOTAL_COLUMNS)})"""
"""Writes a user's total and ceiling if they have changed. ``last`` changes only with the total."""
_UPSERT_ENVIRONMENT = """
    INSERT INTO environment (person, eid, created, name, last) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (person, eid, created)
    DO UPDATE SET name = coalesce(excluded.name, name), last = max(last, excluded.last)"""
_USE_VALUES = ", ".join("?" * 12)
"""The beginning of the hour or day, the environment, the GPU, and the amounts."""
_ADD_HOUR = f"""
    INSERT INTO hour VALUES ({_USE_VALUES})
    ON CONFLICT DO UPDATE SET {_ADD_AMOUNTS.format("hour")}"""
ADD_DAY = f"""
    INSERT INTO day VALUES ({_USE_VALUES})
    ON CONFLICT DO UPDATE SET {_ADD_AMOUNTS.format("day")}"""
_ADD_CAPACITY = f"""
    INSERT INTO {{0}} VALUES (?, ?{", ?" * len(CAPACITY_STATES)})
    ON CONFLICT DO UPDATE SET {", ".join(f"{name} = {name} + excluded.{name}" for name in CAPACITY_STATES)}"""
_ADD_CAPACITY_HOUR = _ADD_CAPACITY.format("capacity_hour")
ADD_CAPACITY_DAY = _ADD_CAPACITY.format("capacity_day")


@dataclass(slots=True)
class Batch:
    """What one transaction writes. It is written completely or not at all, and never twice."""

    usages: dict[tuple[int, UsageKey], Usage]
    """By the Unix time at which the hour begins, the consumer and the GPU."""
    totals: Totals
    """Everybody's total, including these usages."""
    restart_state: RestartState | None = None
    """None to keep what is in the file."""
    ceilings: Totals = field(default_factory=dict)
    """Up to where the counters may be shown before the next batch is written; for missing users, the total."""
    clock: TrustedClockState | None = None
    """None to keep what is in the file."""
    capacity: dict[tuple[int, str], Capacity] = field(default_factory=dict)
    """By the Unix time at which the hour begins, and the GPU."""
    id: str = field(default_factory=lambda: os.urandom(8).hex())


@dataclass(slots=True)
class StoredState:
    """The content of the file, except for hours and days."""

    totals: Totals = field(default_factory=dict)
    """Everybody's total since the ledger was created, in the order in which the users first appeared."""
    ceilings: Totals = field(default_factory=dict)
    """Up to where the counters may have been shown."""
    restart_state: RestartState = field(default_factory=RestartState)
    clock: TrustedClockState = field(default_factory=TrustedClockState)
    written: float | None = None
    """Unix time of the last write, in seconds; None if there was none."""


class Tables:
    """The tables, opened for writing. All methods may raise ``sqlite3.Error``; one thread at a time may call them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        # What the file contains, so that only changes are written; None if that is uncertain.
        self._written_times: tuple[SavedTime, ...] | None = None
        self._written_attachments: tuple[SavedAttachment, ...] | None = None
        self._written_accounts: account_names.LastWrite | None = None

    def read(self) -> StoredState:
        """Return the content of the file."""
        return read_state(self.connection)

    def write(self, batch: Batch) -> None:
        """Write a batch, unless the file has it: SQLite may report an error after the transaction was committed."""
        with transaction(self.connection):
            (last_id,) = self.connection.execute("SELECT batch FROM state").fetchone()
            if last_id == batch.id:
                return
            self._write_totals(batch)
            environments: dict[Consumer, int] = {}
            devices: dict[str, int] = {}
            for (start, (consumer, uuid)), usage in batch.usages.items():
                if consumer not in environments:
                    environments[consumer] = self._upsert_environment(consumer, start)
                if uuid not in devices:
                    devices[uuid] = self._upsert_device(uuid)
                self.connection.execute(_ADD_HOUR, (start, environments[consumer], devices[uuid], *usage.values()))
            for (start, uuid), capacity in batch.capacity.items():
                if uuid not in devices:
                    devices[uuid] = self._upsert_device(uuid)
                amounts = (capacity.get(state, 0) for state in CAPACITY_STATES)
                self.connection.execute(_ADD_CAPACITY_HOUR, (start, devices[uuid], *amounts))
            self._write_restart_state(batch.restart_state)
            if batch.clock is not None:
                clock = (batch.clock.trusted, batch.clock.distrusted_seconds)
                self.connection.execute("UPDATE state SET believed = ?, doubted = ?", clock)
            self.connection.execute("UPDATE state SET batch = ?, written = ?", (batch.id, time.time()))
        if batch.restart_state is not None:
            self._written_times = batch.restart_state.times
            self._written_attachments = batch.restart_state.attachments

    def _write_totals(self, batch: Batch) -> None:
        hour = int(time.time()) // HOUR * HOUR
        self.connection.executemany(
            _UPSERT_TOTAL,
            (
                (username, total.uid, hour, *total.amounts, *batch.ceilings.get(username, total).amounts)
                for username, total in batch.totals.items()
            ),
        )

    def _write_restart_state(self, restart_state: RestartState | None) -> None:
        if restart_state is None:
            return
        self.connection.execute("DELETE FROM last_work")
        self.connection.executemany(
            "INSERT INTO last_work (eid, uid, created, worked, known, known_boot) VALUES (?, ?, ?, ?, ?, ?)",
            (
                (work.eid, work.uid, work.created, work.worked, work.known, work.known_boot)
                for work in restart_state.last_work
            ),
        )
        self.connection.execute("DELETE FROM device_work")
        self.connection.executemany(
            "INSERT INTO device_work VALUES (?, ?, ?, ?, ?, ?)",
            ((*work.identity, *device) for work in restart_state.last_work for device in work.devices),
        )
        self.connection.execute("UPDATE state SET boot_id = ?", (restart_state.boot_id,))
        self._write_times(restart_state.times)
        self._write_attachments(restart_state.attachments)
        self._written_accounts = account_names.write(self.connection, restart_state.accounts, self._written_accounts)

    def _write_attachments(self, attachments: tuple[SavedAttachment, ...]) -> None:
        if attachments == self._written_attachments:
            return
        self._written_attachments = None  # until the transaction is committed
        self.connection.execute("DELETE FROM attachment")
        self.connection.executemany(
            "INSERT INTO attachment VALUES (?, ?, ?, ?, ?)",
            (
                (attachment.eid, attachment.device_index, attachment.attached, attachment.uuid, attachment.pci_bus_id)
                for attachment in attachments
            ),
        )

    def _write_times(self, times: tuple[SavedTime, ...]) -> None:
        if times == self._written_times:
            return
        self._written_times = None  # until the transaction is committed
        self.connection.execute("DELETE FROM seen")
        self.connection.executemany(
            "INSERT INTO seen (eid, device, claimed, found, earliest, latest, clock) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (row.eid, row.device_index, row.claimed, row.resolved, row.earliest, row.latest, row.clock_offset)
                for row in times
            ),
        )

    def _upsert_environment(self, consumer: Consumer, start: int) -> int:
        (person,) = self.connection.execute("SELECT id FROM person WHERE username = ?", (consumer.username,)).fetchone()
        created = -1 if consumer.created is None else consumer.created
        self.connection.execute(_UPSERT_ENVIRONMENT, (person, consumer.eid, created, consumer.name, start))
        (row_id,) = self.connection.execute(
            "SELECT id FROM environment WHERE (person, eid, created) = (?, ?, ?)", (person, consumer.eid, created)
        ).fetchone()
        return int(row_id)

    def _upsert_device(self, uuid: str) -> int:
        self.connection.execute("INSERT OR IGNORE INTO device (uuid) VALUES (?)", (uuid,))
        (row_id,) = self.connection.execute("SELECT id FROM device WHERE uuid = ?", (uuid,)).fetchone()
        return int(row_id)


class Store(Tables):
    """The file, opened for writing."""

    def __init__(self, directory: Path, mode: str, *, check: bool = True) -> None:
        """Open the file, creating the directory and the file if they are missing.

        Args:
            directory: where the file is.
            mode: ``live``, or ``demo`` for the ledger of a simulated machine.
            check: whether to check the file for damage if it was not closed properly.

        Raises:
            UnsafePathError: the directory is not safe to write to.
            UnusableLedgerError: another process has the lock, or this program cannot use the file.
            OSError: the file cannot be opened.
            sqlite3.Error: SQLite cannot open it.
        """
        self.path = paths.prepare(directory)
        lock = paths.lock(self.path)
        if lock is None:
            raise LedgerLockedError("another genv-monitor is writing it; stop that one or choose another directory")
        self._lock = lock
        try:
            crashed = schema.has_wal(self.path)
            super().__init__(schema.open_for_writing(self.path, mode))
            try:
                if crashed and check:
                    self._check_integrity()
                self._inode = self._current_inode()
            except BaseException:
                self.connection.close()
                raise
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Close the file and release the lock."""
        try:
            self.connection.close()
        finally:
            os.close(self._lock)

    @property
    def replaced(self) -> bool:
        """Whether the file was deleted or replaced by another one."""
        try:
            return self._current_inode() != self._inode
        except OSError:
            return True

    def _check_integrity(self) -> None:
        ((result,),) = self.connection.execute("PRAGMA quick_check(1)").fetchall()
        if result != "ok":
            raise CorruptLedgerError("the check after a crash failed")

    def _current_inode(self) -> tuple[int, int]:
        status = self.path.stat()
        return status.st_dev, status.st_ino


def read_state(connection: sqlite3.Connection) -> StoredState:
    """Return the content of a file of any version. What an older version does not store is unknown."""
    version = schema.version(connection)
    amounts = ", ".join(_amounts(version))
    rows = connection.execute(f"SELECT username, uid, {amounts} FROM person ORDER BY id")
    totals = {username: Total(*row) for username, *row in rows}
    (written,) = connection.execute("SELECT written FROM state").fetchone()
    stored = StoredState(totals, clock=TrustedClockState(written), written=written)
    if version >= schema.CEILING_VERSION:
        stored.ceilings = _read_ceilings(connection, totals)
        trusted, distrusted_seconds = connection.execute("SELECT believed, doubted FROM state").fetchone()
        stored.clock = TrustedClockState(written if trusted is None else trusted, distrusted_seconds)
    stored.restart_state = read_restart_state(connection)
    return stored


def read_restart_state(connection: sqlite3.Connection) -> RestartState:
    """Return the restart state in a file of any version."""
    version = schema.version(connection)
    attachments = _read_attachments(connection, version)
    if version < schema.LAST_WORK_VERSION:
        return RestartState()
    columns = "eid, uid, created, worked, known"
    if version < schema.BOOT_VERSION:
        rows = connection.execute(f"SELECT {columns} FROM last_work")
        return RestartState(tuple(LastWork(*row) for row in rows), attachments=attachments)
    devices = _read_device_work(connection)
    saved = [LastWork(*row) for row in connection.execute(f"SELECT {columns}, known_boot FROM last_work")]
    last_work = tuple(work._replace(devices=devices.get(work.identity, ())) for work in saved)
    rows = connection.execute(
        "SELECT eid, device, claimed, found, earliest, latest, clock FROM seen WHERE clock IS NOT NULL"
    )
    (boot_id,) = connection.execute("SELECT boot_id FROM state").fetchone()
    times = tuple(SavedTime(*row) for row in rows)
    return RestartState(last_work, times, attachments, account_names.read(connection), boot_id)


def _read_device_work(connection: sqlite3.Connection) -> dict[tuple[str, int | None, float], tuple[DeviceWork, ...]]:
    """Return the last work on each GPU by the identity of the environment."""
    found: dict[tuple[str, int | None, float], tuple[DeviceWork, ...]] = {}
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'device_work'").fetchone():
        rows = connection.execute("SELECT eid, uid, created, device, worked, known FROM device_work")
        for eid, uid, created, *work in rows:
            found[eid, uid, created] = (*found.get((eid, uid, created), ()), DeviceWork(*work))
    return found


def _read_attachments(connection: sqlite3.Connection, version: int) -> tuple[SavedAttachment, ...]:
    if version < schema.ATTACHMENT_VERSION:
        return ()
    rows = connection.execute("SELECT eid, device, attached, uuid, pci_bus_id FROM attachment")
    return tuple(SavedAttachment(*row) for row in rows)


def _amounts(version: int) -> tuple[str, ...]:
    """Return the columns of amounts that a version has."""
    return _AMOUNTS if version >= schema.OUTSIDE_VERSION else _AMOUNTS[:-1]


def _read_ceilings(connection: sqlite3.Connection, totals: Totals) -> Totals:
    ceilings = ", ".join(f"ceiling_{name}" for name in _amounts(schema.version(connection)))
    rows = connection.execute(f"SELECT username, uid, {ceilings} FROM person WHERE ceiling_allocated IS NOT NULL")
    return {username: Total(*amounts).maximum(totals[username]) for username, *amounts in rows}


def read_file(path: Path) -> StoredState:
    """Return the content of a file that cannot be opened for writing, as on a full disk.

    Raises:
        UnusableLedgerError: this program cannot use the file.
        sqlite3.Error: it cannot be read either.
    """
    with closing(schema.open_for_reading(path)) as connection:
        return read_state(connection)
