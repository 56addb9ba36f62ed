"""Reads from the ledger's file who used how much in a period."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from genvd.common.output import CommandError
from genvd.ledger import schema
from genvd.ledger.amounts import CAPACITY_STATES, add_known, from_thousandths
from genvd.ledger.paths import is_regular_file
from genvd.ledger.retention import midnight, next_midnight
from genvd.ledger.store import HOUR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

LABELS = {
    "user": ("username", "uid"),
    "environment": ("username", "environment", "name", "created"),
    "device": ("device",),
}
"""For each value of ``--by``, the labels of a row."""

_COLUMNS = {
    "user": "person.username, person.uid",
    "environment": "person.username, environment.eid, environment.name, nullif(environment.created, -1)",
    "device": "device.uuid",
}
_GROUPS = {"user": "environment.person", "environment": "environment.id", "device": "device.id"}

_BY_ENVIRONMENT = "JOIN environment ON environment.id = use.environment JOIN person ON person.id = environment.person"
_JOINS = {
    "user": _BY_ENVIRONMENT,
    "environment": _BY_ENVIRONMENT,
    "device": "JOIN device ON device.id = use.device",
}


class ReportError(CommandError):
    """The ledger's file cannot be read. The text is one line: the file, the reason, and what to do."""


class Row(NamedTuple):
    """What one user, environment or GPU used, or all of them in one day. ``None`` means *not known*."""

    labels: tuple[str | int | None, ...]
    allocated_seconds: float
    active_seconds: float | None
    idle_seconds: float | None
    energy_joules: float | None
    outside_seconds: float | None = None
    """Time in which users computed on GPUs that they had not attached; None if the file does not say so."""

    @property
    def amounts(self) -> tuple[float | None, ...]:
        """The amounts in the order of the fields."""
        return (
            self.allocated_seconds,
            self.active_seconds,
            self.idle_seconds,
            self.energy_joules,
            self.outside_seconds,
        )

    @property
    def device_seconds(self) -> float:
        """The time for which GPUs were attached, or used without that."""
        return self.allocated_seconds + (self.outside_seconds or 0)

    @property
    def efficiency(self) -> float | None:
        """The part of the attached time in which the GPU was used, 0 to 1, of the time for which that is known."""
        known = (self.active_seconds or 0) + (self.idle_seconds or 0)
        return (self.active_seconds or 0) / known if known else None


def total(rows: Iterable[Row]) -> Row:
    """Return the sum of the rows, without labels. An unknown amount adds nothing; without a known one it is None."""
    amounts: list[float | None] = [0.0, None, None, None, None]
    for row in rows:
        amounts = [_add(left, right) for left, right in zip(amounts, row.amounts, strict=True)]
    allocated, *rest = (None if amount is None else round(amount, 3) for amount in amounts)
    return Row((), allocated or 0.0, *rest)


def _add(left: float | None, right: float | None) -> float | None:
    return right if left is None else left if right is None else left + right


class Report(NamedTuple):
    """Who used how much."""

    by: str
    since: float
    """Unix time in seconds, rounded up to the beginning of an hour, or of a day where only days are stored."""
    until: float
    """The same; the hour or day that begins here is not included."""
    rows: tuple[Row, ...]
    """Sorted by allocated and outside time, the largest first."""
    days: tuple[Row, ...] = ()
    """The same by day; for their labels see :func:`day_labels`."""
    capacity: Mapping[str, float] | None = None
    """Seconds of all GPUs by :data:`genvd.ledger.amounts.CAPACITY_STATES`; None if the file has none."""
    user: str | None = None
    """The user to whom the report is limited."""
    private: bool = False
    """Whether rows of other users are left out, because usage is private."""
    fleet: bool = False
    """Whether it is one of several machines."""
    note: str = ""
    """What a reader must know, in one line."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the labels of its rows."""
        if self.fleet and self.by == "environment":
            return ("username", "environment", "name", "machine")
        return ("machine",) if self.by == "machine" else LABELS[self.by]


