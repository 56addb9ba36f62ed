"""Keeps the file small: hours become days after some weeks, and what is older than the retention goes.

Only small steps, each a transaction of its own, so that a stop never waits for long.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from genvd.common.text import RESERVED
from genvd.ledger import account_names
from genvd.ledger.pending import kept
from genvd.ledger.schema import transaction
from genvd.ledger.store import ADD_DAY

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

DAY = 86400
EVERY = 3600.0
"""Seconds from one upkeep to the next."""

_CLOCK_TOLERANCE = 60.0
_ROWS = 5000
_PAGES = 2000


class Pace:
    """Says when upkeep is due: an hour after the last, if the clock of the machine went on by an hour as well.

    A clock that was set far ahead would otherwise make everything look old, and it would be thrown away.
    """

    def __init__(self) -> None:
        self._since: tuple[float, float] | None = None

    def due(self, now: float, wall: float) -> bool:
        """Tell whether it is due.

        Args:
            now: seconds of CLOCK_MONOTONIC.
            wall: Unix time in seconds.
        """
        if self._since is None:
            self._since = (now, wall)
        passed, by_clock = now - self._since[0], wall - self._since[1]
        steady = abs(passed - by_clock) <= _CLOCK_TOLERANCE
        if not steady or passed >= EVERY:
            self._since = (now, wall)
        return steady and passed >= EVERY


def keep_up(
    connection: sqlite3.Connection, wall: float, hourly: float, retention: float, go_on: Callable[[], bool]
) -> set[str]:
    """Roll up and throw away what is due; return the users whose totals are gone with it.

    Args:
        connection: to the ledger.
        wall: Unix time in seconds.
        hourly: seconds for which hours are kept.
        retention: seconds for which anything is kept.
        go_on: asked between two steps; False ends it, and the rest is done at the next time.
    """
    oldest = int(wall - retention)
    while go_on() and _roll_up_a_day(connection, int(wall - min(hourly, retention))):
        pass
    for table in ("hour", "day"):
        while go_on() and _throw_away(connection, table, oldest):
            pass
    forgotten = _throw_away_names(connection, oldest) if go_on() else set()
    while go_on() and _give_back(connection):
        pass
    return forgotten


def midnight(moment: float) -> int:
    """Return the Unix time of the last midnight in local time."""
    return int(_first_midnight(moment).timestamp())


def next_midnight(moment: float) -> int:
    """Return the Unix time of the next midnight in local time."""
    return int((_first_midnight(moment) + timedelta(days=1)).timestamp())


def _first_midnight(moment: float) -> datetime:
    """Return when the day began, in local time: where clocks go back over midnight, at the first of the two."""
    return datetime.fromtimestamp(moment).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)


def _roll_up_a_day(connection: sqlite3.Connection, until: int) -> bool:
    """Make one day of the hours of the earliest day that is over by then; return whether there was one."""
    (first,) = connection.execute("SELECT min(start) FROM hour").fetchone()
    if first is None or next_midnight(first) > until:
        return False
    start, end = midnight(first), next_midnight(first)
    with transaction(connection):
        amounts = connection.execute(
            "SELECT environment, person, sum(allocated) FROM hour JOIN environment ON id = environment"
            " WHERE start >= ? AND start < ? GROUP BY environment",
            (first, end),
        ).fetchall()
        goals = _goals(connection, amounts, first)
        rows = connection.execute(
            "SELECT environment, device, sum(allocated), sum(active), sum(idle), sum(energy), sum(allocated_again),"
            " sum(active_again), sum(idle_again) FROM hour WHERE start >= ? AND start < ? GROUP BY environment, device",
            (first, end),
        ).fetchall()
        connection.executemany(ADD_DAY, ((start, goals.get(row[0], row[0]), *row[1:]) for row in rows))
        connection.execute("DELETE FROM hour WHERE start >= ? AND start < ?", (first, end))
    return True


def _goals(connection: sqlite3.Connection, amounts: list[tuple[int, int, int]], last: int) -> dict[int, int]:
    """Return under which environment those are summed that get no amounts of their own for the day."""
    chosen = kept(amounts)
    goals: dict[int, int] = {}
    for environment, person, _ in amounts:
        if environment in chosen:
            continue
        key = (person, RESERVED, -1)
        connection.execute(
            "INSERT INTO environment (person, eid, created, last) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET last = max(last, excluded.last)",
            (*key, last),
        )
        (goals[environment],) = connection.execute(
            "SELECT id FROM environment WHERE (person, eid, created) = (?, ?, ?)", key
        ).fetchone()
    return goals


def _throw_away(connection: sqlite3.Connection, table: str, oldest: int) -> bool:
    """Delete some rows that are too old; return whether there may be more."""
    with transaction(connection):
        (edge,) = connection.execute(
            f"SELECT max(start) FROM (SELECT start FROM {table} WHERE start < ? ORDER BY start LIMIT {_ROWS})",
            (oldest,),
        ).fetchone()
        if edge is None:
            return False
        connection.execute(f"DELETE FROM {table} WHERE start <= ?", (edge,))
    return True


def _throw_away_names(connection: sqlite3.Connection, oldest: int) -> set[str]:
    """Forget environments, and users with their totals, of whom nothing is kept any more; return those users."""
    oldest -= DAY  # a day that began before may still be there
    unused = "last < ? AND id NOT IN (SELECT person FROM environment)"
    with transaction(connection):
        connection.execute("DELETE FROM environment WHERE last < ?", (oldest,))
        names = {name for (name,) in connection.execute(f"SELECT username FROM person WHERE {unused}", (oldest,))}
        connection.execute(f"DELETE FROM person WHERE {unused}", (oldest,))
        account_names.forget(connection, oldest)
    return names


def _give_back(connection: sqlite3.Connection) -> bool:
    """Give some free pages back to the file system, but for a reserve; return whether there are more."""
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    if free <= max(_PAGES, pages // 4):
        return False
    connection.execute(f"PRAGMA incremental_vacuum({_PAGES})").fetchall()
    (left,) = connection.execute("PRAGMA freelist_count").fetchone()
    return bool(left < free)
