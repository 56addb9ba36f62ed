"""Pending usage: what was counted and is still to be written, and the totals as they are shown.

What is over a bound on how much is kept is counted all the same, but summed.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from genvd.common.text import RESERVED
from genvd.ledger.amounts import Consumer, Key, Total, Totals, Use
from genvd.ledger.store import HOUR, Batch, Stored

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from genvd.analysis.restart_state import RestartState


MOST_PENDING = 50_000
"""Amounts that wait to be written. More come together only when that fails for days; then they lose detail."""


class Book:
    """Written to by the tick, taken from by the thread that writes the file. Nobody waits long for its lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.held_back = False
        """Whether more was counted than was shown last, as the file does not allow for it yet."""
        self._bounds = Bounds()
        self._pending: dict[tuple[int, Key], Use] = {}
        self._counted: Totals = {}  # since the start
        self._before: Totals | None = None  # what the file said when it was first read
        self._ceilings: Totals | None = None  # up to where it may be shown; None while the file is not written
        self._shown: Totals = {}
        self._growth: Totals = {}  # the most of one tick since the last batch
        self._growth_before: Totals = {}  # and before that
        self._remembered: RestartState | None = None  # None until it is known
        self._recalled: RestartState | None = None  # what the file said, until somebody asks

    def add(self, uses: Mapping[Key, Use], wall: float) -> None:
        """Count what was used.

        Args:
            uses: the amounts.
            wall: Unix time in seconds. It only says in which hour they are kept.
        """
        hour = int(wall) // HOUR * HOUR
        grown: Totals = {}
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
                grown.setdefault(own.username, Total()).add(use)
            for username, growth in grown.items():
                self._growth[username] = growth.at_least(self._growth.get(username, Total()))
            if len(self._pending) > MOST_PENDING:
                self._pending = _coarse(self._pending, hour)

    def totals(self) -> Totals | None:
        """Return what is to be shown; None while it is not known what was counted before the start.

        That is what was counted, but no more than the file allows: a monitor that is killed goes on from there, and no
        counter has been shown above it. One that went back by a second would count as begun anew, and all of it as an
        increase. While nothing can be written it is what was counted.
        """
        with self._lock:
            if self._before is None:
                return None
            self.held_back = False
            for username, total in self._all().items():
                before = self._shown.get(username, Total())
                now = total if self._ceilings is None else total.at_most(self._ceilings.get(username, Total()))
                shown = now.at_least(before).at_least(_nothing_of(total))
                self._shown[username] = shown
                self.held_back |= bool(username) and _exceeds(total, shown)
            return dict(self._shown)

    def keep(self, remembered: RestartState) -> None:
        """Keep what is to be known again, of as many environments as have amounts of their own for a day."""
        last_work = remembered.last_work
        users = {one.uid: number for number, one in enumerate(last_work)}
        chosen = kept((number, users[one.uid], int(one.worked)) for number, one in enumerate(last_work))
        fewer = tuple(one for number, one in enumerate(last_work) if number in chosen)
        with self._lock:
            self._remembered = replace(remembered, last_work=fewer)

    def recalled(self) -> RestartState | None:
        """Return once what :meth:`begin` was given to remember; else None."""
        with self._lock:
            recalled, self._recalled = self._recalled, None
            return recalled

    def begin(self, stored: Stored) -> None:
        """Count on from what is in the file, and show counters from where they may have been shown."""
        with self._lock:
            self._before = dict(stored.totals)
            self._shown = {**stored.ceilings, **self._shown}
            self._recalled = stored.remembered

    def start_over(self) -> None:
        """Forget what was counted so far, as somebody else has counted the same."""
        with self._lock:
            self._pending, self._counted, self._shown = {}, {}, {}

    def batch(self, ticks: int = 0) -> Batch:
        """Return what is to be written, which then waits no more. The totals before the start must be known.

        Args:
            ticks: after so many of them the next batch will have been written; until then counters may be shown.
        """
        with self._lock:
            uses, self._pending = self._pending, {}
            totals = self._all()
            ceilings = {name: self._ceiling(name, total, ticks) for name, total in totals.items()}
            self._growth, self._growth_before = {}, self._growth
            return Batch(uses, totals, self._remembered, ceilings)

    def written(self, ceilings: Totals | None) -> None:
        """Take note of what the file allows to be shown; None when it can no longer be written."""
        with self._lock:
            self._ceilings = ceilings

    def _ceiling(self, username: str, total: Total, ticks: int) -> Total:
        """Return up to where counters may be shown if it goes on as in the last ticks."""
        growth = self._growth.get(username, Total()).at_least(self._growth_before.get(username, Total()))
        return total.plus(growth.times(ticks)).at_least(self._shown.get(username, Total()))

    def forget(self, usernames: set[str]) -> None:
        """Drop users of whom nothing is kept any more."""
        with self._lock:
            for username in usernames - {own.username for _, (own, _) in self._pending}:
                for totals in (self._counted, self._before, self._ceilings, self._shown):
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


def _exceeds(total: Total, shown: Total) -> bool:
    return any(more is not None and more > (less or 0) for more, less in zip(total.amounts, shown.amounts, strict=True))


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


MOST_USERS = 4096
"""Users with amounts of their own, as long as something of theirs is kept."""

MOST_ENVIRONMENTS = 512
"""Environments with amounts of their own in one hour or day."""

MOST_OF_A_USER = 64
"""Of those, of one user. The rest of that user's is one environment, named (other): the sum stays right."""


class Bounds:
    """Says under whom something is counted. Who came first in an hour keeps their place."""

    def __init__(self) -> None:
        self._hour = 0
        self._places: set[Consumer] = set()
        self._own: Counter[str] = Counter()

    def place(self, consumer: Consumer, hour: int, usernames: Collection[str]) -> Consumer:
        """Return the consumer, or what it is summed under.

        Args:
            consumer: whose use it is.
            hour: when.
            usernames: those that have amounts of their own.
        """
        if hour != self._hour:
            self._hour, self._places, self._own = hour, set(), Counter()
        if consumer.username not in usernames and len(usernames) >= MOST_USERS:
            return Consumer(RESERVED).other
        if consumer not in self._places:
            full = self._own[consumer.username] >= MOST_OF_A_USER or len(self._places) >= MOST_ENVIRONMENTS
            if full and consumer.eid:
                return consumer.other
            self._places.add(consumer)
            self._own[consumer.username] += 1 if consumer.eid else 0
        return consumer


def kept(amounts: Iterable[tuple[int, int, int]]) -> set[int]:
    """Return the environments that keep amounts of their own, those who used most first, of every user in turn.

    Args:
        amounts: by environment, its number, that of its user, and how much it used.
    """
    rank: Counter[int] = Counter()
    ranked = []
    for environment, user, amount in sorted(amounts, key=lambda one: -one[2]):
        ranked.append((rank[user], -amount, environment))
        rank[user] += 1
    chosen = sorted(one for one in ranked if one[0] < MOST_OF_A_USER)[:MOST_ENVIRONMENTS]
    return {environment for _, _, environment in chosen}
