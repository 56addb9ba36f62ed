"""The form of the ledger's file: its tables, their versions, and how it is opened."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APPLICATIONS = {"live": 0x67656E76, "demo": 0x67656E64}
"""Tells a ledger from other databases, and from that of a simulated machine (sqlite.org/fileformat2.html, 1.3.14)."""

_AMOUNTS = """
    allocated INTEGER NOT NULL, active INTEGER, idle INTEGER, energy INTEGER,
    allocated_again INTEGER NOT NULL, active_again INTEGER NOT NULL, idle_again INTEGER NOT NULL"""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # Times are in milliseconds and energies in millijoules but for those of CLOCK_REALTIME, which are Unix seconds.
        "CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 0), batch TEXT NOT NULL, written REAL)",
        "INSERT INTO state VALUES (0, '', NULL)",
        # With what somebody used since the ledger was begun; 'last' is the last hour in which they used anything.
        "CREATE TABLE person (id INTEGER PRIMARY KEY, username TEXT NOT NULL UNIQUE, uid INTEGER,"
        " last INTEGER NOT NULL, allocated INTEGER NOT NULL, active INTEGER, idle INTEGER, energy INTEGER)",
        "CREATE TABLE environment (id INTEGER PRIMARY KEY, person INTEGER NOT NULL, eid TEXT NOT NULL,"
        " created INTEGER NOT NULL, name TEXT, last INTEGER NOT NULL, UNIQUE (person, eid, created))",
        "CREATE TABLE device (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE)",
        f"CREATE TABLE hour (start INTEGER, environment INTEGER, device INTEGER, {_AMOUNTS},"
        " PRIMARY KEY (start, environment, device)) WITHOUT ROWID",
        f"CREATE TABLE day (start INTEGER, environment INTEGER, device INTEGER, {_AMOUNTS},"
        " PRIMARY KEY (start, environment, device)) WITHOUT ROWID",
    ),
    (
        # Of the environments that hold devices now, all in Unix seconds.
        "CREATE TABLE last_work (eid TEXT NOT NULL, uid INTEGER, created REAL NOT NULL, worked REAL NOT NULL,"
        " known REAL NOT NULL)",
    ),
    (
        # Up to where the counters may have been shown; NULL in what was written before. See docs/ledger.md.
        *(f"ALTER TABLE person ADD COLUMN ceiling_{one} INTEGER" for one in ("allocated", "active", "idle", "energy")),
        # Since when environments and attachments are there, in Unix seconds; device -1 is the environment itself.
        "CREATE TABLE seen (eid TEXT NOT NULL, device INTEGER NOT NULL, claimed REAL NOT NULL, found REAL NOT NULL)",
        # The Unix time that is believed, and for how many seconds of counting the clock has said something else.
        "ALTER TABLE state ADD COLUMN believed REAL",
        "ALTER TABLE state ADD COLUMN doubted REAL NOT NULL DEFAULT 0",
    ),
    (
        # Of which device each attachment is; the time is that of genv's files.
        "CREATE TABLE attachment (eid TEXT NOT NULL, device INTEGER NOT NULL, attached REAL, uuid TEXT,"
        " pci_bus_id TEXT)",
    ),
    (
        # Seconds of CLOCK_BOOTTIME, in the boot of the machine that the state names: nobody sets that clock.
        "ALTER TABLE state ADD COLUMN boot_id TEXT",
        "ALTER TABLE seen ADD COLUMN earliest REAL",
        "ALTER TABLE seen ADD COLUMN latest REAL",
        # By how much the clock of the machine was ahead of that one when the time was found.
        "ALTER TABLE seen ADD COLUMN clock REAL",
        "ALTER TABLE last_work ADD COLUMN known_boot REAL",
        # What the name service called people. 'main' is 1 for the name of the uid, 0 for another one that it goes by;
        # 'last' is the last hour in which it was asked for, in Unix seconds.
        "CREATE TABLE account (name TEXT PRIMARY KEY, uid INTEGER NOT NULL, main INTEGER NOT NULL,"
        " last INTEGER NOT NULL) WITHOUT ROWID",
    ),
)
"""What makes each version of the tables out of the one before; the first out of nothing. Never change one, add one."""

LAST_WORK_VERSION = 2
"""The first one that keeps when environments last worked."""

CEILING_VERSION = 3
"""The first one that keeps how far counters were shown, since when environments are there, and the time believed."""

ATTACHMENT_VERSION = 4
"""The first one that keeps of which device an attachment is."""

BOOT_VERSION = 5
"""The first one that keeps times of CLOCK_BOOTTIME, and names of accounts."""

OLDEST_READABLE_VERSION = 1
"""The first one that has all that reports and counters need, so that it can be read before it is brought up to date."""

BUSY_SECONDS = 1.0
"""How long somebody who reads or backs up the file is waited for."""


class RefusedError(Exception):
    """The file is not one that this program may write or read. The text is one line: the reason, the way out."""


def open_for_writing(path: Path, mode: str) -> sqlite3.Connection:
    """Open the file, which may be empty, and bring its tables up to date.

    A write-ahead log: a reader never waits for the writer nor the writer for readers, one fsync(2) makes a transaction
    durable, and a log that was cut off anywhere loses its end and nothing else (sqlite.org/wal.html). ``synchronous``
    is FULL: what is committed is there after a power loss (sqlite.org/pragma.html#pragma_synchronous), which is what
    the counters rest on.

    Args:
        path: of the file.
        mode: ``live``, or ``demo`` for the ledger of a simulated machine.

    Raises:
        RefusedError: it is something else, or newer than this program.
        sqlite3.Error: it cannot be opened.
    """
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        if _is_empty(connection):
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # counts only before the first table
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA application_id = {APPLICATIONS[mode]}")
        check(connection, (mode,))
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 4194304")
        _migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open the file of a ledger that another process may be writing.

    Raises:
        RefusedError: it is something else, or newer or older than this program.
        sqlite3.Error: it cannot be opened.
    """
    try:
        connection = _open_read_only(path, "mode=ro")
    except sqlite3.OperationalError:
        # Without its log nobody writes it, and it can be read where no log can be made, as on read-only media.
        if has_log(path):
            raise
        connection = _open_read_only(path, "mode=ro&immutable=1")
    return connection


def has_log(path: Path) -> bool:
    """Tell whether there is something in the write-ahead log, as while it is open and after a crash."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def _open_read_only(path: Path, how: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}", uri=True, timeout=BUSY_SECONDS, isolation_level=None
    )
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA query_only = ON")
        if _is_empty(connection):
            raise RefusedError("nothing has been written to it yet; wait half a minute")
        check(connection, tuple(APPLICATIONS))
        if version(connection) < OLDEST_READABLE_VERSION:
            raise RefusedError(
                "it is of an older version of genv-monitor; start the service once to bring it up to date"
            )
    except BaseException:
        connection.close()
        raise
    return connection


def check(connection: sqlite3.Connection, modes: tuple[str, ...]) -> None:
    """Raise :class:`RefusedError` unless it is a ledger of one of these modes that this program understands."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application not in APPLICATIONS.values():
        raise RefusedError("it is a database of something else; move it away or choose another directory")
    if application not in {APPLICATIONS[mode] for mode in modes}:
        machine = "the real machine" if modes == ("demo",) else "a simulated machine"
        raise RefusedError(f"it is the ledger of {machine}; choose another directory")
    if version(connection) > len(MIGRATIONS):
        raise RefusedError("it is of a newer version of genv-monitor; install that again, or move the file away")


def is_corrupt(error: Exception) -> bool:
    """Tell whether an error of SQLite says that the file is damaged or none of its own (sqlite.org/rescode.html)."""
    if not isinstance(error, sqlite3.DatabaseError) or isinstance(error, CorruptError):
        return isinstance(error, CorruptError)
    code = getattr(error, "sqlite_errorcode", None)  # since Python 3.11
    if code is not None:
        return code & 0xFF in (_SQLITE_CORRUPT, _SQLITE_NOTADB)
    return "malformed" in str(error) or "not a database" in str(error)


_SQLITE_CORRUPT, _SQLITE_NOTADB = 11, 26


class TakenError(RefusedError):
    """Another process writes the file, and so counts the same."""


class CorruptError(sqlite3.DatabaseError):
    """The file is damaged."""


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Do all of it, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # some errors have ended it already
            connection.execute("ROLLBACK")
        raise


def _is_empty(connection: sqlite3.Connection) -> bool:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    return not tables and not application


def version(connection: sqlite3.Connection) -> int:
    """Return the version of its tables."""
    (number,) = connection.execute("PRAGMA user_version").fetchone()
    return int(number)


def _migrate(connection: sqlite3.Connection) -> None:
    for number in range(version(connection), len(MIGRATIONS)):
        with transaction(connection):
            for statement in MIGRATIONS[number]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
