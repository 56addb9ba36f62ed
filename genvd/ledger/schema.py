"""The database schema of the ledger: its tables, migrations, and how the file is opened."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APPLICATIONS = {"live": 0x67656E76, "demo": 0x67656E64}
"""The application ID in the file's header, for each mode (sqlite.org/fileformat2.html, 1.3.14)."""

_AMOUNTS = """
    allocated INTEGER NOT NULL, active INTEGER, idle INTEGER, energy INTEGER,
    allocated_again INTEGER NOT NULL, active_again INTEGER NOT NULL, idle_again INTEGER NOT NULL"""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # Amounts are in milliseconds and millijoules. Points in time are Unix seconds.
        "CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 0), batch TEXT NOT NULL, written REAL)",
        "INSERT INTO state VALUES (0, '', NULL)",
        # With the user's total since the ledger was created; 'last' is the last hour in which the user used anything.
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
        # For each environment that holds GPUs now; all times in Unix seconds.
        "CREATE TABLE last_work (eid TEXT NOT NULL, uid INTEGER, created REAL NOT NULL, worked REAL NOT NULL,"
        " known REAL NOT NULL)",
    ),
    (
        # Up to where the counters may have been shown; NULL in older rows. See docs/ledger.md.
        *(
            f"ALTER TABLE person ADD COLUMN ceiling_{name} INTEGER"
            for name in ("allocated", "active", "idle", "energy")
        ),
        # When environments and attachments began, in Unix seconds; device -1 is the environment itself.
        "CREATE TABLE seen (eid TEXT NOT NULL, device INTEGER NOT NULL, claimed REAL NOT NULL, found REAL NOT NULL)",
        # See TrustedClockState in wall_clock.py.
        "ALTER TABLE state ADD COLUMN believed REAL",
        "ALTER TABLE state ADD COLUMN doubted REAL NOT NULL DEFAULT 0",
    ),
    (
        # Which GPU each attachment means; the time is that of genv's files.
        "CREATE TABLE attachment (eid TEXT NOT NULL, device INTEGER NOT NULL, attached REAL, uuid TEXT,"
        " pci_bus_id TEXT)",
    ),
    (
        # Seconds of CLOCK_BOOTTIME, which nobody can set, in the boot that state.boot_id names.
        "ALTER TABLE state ADD COLUMN boot_id TEXT",
        "ALTER TABLE seen ADD COLUMN earliest REAL",
        "ALTER TABLE seen ADD COLUMN latest REAL",
        # CLOCK_REALTIME minus CLOCK_BOOTTIME when the time was found.
        "ALTER TABLE seen ADD COLUMN clock REAL",
        "ALTER TABLE last_work ADD COLUMN known_boot REAL",
        # Answers of the name service. 'main' is 1 for the main name of the uid, 0 for another name; 'last' is the
        # hour of the last request for it, in Unix seconds.
        "CREATE TABLE account (name TEXT PRIMARY KEY, uid INTEGER NOT NULL, main INTEGER NOT NULL,"
        " last INTEGER NOT NULL) WITHOUT ROWID",
    ),
    (
        # Milliseconds without an attached GPU; NULL in older rows, when this was not counted.
        "ALTER TABLE person ADD COLUMN outside INTEGER",
        "ALTER TABLE person ADD COLUMN ceiling_outside INTEGER",
        *(
            f"ALTER TABLE {table} ADD COLUMN {column}"
            for table in ("hour", "day")
            for column in ("outside INTEGER", "outside_again INTEGER NOT NULL DEFAULT 0")
        ),
        # Milliseconds of each GPU by its state; see CapacityState in amounts.py.
        *(
            f"CREATE TABLE {table} (start INTEGER, device INTEGER, active INTEGER NOT NULL, idle INTEGER NOT NULL,"
            " attached INTEGER NOT NULL, outside INTEGER NOT NULL, free INTEGER NOT NULL, down INTEGER NOT NULL,"
            " unknown INTEGER NOT NULL, PRIMARY KEY (start, device)) WITHOUT ROWID"
            for table in ("capacity_hour", "capacity_day")
        ),
    ),
)
"""The statements that upgrade each version to the next, beginning with an empty file. Never change one, append one."""

DEVICE_WORK = (
    "CREATE TABLE IF NOT EXISTS device_work (eid TEXT NOT NULL, uid INTEGER, created REAL NOT NULL,"
    " device INTEGER NOT NULL, worked REAL NOT NULL, known REAL NOT NULL)"
)
"""For each row of last_work, the same for each GPU. It is in files of any version, so that older programs, which do not
know it, can use the file."""

LAST_WORK_VERSION = 2
"""The first version that stores when environments last worked."""

CEILING_VERSION = 3
"""The first version that stores ceilings, when environments began, and the trusted time."""

ATTACHMENT_VERSION = 4
"""The first version that stores which GPU an attachment means."""

BOOT_VERSION = 5
"""The first version that stores times of CLOCK_BOOTTIME, and account names."""

