"""The ledger's file, held open by the one process that writes it."""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from genvd.idleness import LastWork
from genvd.ledger import place, schema
from genvd.ledger.schema import CorruptError, TakenError, transaction
from genvd.ledger.use import Consumer, Key, Total, Totals, Use

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

HOUR = 3600

_ADDED = ", ".join(
    f"{name} = coalesce({{0}}.{name} + excluded.{name}, {{0}}.{name}, excluded.{name})"
    for name in ("allocated", "active", "idle", "energy", "allocated_again", "active_again", "idle_again")
)

_SET_TOTAL = """
    INSERT INTO person (username, uid, last, allocated, active, idle, energy) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (username) DO UPDATE SET uid = coalesce(excluded.uid, uid), last = max(last, excluded.last),
        allocated = excluded.allocated, active = excluded.active, idle = excluded.idle, energy = excluded.energy
    WHERE (allocated, active, idle, energy)
        IS NOT (excluded.allocated, excluded.active, excluded.idle, excluded.energy)"""
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
    last_work: tuple[LastWork, ...] | None = None
    """When environments last worked, instead of what is there; None to leave that."""
    number: str = field(default_factory=lambda: os.urandom(8).hex())


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
        self.path = place.prepare(directory)
        lock = place.lock(self.path)
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

    def totals(self) -> Totals:
        """Return what everybody has used since the ledger was begun."""
        return read_totals(self.connection)

    def last_work(self) -> tuple[LastWork, ...]:
        """Return when environments last worked."""
        return read_last_work(self.connection)

    def written(self) -> float | None:
        """Return when it was last written, as Unix time in seconds; None if it never was."""
        (written,) = self.connection.execute("SELECT written FROM state").fetchone()
        return None if written is None else float(written)

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
            self._write_last_work(batch)
            self.connection.execute("UPDATE state SET batch = ?, written = ?", (batch.number, time.time()))

    def _write_totals(self, batch: Batch) -> None:
        hour = int(time.time()) // HOUR * HOUR
        self.connection.executemany(
            _SET_TOTAL,
            (
                (username, total.uid, hour, total.allocated, total.active, total.idle, total.energy)
                for username, total in batch.totals.items()
            ),
        )

    def _write_last_work(self, batch: Batch) -> None:
        if batch.last_work is None:
            return
        self.connection.execute("DELETE FROM last_work")
        self.connection.executemany(
            "INSERT INTO last_work VALUES (?, ?, ?, ?, ?)",
            ((one.eid, one.uid, one.created, one.worked, one.known) for one in batch.last_work),
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


def read_totals(connection: sqlite3.Connection) -> Totals:
    """Return what everybody has used since the ledger was begun, in the order in which they came."""
    rows = connection.execute("SELECT username, uid, allocated, active, idle, energy FROM person ORDER BY id")
    return {username: Total(*amounts) for username, *amounts in rows}


def read_last_work(connection: sqlite3.Connection) -> tuple[LastWork, ...]:
    """Return when environments last worked; nothing for a file of the first version, which did not keep that."""
    if schema.version(connection) < schema.LAST_WORK_VERSION:
        return ()
    return tuple(LastWork(*row) for row in connection.execute("SELECT eid, uid, created, worked, known FROM last_work"))


def read_unwritable(path: Path) -> tuple[Totals, tuple[LastWork, ...]]:
    """Return totals and last work of a file that cannot be opened for writing, as on a disk that is full.

    Raises:
        RefusedError, sqlite3.Error: it cannot be read either.
    """
    with closing(schema.open_for_reading(path)) as connection:
        return read_totals(connection), read_last_work(connection)
