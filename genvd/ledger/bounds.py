"""Bounds on how much is kept, whatever people do: what is over them is counted all the same, but summed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from genvd.common.text import RESERVED
from genvd.ledger.use import Consumer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

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
