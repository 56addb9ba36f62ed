"""The document that the page and other programs read: who used what in the last day, week and month, and a grid.

docs/usage-api.md describes it.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from genvd.ledger import schema
from genvd.ledger.amounts import CAPACITY_STATES, add_known
from genvd.ledger.report import ENVIRONMENTS_OF_USER, Report, Row, read_days, read_report, total
from genvd.ledger.report_formats import DAY, amounts_by_key
from genvd.ledger.store import HOUR

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Mapping

PERIODS = {"24h": 24, "7d": 7 * 24, "30d": 30 * 24}
"""Hours of each period, before the current hour."""

MAX_USERS = 500
"""Maximum number of users in one period; those who used least are left out, but are in the total."""

MAX_CELLS = 20_000
"""Maximum number of hours of GPUs in the grid, and of cells with a user. If there are more, the grid begins later."""

MAX_ROWS = 5_000
"""Maximum number of rows of a report over HTTP; those with the least time are left out, but are in the total."""


class View(NamedTuple):
    """Whose usage may be shown, and is wanted."""

    visible: str = "all"
    """The key ``usage.visible``: ``all``, or ``own`` to show each user only their own usage."""
    login: str | None = None
    """The user who has logged in; None without a login."""
    user: str | None = None
    """The user who is asked for; None for everybody."""

    @property
    def private(self) -> bool:
        """Whether usage of other users may not be shown."""
        return self.visible == "own"

    @property
    def allowed(self) -> bool:
        """Whether the usage of the user who is asked for may be shown."""
        return not self.private or self.user is None or self.user == self.login

    @property
    def limit(self) -> str | None:
        """The user to whom rows are limited; None for no limit, or if only sums may be shown."""
        return self.login if self.private else self.user

    @property
    def sums_only(self) -> bool:
        """Whether no user may be shown at all."""
        return self.private and self.login is None


def usage_document(
    connection: sqlite3.Connection, now: float, view: View, indices: Mapping[str, int], hours: int = 7 * 24
) -> dict[str, Any]:
    """Return the document.

    Args:
        connection: to the ledger, of any version.
        now: Unix time in seconds.
        view: whose usage to show.
        indices: the index of each GPU that there is now, by its key.
        hours: number of hours in the grid, before the current one.
    """
    until = math.ceil(now / HOUR) * HOUR
    return {
        "timestamp_seconds": now,
        "time_zone": time.strftime("%Z", time.localtime(now)),
        "visible": view.visible,
        "login": view.login,
        "user": view.limit,
        "periods": {
            name: _period(read_report(connection, until - (length + 1) * HOUR, until, "user", days=False), view, now)
            for name, length in PERIODS.items()
        },
        "days": [
            {**dict(zip(DAY, row.labels, strict=True)), **amounts_by_key(row)}
            for row in read_days(connection, until - (PERIODS["30d"] + 1) * HOUR, until, view.limit)
        ],
        "grid": _grid(connection, until - (hours + 1) * HOUR, until, view, indices),
    }


def report_document(connection: sqlite3.Connection, since: float, until: float, by: str, view: View) -> Report:
    """Return a report within the limits, of whom the view allows.

    If only sums may be shown, it has no rows, but days and capacity.
    """
    report = read_report(connection, since, until, by, view.limit)
    rows = () if view.sums_only and by != "device" else report.rows[:MAX_ROWS]
    return Report(by, report.since, report.until, rows, report.days, report.capacity, view.limit, view.private)


def _period(report: Report, view: View, now: float) -> dict[str, Any]:
    shown = [] if view.sums_only else [row for row in report.rows if view.limit in (None, row.labels[0])]
    return {
        "since_timestamp_seconds": report.since,
        "until_timestamp_seconds": min(report.until, now),
        "users": [{"username": row.labels[0], **_amounts(row)} for row in shown[:MAX_USERS]],
        "total": _amounts(total(report.rows)),
        "capacity_device_seconds": report.capacity,
    }


def _amounts(row: Row) -> dict[str, float | None]:
    efficiency = row.efficiency
    return {
        **amounts_by_key(row),
        "device_seconds": round(row.device_seconds, 3),
        "idle_ratio": None if efficiency is None else round(1 - efficiency, 4),
    }


def _grid(
    connection: sqlite3.Connection, since: int, until: int, view: View, indices: Mapping[str, int]
) -> dict[str, Any]:
    """Return for each GPU and hour who used it, and how its time was spent."""
    keys = {number: str(uuid) for number, uuid in connection.execute("SELECT id, uuid FROM device")}
    since = max(since, until - max(1, MAX_CELLS // max(1, len(keys))) * HOUR)
    rows, since = ([], since) if view.sums_only else _rows(connection, since, until, view.limit)
    usernames = _usernames(connection, {row[2] for row in rows})
    users = {name: number for number, name in enumerate(sorted(set(usernames.values())))}
    merged: dict[tuple[int, int, int], list[int | None]] = {}
    for start, device, environment, *amounts in rows:
        cell = (device, (start - since) // HOUR, users[usernames[environment]])
        merged[cell] = list(map(add_known, merged[cell], amounts)) if cell in merged else amounts
    cells: dict[int, list[list[int | None]]] = defaultdict(list)
    for (device, hour, user), amounts in merged.items():
        cells[device].append([hour, user, *[None if amount is None else amount // 1000 for amount in amounts]])
    states: dict[int, list[list[int]]] = defaultdict(list)
    for start, device, *known in _states(connection, since, until):
        states[device].append([(start - since) // HOUR, *[amount // 1000 for amount in known]])
    numbers = sorted({*cells, *states}, key=lambda number: (indices.get(keys[number], math.inf), keys[number]))
    return {
        "since_timestamp_seconds": since,
        "hours": (until - since) // HOUR,
        "users": list(users),
        "cell": ["hour", "user", "allocated", "active", "idle", "outside"],
        "states": ["hour", *CAPACITY_STATES],
        "devices": [
            {"device": keys[n], "index": indices.get(keys[n]), "cells": cells[n], "states": states[n]} for n in numbers
        ],
    }


def _rows(
    connection: sqlite3.Connection, since: int, until: int, user: str | None
) -> tuple[list[tuple[Any, ...]], int]:
    """Return what each environment used of each GPU in each hour, and the beginning of the first complete hour."""
    new = schema.version(connection) >= schema.OUTSIDE_VERSION
    outside = ("outside", "outside_again") if new else ("NULL", "0")
    limit = "" if user is None else f" AND environment IN ({ENVIRONMENTS_OF_USER})"
    query = f"""
        SELECT start, device, environment, allocated - allocated_again, active - active_again, idle - idle_again,
            {outside[0]} - {outside[1]}
        FROM hour WHERE start >= ? AND start < ? AND (allocated > 0 OR {outside[0]} > 0){limit}
        ORDER BY start DESC, environment DESC, device DESC LIMIT {MAX_CELLS + 1}"""
    parameters = (since, until) if user is None else (since, until, user)
    rows = connection.execute(query, parameters).fetchall()[::-1]
    if len(rows) <= MAX_CELLS:
        return rows, since
    first = rows[0][0] + HOUR  # that hour may be incomplete
    return [row for row in rows if row[0] >= first], first


def _usernames(connection: sqlite3.Connection, environments: Collection[int]) -> dict[int, str]:
    """Return the username of each environment."""
    query = "SELECT environment.id, username FROM environment JOIN person ON person.id = person"
    if environments:
        query += " WHERE environment.id BETWEEN ? AND ?"  # most are old, and their numbers grow with time
    bounds = (min(environments), max(environments)) if environments else ()
    return {number: str(name) for number, name in connection.execute(query, bounds) if number in environments}


def _states(connection: sqlite3.Connection, since: int, until: int) -> Iterable[tuple[int, ...]]:
    if schema.version(connection) < schema.OUTSIDE_VERSION:
        return ()
    columns = ", ".join(CAPACITY_STATES)
    return connection.execute(
        f"SELECT start, device, {columns} FROM capacity_hour WHERE start >= ? AND start < ? ORDER BY start",
        (since, until),
    ).fetchall()
