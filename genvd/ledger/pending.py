"""Pending usage: what is counted but not yet in the file, and the totals that the counters show.

If a counter decreases, Prometheus assumes a reset, and takes its new value for an increase. So each write also sets a
*ceiling* for each counter: the written total, plus the largest growth of one recent tick times the ticks until the next
write is done. No counter is shown above its ceiling, and after a crash it continues from there.

Example: a tick every 10 s and a write every 30 s, so 30 / 10 + 2 = 5 ticks until the next write is done. A GPU is
attached to alice all the time. Her allocated seconds:

======  ==============================  =======  =======  =======  =======  =====
time    event                           counted  pending  written  ceiling  shown
======  ==============================  =======  =======  =======  =======  =====
10 s    tick; asks for a write          10       10       0        0        0
10 s    write: ceiling 10 + 5 * 10      10       0        10       60       0
20 s    tick                            20       10       10       60       20
40 s    tick (the third since then)     40       30       10       60       40
40 s    write: ceiling 40 + 5 * 10      40       0        40       90       40
60 s    tick (the second since then)    60       20       40       90       60
65 s    crash: the pending 20 are lost
70 s    start: reads 40 and 90          40       0        40       90       90
100 s   tick (the third since then)     70       30       40       90       90
100 s   write: ceiling 70 + 5 * 10      70       0        70       120      90
120 s   tick (the second since then)    90       20       70       120      90
130 s   tick                            100      30       70       120      100
======  ==============================  =======  =======  =======  =======  =====

60 was shown before the crash, but the file does not say so: the counter continues at its ceiling of 90, and waits until
90 are counted. A report reads what is written. A normal stop reserves nothing: its ceiling is the total, or what was
shown if that is more.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from genvd.common.text import RESERVED
from genvd.ledger.amounts import Capacity, Consumer, Total, Totals, Usage, UsageKey
from genvd.ledger.store import HOUR, Batch, StoredState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from genvd.analysis.restart_state import RestartState

_HourUsages = defaultdict[tuple[int, UsageKey], Usage]
"""By the Unix time at which the hour begins, the consumer and the GPU."""

MAX_PENDING = 50_000
"""Maximum number of pending amounts. It is exceeded only if writing fails for days; then amounts are summed."""

MAX_USERS = 4096
"""Maximum number of users with amounts of their own."""

MAX_ENVIRONMENTS = 512
"""Maximum number of environments with amounts of their own in one hour or day."""

MAX_ENVIRONMENTS_PER_USER = 64
"""Maximum number of those that belong to one user. The user's other environments are summed as ``(other)``."""