def make_report(path: Path, since: datetime, until: datetime, by: str, user: str | None = None) -> Report:
    """Return who used how much.

    The file stores hours, and days of older data. The report includes those that begin in ``since <= begin < until``,
    so reports of adjacent periods add up to the report of the whole period.

    Args:
        path: the ledger's file; another process may be writing it.
        since: the beginning of the period.
        until: the end of the period.
        by: a key of :data:`LABELS`.
        user: the user to whom the report is limited; None for all users.

    Raises:
        ReportError: the file is missing, not readable, or not a ledger.
    """
    try:
        if not is_regular_file(path):
            raise ReportError(f"{path}: is not a regular file; --ledger names another file")
        with closing(schema.open_for_reading(path)) as connection:
            return read_report(connection, since.timestamp(), until.timestamp(), by, user)
    except FileNotFoundError:
        advice = "check that the service is running and that ledger.directory is right, or name a file with --ledger"
        raise ReportError(f"{path}: there is no ledger; {advice}") from None
    except PermissionError:
        raise ReportError(f"{path}: permission denied; use sudo, or ask the administrator") from None
    except schema.UnusableLedgerError as error:
        raise ReportError(f"{path}: cannot be read: {error}") from None
    except OSError as error:
        raise ReportError(f"{path}: cannot be read: {error.strerror}; --ledger names another file") from None
    except sqlite3.Error as error:
        raise ReportError(f"{path}: cannot be read: {error}; try again, or name a backup with --ledger") from None


def read_report(
    connection: sqlite3.Connection, since: float, until: float, by: str, user: str | None = None, *, days: bool = True
) -> Report:
    """Return the report from an open ledger of any version; the arguments are those of :func:`make_report`.

    Args:
        connection: to the ledger.
        since: Unix time in seconds.
        until: the same.
        by: a key of :data:`LABELS`.
        user: the user to whom the report is limited; None for all users.
        days: whether it has the usage by day.
    """
    days_end = _days_end(connection)
    start, end = (_round_up(time, days_end) for time in (since, until))
    rows = tuple(_rows(connection, start, end, by, user))
    by_day = tuple(read_days(connection, start, end, user)) if days else ()
    return Report(by, start, end, rows, by_day, _capacity(connection, start, end), user)


def sums_between(version: int, table: str, group: str, user: str | None = None, *, full: bool = False) -> str:
    """Return SQL for the sums of each group in the hours or days that begin in a period, in the order of :class:`Row`.

    Its parameters are the beginning and the end, and the user if there is one.

    Args:
        version: the version of the file.
        table: ``hour`` or ``day``.
        group: the columns of a group. Those with which the primary key begins need no sorting.
        user: the user to whom it is limited.
        full: whether each environment counts in full, instead of once for its user.
    """
    outside = ("outside", "outside_again") if version >= schema.OUTSIDE_VERSION else ("NULL", "0")
    pairs = (
        ("allocated", "allocated_again"),
        ("active", "active_again"),
        ("idle", "idle_again"),
        ("energy", "0"),
        outside,
    )
    sums = ", ".join(f"sum({name})" if full else f"sum({name} - {again})" for name, again in pairs)
    limit = "" if user is None else f" AND environment IN ({ENVIRONMENTS_OF_USER})"
    return f"SELECT {group}, {sums} FROM {table} WHERE start >= ? AND start < ?{limit} GROUP BY {group}"


ENVIRONMENTS_OF_USER = "SELECT environment.id FROM environment JOIN person ON person.id = person WHERE username = ?"


def _parameters(start: float, end: float, user: str | None) -> tuple[float | str, ...]:
    return (start, end) if user is None else (start, end, user)


