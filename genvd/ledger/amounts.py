"""Amounts of GPU time and energy, and whom they are counted for.

All amounts are whole milliseconds and millijoules, so sums are exact. ``None`` means *not known*.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from genvd.common.text import RESERVED

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Consumer:
    """An environment, or with an empty ``eid`` everything that a user does outside genv."""

    username: str
    """Empty if the user is unknown."""
    eid: str = ""
    created: int | None = None
    """Unix time in seconds. It tells environments apart that have the same ID: genv uses pids, and pids repeat."""
    uid: int | None = field(default=None, compare=False)
    name: str | None = field(default=None, compare=False)

    @property
    def other(self) -> Consumer:
        """The consumer ``(other)``, under which the user's environments over a limit are summed."""
        return Consumer(self.username, RESERVED, uid=self.uid)


@dataclass(slots=True)
class Usage:
    """What one consumer used of one GPU. Adding a known amount to an unknown one makes it known."""

    allocated: int = 0
    """Milliseconds for which the GPU was attached."""
    active: int | None = None
    """The part of ``allocated`` in which the GPU was in use. ``active`` and ``idle`` are both known, or neither is."""
    idle: int | None = None
    """The part of ``allocated`` in which it was not in use."""
    energy: int | None = None
    """Millijoules."""
    allocated_again: int = 0
    """The part of ``allocated`` that another environment of the same user counts already, as the user holds the GPU
    only once. Named like the column of the file, as are the two below."""
    active_again: int = 0
    idle_again: int = 0
    outside: int | None = None
    """Milliseconds in which a process computed on the GPU although it was not attached to its environment, or without
    any environment."""
    outside_again: int = 0
    """The part of ``outside`` in which the user has the GPU anyway: attached, or by another consumer."""

    def add(self, other: Usage) -> None:
        """Add an amount to this one."""
        self.allocated += other.allocated
        self.active = add_known(self.active, other.active)
        self.idle = add_known(self.idle, other.idle)
        self.energy = add_known(self.energy, other.energy)
        self.allocated_again += other.allocated_again
        self.active_again += other.active_again
        self.idle_again += other.idle_again
        self.outside = add_known(self.outside, other.outside)
        self.outside_again += other.outside_again

    def values(self) -> tuple[int | None, ...]:
        """Return the amounts in the order of the columns in the file."""
        again = (self.allocated_again, self.active_again, self.idle_again)
        return (self.allocated, self.active, self.idle, self.energy, *again, self.outside, self.outside_again)


@dataclass(slots=True)
class Total:
    """What a user has used since the ledger was created. Each GPU counts once, however many environments share it."""

    uid: int | None = None
    allocated: int = 0
    active: int | None = None
    idle: int | None = None
    energy: int | None = None
    outside: int | None = None

    def add(self, usage: Usage) -> None:
        """Add the usage of one of the user's environments."""
        self.allocated += usage.allocated - usage.allocated_again
        if usage.active is not None:
            self.active = add_known(self.active, usage.active - usage.active_again)
        if usage.idle is not None:
            self.idle = add_known(self.idle, usage.idle - usage.idle_again)
        self.energy = add_known(self.energy, usage.energy)
        if usage.outside is not None:
            self.outside = add_known(self.outside, usage.outside - usage.outside_again)

    @property
    def amounts(self) -> tuple[int, int | None, int | None, int | None, int | None]:
        """The amounts in the order of the fields."""
        return self.allocated, self.active, self.idle, self.energy, self.outside

    def plus(self, other: Total) -> Total:
        """Return the sum of the two."""
        return self._combine(other, add_known)

    def times(self, factor: int) -> Total:
        """Return each amount multiplied by the factor."""
        rest = (None if amount is None else amount * factor for amount in self.amounts[1:])
        return Total(self.uid, self.allocated * factor, *rest)

    def minimum(self, other: Total) -> Total:
        """Return the smaller one of each amount; unknown if one of the two is unknown."""
        return self._combine(other, _minimum)

    def maximum(self, other: Total) -> Total:
        """Return the larger one of each amount; if only one is known, that one."""
        return self._combine(other, _maximum)

    def _combine(self, other: Total, function: Callable[[int | None, int | None], int | None]) -> Total:
        allocated, *rest = map(function, self.amounts, other.amounts)
        return Total(self.uid if self.uid is not None else other.uid, allocated or 0, *rest)


CapacityState = Literal["active", "idle", "attached", "outside", "free", "down", "unknown"]
"""``active``, ``idle``: attached, and used or not; ``attached``: attached, but whether it is used is unknown;
``outside``: attached to nobody, but a process computes there; ``free``: known to be free; ``down``: does not answer, or
is in MIG mode without MIG devices."""

CAPACITY_STATES: tuple[CapacityState, ...] = get_args(CapacityState)
"""In the order of the columns in the file. Each GPU is in one of them, so they add up to the time that there was."""

Capacity = dict[CapacityState, int]
"""Milliseconds of a GPU by its state."""


UsageKey = tuple[Consumer, str]
"""The consumer, and the GPU's key from :func:`genvd.model.identity.device_keys`."""

Totals = dict[str, Total]
"""By username, in the order in which the users first appeared."""


def add_known(left: int | None, right: int | None) -> int | None:
    """Return the sum of two amounts; an unknown amount adds nothing."""
    if left is None or right is None:
        return right if left is None else left
    return left + right


def from_thousandths(amount: int | None) -> float | None:
    """Return milliseconds as seconds, or millijoules as joules; None stays None."""
    return None if amount is None else amount / 1000


def _minimum(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else min(left, right)


def _maximum(left: int | None, right: int | None) -> int | None:
    return max(left, right) if left is not None and right is not None else add_known(left, right)