class PendingUsage:
    """Shared by the tick, which adds usage, and the writer thread, which takes it. The lock is held only briefly."""

    def __init__(self) -> None:
        self.capped = False
        """Whether a ceiling kept the last shown totals below what was counted."""
        self._lock = threading.Lock()
        self._limits = ConsumerLimits()
        self._pending: _HourUsages = defaultdict(Usage)
        self._capacity: dict[tuple[int, str], Capacity] = {}
        self._counted: Totals = {}  # since the start
        self._loaded: Totals | None = None  # what the file contained at the start; None until it is read
        self._ceilings: Totals | None = None  # None while the file cannot be written
        self._shown: Totals = {}
        self._growth: Totals = {}  # the largest increase in one tick since the last batch
        self._previous_growth: Totals = {}  # the same for the batch before
        self._restart_state: RestartState | None = None
        self._loaded_restart_state: RestartState | None = None

    def add(
        self, usages: Mapping[UsageKey, Usage], wall: float, capacity: Mapping[str, Capacity] | None = None
    ) -> None:
        """Count the usage of one tick.

        Args:
            usages: the amounts.
            wall: Unix time in seconds. It only decides in which hour the amounts are stored.
            capacity: the time of each GPU by state.
        """
        hour = int(wall) // HOUR * HOUR
        growth: Totals = defaultdict(Total)
        with self._lock:
            usernames = {*(self._loaded or ()), *self._counted}
            for (original, device), usage in usages.items():
                consumer = self._limits.apply(original, hour, usernames)
                usernames.add(consumer.username)
                self._pending[hour, (consumer, device)].add(usage)
                total = growth[consumer.username]
                total.uid = consumer.uid if consumer.uid is not None else total.uid
                total.add(usage)
            for username, grown in growth.items():
                self._counted[username] = grown.plus(self._counted.get(username, Total()))
                self._growth[username] = grown.maximum(self._growth.get(username, Total()))
            if len(self._pending) > MAX_PENDING:
                self._pending = _reduce_detail(self._pending, hour)
            self._add_capacity(hour, capacity or {})

    def _add_capacity(self, hour: int, capacity: Mapping[str, Capacity]) -> None:
        """Count the time of each GPU; the caller holds the lock."""
        for device, states in capacity.items():
            pending = self._capacity.setdefault((hour, device), {})
            for state, amount in states.items():
                pending[state] = pending.get(state, 0) + amount
        while len(self._capacity) > MAX_PENDING:
            self._capacity.pop(next(iter(self._capacity)))

    def update_shown(self) -> Totals | None:
        """Return the totals to show now; None while it is unknown what was counted before the start.

        They are what was counted, but no more than the ceilings and no less than what was shown before. Without
        ceilings, while the file cannot be written, they are what was counted.
        """
        with self._lock:
            if self._loaded is None:
                return None
            self.capped = False
            for username, total in self._sum_totals().items():
                before = self._shown.get(username, Total())
                new = username not in self._shown and username not in self._loaded
                # Without ceilings too, a new counter begins at 0, so that its increase is seen.
                ceilings = {} if self._ceilings is None and new else self._ceilings
                allowed = total if ceilings is None else total.minimum(ceilings.get(username, Total()))
                shown = allowed.maximum(before).maximum(_zeros_where_known(total))
                self._shown[username] = shown
                self.capped |= bool(username) and _exceeds(total, shown)
            return dict(self._shown)

    def set_restart_state(self, restart_state: RestartState) -> None:
        """Set the restart state that the next batch saves, with the last work of only the selected environments."""
        last_work = restart_state.last_work
        users = {work.uid: number for number, work in enumerate(last_work)}
        selected = select_environments(
            (number, users[work.uid], int(work.worked)) for number, work in enumerate(last_work)
        )
        limited = tuple(work for number, work in enumerate(last_work) if number in selected)
        with self._lock:
            self._restart_state = restart_state._replace(last_work=limited)

    def take_restart_state(self) -> RestartState | None:
        """Return the restart state in the file; None before :meth:`load`, and at later calls."""
        with self._lock:
            restart_state, self._loaded_restart_state = self._loaded_restart_state, None
            return restart_state

    def load(self, stored: StoredState) -> None:
        """Continue from the totals in the file, and show the counters from their ceilings on."""
        with self._lock:
            self._loaded = dict(stored.totals)
            self._shown = {**stored.ceilings, **self._shown}
            self._loaded_restart_state = stored.restart_state

    def reset(self) -> None:
        """Discard what was counted so far, because another process has counted it too."""
        with self._lock:
            self._pending = defaultdict(Usage)
            self._capacity, self._counted, self._shown = {}, {}, {}

    def take_batch(self, ticks: int = 0) -> Batch:
        """Return what is to be written, and remove it from what is pending. Requires :meth:`load`.

        Args:
            ticks: the number of ticks until the next batch is written.
        """
        with self._lock:
            usages, self._pending = self._pending, defaultdict(Usage)
            capacity, self._capacity = self._capacity, {}
            totals = self._sum_totals()
            ceilings = {username: self._ceiling(username, total, ticks) for username, total in totals.items()}
            self._growth, self._previous_growth = {}, self._growth
            return Batch(usages, totals, self._restart_state, ceilings, capacity=capacity)

    def set_ceilings(self, ceilings: Totals | None) -> None:
        """Set the ceilings that are in the file; None while it cannot be written."""
        with self._lock:
            self._ceilings = ceilings

    def _ceiling(self, username: str, total: Total, ticks: int) -> Total:
        growth = self._growth.get(username, Total()).maximum(self._previous_growth.get(username, Total()))
        return total.plus(growth.times(ticks)).maximum(self._shown.get(username, Total()))

    def remove_users(self, usernames: set[str]) -> None:
        """Remove users whose data was deleted from the file, unless they have pending usage."""
        with self._lock:
            for username in usernames - {consumer.username for _, (consumer, _) in self._pending}:
                for totals in (self._counted, self._loaded, self._ceilings, self._shown):
                    if totals is not None:
                        totals.pop(username, None)

    def _sum_totals(self) -> Totals:
        """Return everybody's total, as copies; the caller holds the lock."""
        loaded = self._loaded or {}
        usernames = {**loaded, **self._counted}
        return {name: self._counted.get(name, Total()).plus(loaded.get(name, Total())) for name in usernames}


