"""Deletes old data: merges hours into days after some weeks, and deletes what is older than the retention.

Each step is small and a transaction of its own, so that a stop never waits long.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from genvd.common.text import RESERVED
from genvd.ledger import account_names
from genvd.ledger.amounts import CAPACITY_STATES
from genvd.ledger.pending import select_environments
from genvd.ledger.schema import transaction
from genvd.ledger.store import ADD_CAPACITY_DAY, ADD_DAY

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

DAY = 86400
INTERVAL_SECONDS = 3600.0
"""Seconds between two runs."""

_CLOCK_TOLERANCE_SECONDS = 60.0
"""How much the advance of the system clock may differ from an hour."""
_MAX_ROWS = 5000
"""Number of rows that one step deletes, unless the last ones began at the same time."""
_MAX_PAGES = 2000
"""Maximum number of pages that one step releases. Up to this number, free pages stay in the file."""


class RetentionTimer:
    """Determines when the next run is due: after an hour in which the system clock advanced by an hour too.

    Otherwise a clock that is set far ahead would make all data look old, and it would be deleted.
    """

    def __init__(self) -> None:
        self._since: tuple[float, float] | None = None

    def is_due(self, now: float, wall: float) -> bool:
        """Return whether a run is due.

        Args:
            now: seconds of CLOCK_MONOTONIC.
            wall: Unix time in seconds.
        """
        if self._since is None:
            self._since = (now, wall)
        elapsed, elapsed_wall = now - self._since[0], wall - self._since[1]
        steady = abs(elapsed - elapsed_wall) <= _CLOCK_TOLERANCE_SECONDS
        if not steady or elapsed >= INTERVAL_SECONDS:
            self._since = (now, wall)
        return steady and elapsed >= INTERVAL_SECONDS


def apply_retention(
    connection: sqlite3.Connection, wall: float, hourly: float, retention: float, should_continue: Callable[[], bool]
) -> set[str]:
    """Merge and delete what is due; return the users whose totals were deleted.

    Args:
        connection: to the ledger.
        wall: Unix time in seconds.
        hourly: for how many seconds hours are kept.
        retention: for how many seconds any data is kept.
        should_continue: called before each step; if it returns False, the rest is left to the next run.
    """
    oldest = int(wall - retention)
    while should_continue() and _merge_first_day(connection, int(wall - min(hourly, retention))):
        pass
    for table in ("hour", "day", "capacity_hour", "capacity_day"):
        while should_continue() and _delete_rows(connection, table, oldest):
            pass
    deleted = _delete_unused(connection, oldest) if should_continue() else set()
    while should_continue() and _release_pages(connection):
        pass
    return deleted


def midnight(time: float) -> int:
    """Return the Unix time of the last midnight in local time."""
    return int(_start_of_day(time).timestamp())


def next_midnight(time: float) -> int:
    """Return the Unix time of the next midnight in local time."""
    return int((_start_of_day(time) + timedelta(days=1)).timestamp())


def _start_of_day(time: float) -> datetime:
    """Return midnight in local time; the first of two where a clock change repeats midnight."""
    return datetime.fromtimestamp(time).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)


def _merge_first_day(connection: sqlite3.Connection, until: int) -> bool:
    """Merge the hours of the earliest stored day into a day, if it ended by ``until``; return whether it did."""
    (first,) = connection.execute(
        "SELECT min(start) FROM (SELECT min(start) AS start FROM hour UNION ALL SELECT min(start) FROM capacity_hour)"
    ).fetchone()
    if first is None or next_midnight(first) > until:
        return False
    start, end = midnight(first), next_midnight(first)
    with transaction(connection):
        amounts = connection.execute(
            "SELECT environment, person, sum(allocated + coalesce(outside, 0)) FROM hour"
            " JOIN environment ON id = environment WHERE start >= ? AND start < ? GROUP BY environment",
            (first, end),
        ).fetchall()
        replacements = _replace_small_environments(connection, amounts, first)
        rows = connection.execute(
            "SELECT environment, device, sum(allocated), sum(active), sum(idle), sum(energy), sum(allocated_again),"
            " sum(active_again), sum(idle_again), sum(outside), sum(outside_again) FROM hour"
            " WHERE start >= ? AND start < ? GROUP BY environment, device",
            (first, end),
        ).fetchall()
        connection.executemany(ADD_DAY, ((start, replacements.get(row[0], row[0]), *row[1:]) for row in rows))
        connection.execute("DELETE FROM hour WHERE start >= ? AND start < ?", (first, end))
        capacity = connection.execute(
            f"SELECT device, {', '.join(f'sum({state})' for state in CAPACITY_STATES)} FROM capacity_hour"
            " WHERE start >= ? AND start < ? GROUP BY device",
            (first, end),
        ).fetchall()
        connection.executemany(ADD_CAPACITY_DAY, ((start, *row) for row in capacity))
        connection.execute("DELETE FROM capacity_hour WHERE start >= ? AND start < ?", (first, end))
    return True


def _replace_small_environments(
    connection: sqlite3.Connection, amounts: list[tuple[int, int, int]], last: int
) -> dict[int, int]:
    """Return, for each environment over the limits, the ``(other)`` environment of its user, created if missing."""
    selected = select_environments(amounts)
    replacements: dict[int, int] = {}
    for environment, person, _ in amounts:
        if environment in selected:
            continue
        key = (person, RESERVED, -1)
        connection.execute(
            "INSERT INTO environment (person, eid, created, last) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET last = max(last, excluded.last)",
            (*key, last),
        )
        (replacements[environment],) = connection.execute(
            "SELECT id FROM environment WHERE (person, eid, created) = (?, ?, ?)", key
        ).fetchone()
    return replacements


def _delete_rows(connection: sqlite3.Connection, table: str, oldest: int) -> bool:
    """Delete some rows that are too old; return whether there may be more."""
    with transaction(connection):
        (last,) = connection.execute(
            f"SELECT max(start) FROM (SELECT start FROM {table} WHERE start < ? ORDER BY start LIMIT {_MAX_ROWS})",
            (oldest,),
        ).fetchone()
        if last is None:
            return False
        connection.execute(f"DELETE FROM {table} WHERE start <= ?", (last,))
    return True


def _delete_unused(connection: sqlite3.Connection, oldest: int) -> set[str]:
    """Delete environments, users and account names without any stored amount; return the usernames of the users."""
    oldest -= DAY  # a day that began earlier may still be stored
    unused = "last < ? AND id NOT IN (SELECT person FROM environment)"
    with transaction(connection):
        connection.execute("DELETE FROM environment WHERE last < ?", (oldest,))
        names = {name for (name,) in connection.execute(f"SELECT username FROM person WHERE {unused}", (oldest,))}
        connection.execute(f"DELETE FROM person WHERE {unused}", (oldest,))
        account_names.delete_unused(connection, oldest)
    return names


def _release_pages(connection: sqlite3.Connection) -> bool:
    """Return some free pages to the file system if more than a quarter is free; return whether there are more."""
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    if free <= max(_MAX_PAGES, pages // 4):
        return False
    connection.execute(f"PRAGMA incremental_vacuum({_MAX_PAGES})").fetchall()
    (remaining,) = connection.execute("PRAGMA freelist_count").fetchone()
    return bool(remaining < free)