def read_days(connection: sqlite3.Connection, start: float, end: float, user: str | None) -> Iterator[Row]:
    """Yield the usage of each local day, the earliest first."""
    version, days = schema.version(connection), dict[float, list[int | None]]()
    for table in ("day", "hour"):
        query = sums_between(version, table, "start", user)
        for begin, *amounts in connection.execute(query, _parameters(start, end, user)):
            day = days.setdefault(_or_unchanged(midnight, begin), [None] * len(amounts))
            day[:] = [add_known(left, right) for left, right in zip(day, amounts, strict=True)]
    for begin, amounts in sorted(days.items()):
        yield _row(day_labels(int(begin)), amounts)


def day_labels(begin: int) -> tuple[int, str]:
    """Return the labels of a day: the Unix time of its beginning, and its date in local time.

    The date is that of the machine that counted: who reads the report may be in another time zone.
    """
    try:
        return begin, datetime.fromtimestamp(begin).strftime("%Y-%m-%d")
    except (ValueError, OverflowError, OSError):  # the year is outside the range of datetime
        return begin, ""


def _capacity(connection: sqlite3.Connection, start: float, end: float) -> dict[str, float] | None:
    """Return the seconds of all GPUs by state; None if nothing is stored."""
    if schema.version(connection) < schema.OUTSIDE_VERSION:
        return None
    sums = ", ".join(f"sum({state})" for state in CAPACITY_STATES)
    query = f"""
        SELECT {sums} FROM (
            SELECT * FROM capacity_hour WHERE start >= ? AND start < ?
            UNION ALL SELECT * FROM capacity_day WHERE start >= ? AND start < ?
        )"""
    amounts = connection.execute(query, (start, end, start, end)).fetchone()
    if amounts[0] is None:
        return None
    return {state: amount / 1000 for state, amount in zip(CAPACITY_STATES, amounts, strict=True)}


def _row(labels: tuple[str | int | None, ...], amounts: list[int | None]) -> Row:
    """Return a row of amounts in milliseconds and millijoules."""
    allocated, active, idle, energy, outside = amounts
    # Without allocated time, as for work outside genv, the active and the idle time are known to be 0.
    if not allocated:
        active = idle = 0
    rest = map(from_thousandths, (active, idle, energy, outside))
    return Row(labels, (allocated or 0) / 1000, *rest)


def _days_end(connection: sqlite3.Connection) -> float:
    """Return the Unix time until which the file stores days only."""
    (last,) = connection.execute("SELECT max(start) FROM day").fetchone()
    return -math.inf if last is None else _or_unchanged(next_midnight, last)


def _round_up(time: float, days_end: float) -> float:
    """Return the first beginning of an hour that is not before the time; of a day where only days are stored."""
    if time >= days_end:
        return math.ceil(time / HOUR) * HOUR
    day_start = _or_unchanged(midnight, time)
    return day_start if day_start >= time else _or_unchanged(next_midnight, time)


def _or_unchanged(function: Callable[[float], float], time: float) -> float:
    """Return the result for a Unix time, or the time itself if its year is outside the range of datetime."""
    try:
        return function(time)
    except (ValueError, OverflowError, OSError):
        return time


def _rows(connection: sqlite3.Connection, start: float, end: float, by: str, user: str | None) -> Iterator[Row]:
    # A user holds a GPU once, but each of the user's environments holds it for the full time.
    version, group = schema.version(connection), "device" if by == "device" else "environment"
    parts = [sums_between(version, table, group, user, full=by == "environment") for table in ("hour", "day")]
    names = ", ".join(("allocated", "active", "idle", "energy", "outside"))
    sums = ", ".join(f"sum(use.{name})" for name in names.split(", "))
    query = f"""
        WITH use ({group}, {names}) AS ({" UNION ALL ".join(parts)})
        SELECT {_COLUMNS[by]}, {sums} FROM use {_JOINS[by]} GROUP BY {_GROUPS[by]}
        ORDER BY sum(use.allocated) + coalesce(sum(use.outside), 0) DESC, 1, 2"""
    for row in connection.execute(query, _parameters(start, end, user) * 2):
        yield _row(tuple(row[:-5]), list(row[-5:]))