def _zeros_where_known(total: Total) -> Total:
    """Return 0 for each known amount: Prometheus sees no increase in a counter that appears with its full value."""
    return total.minimum(Total(total.uid, 0, 0, 0, 0, 0))


def _exceeds(total: Total, shown: Total) -> bool:
    pairs = zip(total.amounts, shown.amounts, strict=True)
    return any(counted is not None and counted > (visible or 0) for counted, visible in pairs)


def _reduce_detail(pending: _HourUsages, hour: int) -> _HourUsages:
    """Sum each user's environments in the past hours; if that is not enough, sum all hours as well."""
    result = _merge(pending, lambda start, consumer: (start, consumer if start == hour else _summed(consumer)))
    if len(result) > MAX_PENDING // 2:
        first = min(start for start, _ in result)
        result = _merge(result, lambda _, consumer: (first, _summed(consumer)))
    return result


def _merge(pending: _HourUsages, target: Callable[[int, Consumer], tuple[int, Consumer]]) -> _HourUsages:
    result: _HourUsages = defaultdict(Usage)
    for (start, (consumer, device)), usage in pending.items():
        new_start, new_consumer = target(start, consumer)
        result[new_start, (new_consumer, device)].add(usage)
    return result


def _summed(consumer: Consumer) -> Consumer:
    return consumer if consumer.eid in ("", RESERVED) else consumer.other


class ConsumerLimits:
    """Limits how many consumers have amounts of their own. Within an hour, the first ones to appear keep them."""

    def __init__(self) -> None:
        self._hour = 0
        self._accepted: set[Consumer] = set()
        self._environments: Counter[str] = Counter()

    def apply(self, consumer: Consumer, hour: int, usernames: Collection[str]) -> Consumer:
        """Return the consumer itself, or ``(other)`` if it is over a limit.

        Args:
            consumer: who used something.
            hour: when, as the Unix time at which the hour begins.
            usernames: the users who have amounts of their own.
        """
        if hour != self._hour:
            self._hour, self._accepted, self._environments = hour, set(), Counter()
        if consumer.username not in usernames and len(usernames) >= MAX_USERS:
            return Consumer(RESERVED).other
        if consumer not in self._accepted:
            full = (
                self._environments[consumer.username] >= MAX_ENVIRONMENTS_PER_USER
                or len(self._accepted) >= MAX_ENVIRONMENTS
            )
            if full and consumer.eid:
                return consumer.other
            self._accepted.add(consumer)
            self._environments[consumer.username] += 1 if consumer.eid else 0
        return consumer


def select_environments(amounts: Iterable[tuple[int, int, int]]) -> set[int]:
    """Return the environments that keep amounts of their own: users take turns, each with the most used one first.

    Args:
        amounts: for each environment its number, its user's number, and how much it used.
    """
    rank: Counter[int] = Counter()
    ranked = []
    for environment, user, amount in sorted(amounts, key=lambda entry: -entry[2]):
        ranked.append((rank[user], -amount, environment))
        rank[user] += 1
    selected = sorted(entry for entry in ranked if entry[0] < MAX_ENVIRONMENTS_PER_USER)[:MAX_ENVIRONMENTS]
    return {environment for _, _, environment in selected}
