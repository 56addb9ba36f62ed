"""Reads from the ledger's file who used how much in a period."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genvd.common.output import CommandError
from genvd.ledger.amounts import from_thousandths
from genvd.ledger.paths import is_regular_file
from genvd.ledger.retention import midnight, next_midnight
from genvd.ledger.schema import UnusableLedgerError, open_for_reading
from genvd.ledger.store import HOUR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
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

_WITHOUT_DUPLICATES = (
    "sum(use.allocated - use.allocated_again), sum(use.active - use.active_again), sum(use.idle - use.idle_again),"
    " sum(use.energy)"
)
_FULL = "sum(use.allocated), sum(use.active), sum(use.idle), sum(use.energy)"


class ReportError(CommandError):
    """The ledger's file cannot be read. The text is one line: the file, the reason, and what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one user, environment or GPU used. ``None`` means *not known*."""

    labels: tuple[str | int | None, ...]
    allocated_seconds: float
    active_seconds: float | None
    idle_seconds: float | None
    energy_joules: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """Who used how much."""

    by: str
    since: float
    """Unix time in seconds, rounded up to the beginning of an hour, or of a day where only days are stored."""
    until: float
    """The same; the hour or day that begins here is not included."""
    rows: tuple[Row, ...]
    """Sorted by allocated time, the largest first."""


def make_report(path: Path, since: datetime, until: datetime, by: str) -> Report:
    """Return who used how much.

    The file stores hours, and days of older data. The report includes those that begin in ``since <= begin < until``,
    so reports of adjacent periods add up to the report of the whole period.

    Args:
        path: the ledger's file; another process may be writing it.
        since: the beginning of the period.
        until: the end of the period.
        by: a key of :data:`LABELS`.

    Raises:
        ReportError: the file is missing, not readable, or not a ledger.
    """
    try:
        if not is_regular_file(path):
            raise ReportError(f"{path}: is not a regular file; --ledger names another file")
        with closing(open_for_reading(path)) as connection:
            days_end = _days_end(connection)
            start, end = (_round_up(time.timestamp(), days_end) for time in (since, until))
            return Report(by, start, end, tuple(_rows(connection, start, end, by)))
    except FileNotFoundError:
        advice = "check that the service is running and that ledger.directory is right, or name a file with --ledger"
        raise ReportError(f"{path}: there is no ledger; {advice}") from None
    except PermissionError:
        raise ReportError(f"{path}: permission denied; use sudo, or ask the administrator") from None
    except UnusableLedgerError as error:
        raise ReportError(f"{path}: cannot be read: {error}") from None
    except OSError as error:
        raise ReportError(f"{path}: cannot be read: {error.strerror}; --ledger names another file") from None
    except sqlite3.Error as error:
        raise ReportError(f"{path}: cannot be read: {error}; try again, or name a backup with --ledger") from None


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


def _rows(connection: sqlite3.Connection, start: float, end: float, by: str) -> Iterator[Row]:
    # A user holds a GPU once, but each of the user's environments holds it for the full time.
    sums = _FULL if by == "environment" else _WITHOUT_DUPLICATES
    query = f"""
        SELECT {_COLUMNS[by]}, {sums} FROM (
            SELECT * FROM hour WHERE start >= ? AND start < ?
            UNION ALL SELECT * FROM day WHERE start >= ? AND start < ?
        ) AS use
        JOIN environment ON environment.id = use.environment
        JOIN person ON person.id = environment.person
        JOIN device ON device.id = use.device
        GROUP BY {_GROUPS[by]} ORDER BY sum(use.allocated - use.allocated_again) DESC, 1, 2"""
    for *labels, allocated, active, idle, energy in connection.execute(query, (start, end, start, end)):
        # Without allocated time, as for work outside genv, the active and the idle time are known to be 0.
        if not allocated:
            active = idle = 0
        amounts = from_thousandths(active), from_thousandths(idle), from_thousandths(energy)
        yield Row(tuple(labels), allocated / 1000, *amounts)