OUTSIDE_VERSION = 6
"""The first version that stores time outside environments, and the time of each GPU by its state."""

OLDEST_READABLE_VERSION = 1
"""The first version with everything that reports and counters need, so that it can be read without an upgrade."""

_SQLITE_CORRUPT, _SQLITE_NOTADB = 11, 26

BUSY_SECONDS = 1.0
"""How long SQLite waits for another process that locks the file, such as a backup."""


class UnusableLedgerError(Exception):
    """This program cannot or must not use the file. The text is one line: the reason, and what to do."""


class LedgerLockedError(UnusableLedgerError):
    """Another process has the lock, so it counts the same usage."""


class CorruptLedgerError(sqlite3.DatabaseError):
    """The file is damaged."""


def open_for_writing(path: Path, mode: str) -> sqlite3.Connection:
    """Open the file, which may be empty, and upgrade its tables.

    It uses a write-ahead log: readers and the writer never wait for each other, one fsync(2) makes a transaction
    durable, and a log that is cut off loses only its end (sqlite.org/wal.html). ``synchronous`` is FULL, so that a
    committed transaction survives a power loss (sqlite.org/pragma.html#pragma_synchronous): the counters rely on that.

    Args:
        path: the file.
        mode: ``live``, or ``demo`` for the ledger of a simulated machine.

    Raises:
        UnusableLedgerError: it is another database, or written by a newer version.
        sqlite3.Error: it cannot be opened.
    """
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        if _is_empty(connection):
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # has an effect only before the first table
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA application_id = {APPLICATIONS[mode]}")
        check_mode(connection, (mode,))
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 4194304")
        _migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def open_in_memory() -> sqlite3.Connection:
    """Open an empty ledger in memory. Any thread may use it, but only one at a time."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    _migrate(connection)
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open the file read-only; another process may be writing it.

    Raises:
        UnusableLedgerError: it is empty or another database, or its version is too new or too old.
        sqlite3.Error: it cannot be opened.
    """
    try:
        connection = _open_read_only(path, "mode=ro")
    except sqlite3.OperationalError:
        # Without a log, nobody is writing it: then it can be read without creating one, as on read-only media.
        if has_wal(path):
            raise
        connection = _open_read_only(path, "mode=ro&immutable=1")
    return connection


def has_wal(path: Path) -> bool:
    """Return whether the write-ahead log has content, as while the file is open and after a crash."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def _open_read_only(path: Path, parameters: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{parameters}", uri=True, timeout=BUSY_SECONDS, isolation_level=None
    )
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA query_only = ON")
        if _is_empty(connection):
            raise UnusableLedgerError("it is still empty; try again in half a minute")
        check_mode(connection, tuple(APPLICATIONS))
        if version(connection) < OLDEST_READABLE_VERSION:
            raise UnusableLedgerError("an older version of genv-monitor wrote it; start the service once to upgrade it")
    except BaseException:
        connection.close()
        raise
    return connection


def check_mode(connection: sqlite3.Connection, modes: tuple[str, ...]) -> None:
    """Raise :class:`UnusableLedgerError` unless it is a ledger of one of these modes, and not of a newer version."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application not in APPLICATIONS.values():
        raise UnusableLedgerError("it is the database of another program; move it away or choose another directory")
    if application not in {APPLICATIONS[mode] for mode in modes}:
        machine = "the real machine" if modes == ("demo",) else "a simulated machine"
        raise UnusableLedgerError(f"it is the ledger of {machine}; choose another directory")
    if version(connection) > len(MIGRATIONS):
        formats = f"its format is {version(connection)}, and this version reads up to {len(MIGRATIONS)}"
        raise UnusableLedgerError(
            f"a newer version of genv-monitor wrote it ({formats}); install that version again, or move the file away"
        )


def is_corrupt(error: Exception) -> bool:
    """Return whether the error means that the file is damaged or no SQLite database (sqlite.org/rescode.html)."""
    if not isinstance(error, sqlite3.DatabaseError) or isinstance(error, CorruptLedgerError):
        return isinstance(error, CorruptLedgerError)
    code = getattr(error, "sqlite_errorcode", None)  # Python 3.11 and later
    if code is not None:
        return code & 0xFF in (_SQLITE_CORRUPT, _SQLITE_NOTADB)
    return "malformed" in str(error) or "not a database" in str(error)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run the block as one transaction; roll it back if an exception leaves the block."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # some errors roll back by themselves
            connection.execute("ROLLBACK")
        raise


def _is_empty(connection: sqlite3.Connection) -> bool:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    return not tables and not application


def version(connection: sqlite3.Connection) -> int:
    """Return the schema version of the file."""
    (number,) = connection.execute("PRAGMA user_version").fetchone()
    return int(number)


def _migrate(connection: sqlite3.Connection) -> None:
    for current in range(version(connection), len(MIGRATIONS)):
        with transaction(connection):
            for statement in MIGRATIONS[current]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {current + 1}")
    connection.execute(DEVICE_WORK)
