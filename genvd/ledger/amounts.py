"""What is counted, and for whom. All of it in whole milliseconds and millijoules, so that sums are exact."""

from __future__ import annotations

from dataclasses import dataclass, field

from genvd.common.text import RESERVED


@dataclass(frozen=True, slots=True)
class Consumer:
    """Somebody's environment, or, with an empty identifier, what they do outside of any."""

    username: str
    """Empty where nobody knows the name."""
    eid: str = ""
    created: int | None = None
    """Unix time in seconds; genv takes the number of a process as identifier, and numbers come again."""
    uid: int | None = field(default=None, compare=False)
    name: str | None = field(default=None, compare=False)

    @property
    def other(self) -> Consumer:
        """All environments of the same person together that are over a bound."""
        return Consumer(self.username, RESERVED, uid=self.uid)


@dataclass(slots=True)
class Use:
    """An amount of use. ``None`` is *not known*, and adding what is known to that makes it known."""

    allocated: int = 0
    """Milliseconds for which the device was held."""
    active: int | None = None
    """Of those, with work on the device; not known together with :attr:`idle`."""
    idle: int | None = None
    """Of those, without."""
    energy: int | None = None
    """Millijoules."""
    allocated_again: int = 0
    """Of :attr:`allocated`, what another environment of the same person counts already: nobody holds a device twice."""
    active_again: int = 0
    idle_again: int = 0

    def add(self, other: Use) -> None:
        """Add an amount to this one."""
        self.allocated += other.allocated
        self.active = plus(self.active, other.active)
        self.idle = plus(self.idle, other.idle)
        self.energy = plus(self.energy, other.energy)
        self.allocated_again += other.allocated_again
        self.active_again += other.active_again
        self.idle_again += other.idle_again

    def values(self) -> tuple[int | None, ...]:
        """Return the amounts in the order of the columns that they are kept in."""
        again = (self.allocated_again, self.active_again, self.idle_again)
        return (self.allocated, self.active, self.idle, self.energy, *again)


@dataclass(slots=True)
class Total:
    """What somebody used since the ledger was begun; no device twice."""

    uid: int | None = None
    allocated: int = 0
    active: int | None = None
    idle: int | None = None
    energy: int | None = None

    def add(self, use: Use) -> None:
        """Add what was used in one of the person's environments."""
        self.allocated += use.allocated - use.allocated_again
        if use.active is not None:
            self.active = plus(self.active, use.active - use.active_again)
        if use.idle is not None:
            self.idle = plus(self.idle, use.idle - use.idle_again)
        self.energy = plus(self.energy, use.energy)

    def plus(self, other: Total) -> Total:
        """Return the sum of the two, of the uid of this one."""
        return Total(
            self.uid if self.uid is not None else other.uid,
            self.allocated + other.allocated,
            plus(self.active, other.active),
            plus(self.idle, other.idle),
            plus(self.energy, other.energy),
        )

    def times(self, number: int) -> Total:
        """Return so many of it."""
        active, idle, energy = (None if amount is None else amount * number for amount in self.amounts[1:])
        return Total(self.uid, self.allocated * number, active, idle, energy)

    @property
    def amounts(self) -> tuple[int, int | None, int | None, int | None]:
        """The amounts in the order of the fields."""
        return self.allocated, self.active, self.idle, self.energy

    def at_most(self, other: Total) -> Total:
        """Return the lesser one of each amount; what is not known of one of the two is not known."""
        return Total(
            self.uid,
            min(self.allocated, other.allocated),
            _lesser(self.active, other.active),
            _lesser(self.idle, other.idle),
            _lesser(self.energy, other.energy),
        )

    def at_least(self, other: Total) -> Total:
        """Return the greater one of each amount."""
        return Total(
            self.uid,
            max(self.allocated, other.allocated),
            _greater(self.active, other.active),
            _greater(self.idle, other.idle),
            _greater(self.energy, other.energy),
        )


Key = tuple[Consumer, str]
"""Who, and what the device is called; see :func:`genvd.model.identity.device_keys`."""

Totals = dict[str, Total]
"""By username, in the order in which they came."""


def plus(left: int | None, right: int | None) -> int | None:
    """Return the sum of two amounts, of which one that is not known adds nothing."""
    if left is None or right is None:
        return right if left is None else left
    return left + right


def thousandth(amount: int | None) -> float | None:
    """Return milliseconds in seconds, and millijoules in joules; None for what is not known."""
    return None if amount is None else amount / 1000


def _lesser(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else min(left, right)


def _greater(left: int | None, right: int | None) -> int | None:
    return max(left, right) if left is not None and right is not None else plus(left, right)
