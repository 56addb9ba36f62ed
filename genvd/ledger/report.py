"""Who used how much in a time, read from the ledger's file."""

from __future__ import annotations

import math
import os
import sqlite3
import stat
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genvd.ledger.amounts import thousandth
from genvd.ledger.retention import midnight, next_midnight
from genvd.ledger.schema import RefusedError, open_for_reading
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
"""What tells one sum from another."""

_COLUMNS = {
    "user": "person.username, person.uid",
    "environment": "person.username, environment.eid, environment.name, nullif(environment.created, -1)",
    "device": "device.uuid",
}
_GROUPS = {"user": "environment.person", "environment": "environment.id", "device": "device.id"}

# Nobody holds a device twice; an environment holds it whatever others there are of the same user.
_ONCE = (
    "sum(use.allocated - use.allocated_again), sum(use.active - use.active_again), sum(use.idle - use.idle_again),"
    " sum(use.energy)"
)
_EACH = "sum(use.allocated), sum(use.active), sum(use.idle), sum(use.energy)"


class ReportError(Exception):
    """There is nothing to report. The text is one line: the thing, the reason, the way out."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one of them used. ``None`` is *not known*."""

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
    """Unix time in seconds. What counts are the hours, and where only days are kept, the days, that begin in
    ``since <= beginning < until``; both are such beginnings themselves."""
    until: float
    rows: tuple[Row, ...]
    """Those who held most first."""


def make(path: Path, since: datetime, until: datetime, by: str) -> Report:
    """Return who used how much.

    Kept are hours, and days of what is old: those count that begin in the time, its beginning included and its end
    not. So reports of times that follow one another add up to the report of the whole.

    Args:
        path: of the ledger's file, which may be written meanwhile.
        since: the beginning of the time.
        until: its end.
        by: a key of :data:`LABELS`.

    Raises:
        ReportError: the file is not there, cannot be read or is no ledger.
    """
    try:
        _check(path)
        with closing(open_for_reading(path)) as connection:
            days_end = _days_end(connection)
            start, end = (_edge(moment.timestamp(), days_end) for moment in (since, until))
            return Report(by, start, end, tuple(_rows(connection, start, end, by)))
    except FileNotFoundError:
        way_out = "is the service running, or does ledger.directory say where it is? --ledger names a file"
        raise ReportError(f"{path}: there is no ledger; {way_out}") from None
    except PermissionError:
        raise ReportError(f"{path}: may not be read by you; use sudo, or ask whoever runs this machine") from None
    except RefusedError as error:
        raise ReportError(f"{path}: cannot be read: {error}") from None
    except OSError as error:
        raise ReportError(f"{path}: cannot be read: {error.strerror}; --ledger names another file") from None
    except sqlite3.Error as error:
        raise ReportError(f"{path}: cannot be read: {error}; try again, or name a backup with --ledger") from None


def _check(path: Path) -> None:
    """Raise why the file cannot be read if it cannot, which SQLite does not tell."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
    if not regular:
        raise ReportError(f"{path}: is not a regular file; --ledger names another file")


def _days_end(connection: sqlite3.Connection) -> float:
    """Return until when only days are kept."""
    (last,) = connection.execute("SELECT max(start) FROM day").fetchone()
    return -math.inf if last is None else _on_the_calendar(next_midnight, last)


def _edge(moment: float, days_end: float) -> float:
    """Return the first beginning of an hour, or where only days are kept of a day, that is not before the moment."""
    if moment >= days_end:
        return math.ceil(moment / HOUR) * HOUR
    began = _on_the_calendar(midnight, moment)
    return began if began >= moment else _on_the_calendar(next_midnight, moment)


def _on_the_calendar(day: Callable[[float], float], moment: float) -> float:
    try:
        return day(moment)
    except (ValueError, OverflowError, OSError):  # no year that a calendar has
        return moment


def _rows(connection: sqlite3.Connection, start: float, end: float, by: str) -> Iterator[Row]:
    amounts = _EACH if by == "environment" else _ONCE
    query = f"""
        SELECT {_COLUMNS[by]}, {amounts} FROM (
            SELECT * FROM hour WHERE start >= ? AND start < ?
            UNION ALL SELECT * FROM day WHERE start >= ? AND start < ?
        ) AS use
        JOIN environment ON environment.id = use.environment
        JOIN person ON person.id = environment.person
        JOIN device ON device.id = use.device
        GROUP BY {_GROUPS[by]} ORDER BY sum(use.allocated - use.allocated_again) DESC, 1, 2"""
    for *labels, allocated, active, idle, energy in connection.execute(query, (start, end, start, end)):
        # Of no time at all it is known how much of it was active: somebody with work outside of environments has none.
        if not allocated:
            active = idle = 0
        yield Row(tuple(labels), allocated / 1000, thousandth(active), thousandth(idle), thousandth(energy))
