"""What was counted: what is still to be written, and the totals as they are shown."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from genvd.ledger.bounds import Bounds, kept
from genvd.ledger.store import HOUR, Batch
from genvd.ledger.use import Consumer, Key, Total, Totals, Use
from genvd.text import RESERVED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genvd.idleness import LastWork

MOST_PENDING = 50_000
"""Amounts that wait to be written. More come together only when that fails for days; then they lose detail."""


class Book:
    """Written to by the tick, taken from by the thread that writes the file. Nobody waits long for its lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bounds = Bounds()
        self._pending: dict[tuple[int, Key], Use] = {}
        self._counted: Totals = {}  # since the start
        self._before: Totals | None = None  # what the file said when it was first read
        self._written: Totals | None = None  # what is in the file; None while it is not written
        self._shown: Totals = {}
        self._last_work: tuple[LastWork, ...] | None = None  # None until it is known
        self._recalled: tuple[LastWork, ...] | None = None  # what the file said, until somebody asks

    def add(self, uses: Mapping[Key, Use], wall: float) -> None:
        """Count what was used.

        Args:
            uses: the amounts.
            wall: Unix time in seconds. It only says in which hour they are kept.
        """
        hour = int(wall) // HOUR * HOUR
        with self._lock:
            names = {**(self._before or {}), **self._counted}
            for (consumer, device), use in uses.items():
                own = self._bounds.place(consumer, hour, names)
                names.setdefault(own.username, Total())
                key = (hour, (own, device))
                self._pending.setdefault(key, Use()).add(use)
                total = self._counted.setdefault(own.username, Total())
                total.uid = own.uid if own.uid is not None else total.uid
                total.add(use)
            if len(self._pending) > MOST_PENDING:
                self._pending = _coarse(self._pending, hour)

    def totals(self) -> Totals | None:
        """Return what is to be shown; None while it is not known what was counted before the start.

        That is what is in the file, so that the counters of a monitor that crashes go on from where they were shown
        last: one that went back by a second would count as begun anew, and all of it as an increase. While nothing can
        be written it is what was counted.
        """
        with self._lock:
            if self._before is None:
                return None
            counted = self._all()
            for username, total in counted.items():
                before = self._shown.get(username, Total())
                now = total if self._written is None else self._written.get(username, Total())
                self._shown[username] = now.at_least(before).at_least(_nothing_of(total))
            return dict(self._shown)

    def keep(self, last_work: tuple[LastWork, ...]) -> None:
        """Keep when environments last worked, of as many as have amounts of their own for a day, instead of before."""
        users = {one.uid: number for number, one in enumerate(last_work)}
        chosen = kept((number, users[one.uid], int(one.worked)) for number, one in enumerate(last_work))
        with self._lock:
            self._last_work = tuple(one for number, one in enumerate(last_work) if number in chosen)

    def recalled(self) -> tuple[LastWork, ...] | None:
        """Return once what :meth:`begin` was told of when environments last worked; else None."""
        with self._lock:
            recalled, self._recalled = self._recalled, None
            return recalled

    def begin(self, before: Totals, last_work: tuple[LastWork, ...] = ()) -> None:
        """Count on from these totals, and tell when environments had last worked."""
        with self._lock:
            self._before = before
            self._recalled = last_work

    def start_over(self) -> None:
        """Forget what was counted so far, as somebody else has counted the same."""
        with self._lock:
            self._pending, self._counted, self._shown = {}, {}, {}

    def batch(self) -> Batch:
        """Return what is to be written, which then waits no more. The totals before the start must be known."""
        with self._lock:
            uses, self._pending = self._pending, {}
            return Batch(uses, self._all(), self._last_work)

    def written(self, totals: Totals | None) -> None:
        """Take note of the totals that are in the file; None when it can no longer be written."""
        with self._lock:
            self._written = totals

    def forget(self, usernames: set[str]) -> None:
        """Drop users of whom nothing is kept any more."""
        with self._lock:
            for username in usernames - {own.username for _, (own, _) in self._pending}:
                for totals in (self._counted, self._before, self._written, self._shown):
                    if totals is not None:
                        totals.pop(username, None)

    def _all(self) -> Totals:
        """Return copies of the totals; the lock is held."""
        before = self._before or {}
        names = {**before, **self._counted}
        return {name: self._counted.get(name, Total()).plus(before.get(name, Total())) for name in names}


def _nothing_of(total: Total) -> Total:
    """Return zeros where something is known: a counter that appears with what it has already has no increase."""
    return Total(
        total.uid,
        0,
        None if total.active is None else 0,
        None if total.idle is None else 0,
        None if total.energy is None else 0,
    )


def _coarse(pending: dict[tuple[int, Key], Use], hour: int) -> dict[tuple[int, Key], Use]:
    """Sum environments of hours that are over; if that is not enough, hours as well."""
    result = _merged(pending, {key: (key[0], (_other(key[1][0]), key[1][1])) for key in pending if key[0] != hour})
    if len(result) > MOST_PENDING // 2:
        first = min(start for start, _ in result)
        result = _merged(result, {key: (first, (_other(key[1][0]), key[1][1])) for key in result})
    return result


def _merged(
    pending: dict[tuple[int, Key], Use], moved: Mapping[tuple[int, Key], tuple[int, Key]]
) -> dict[tuple[int, Key], Use]:
    result: dict[tuple[int, Key], Use] = {}
    for key, use in pending.items():
        goal = moved.get(key, key)
        if goal in result:
            result[goal].add(use)
        else:
            result[goal] = use
    return result


def _other(consumer: Consumer) -> Consumer:
    return consumer if consumer.eid in ("", RESERVED) else consumer.other
