"""Reads the groups of values that hardly change: not in each collection, and not all of them in the same one."""

from __future__ import annotations

import time
from functools import cache
from itertools import count
from math import gcd
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from genvd.collectors.base import GroupPeriods
from genvd.model.device import GroupReading

if TYPE_CHECKING:
    from collections.abc import Callable

    from genvd.collectors.nvml.errors import NvmlCalls

T = TypeVar("T")

_GROUPS = GroupPeriods._fields

_MAX_DOUBLINGS = 20
"""Of the wait after a failure; the period of the group is shorter than this anyway."""


class Schedule(NamedTuple):
    """Which groups of which GPUs are read in a collection."""

    number: int
    """The number of the collection. Those that were skipped count too."""
    devices: int
    """The number of GPUs."""
    periods: GroupPeriods

    @property
    def longest_period(self) -> int:
        """Within how many collections every call is made once."""
        return max(map(self.period, _GROUPS))

    def period(self, group: str) -> int:
        """Return in how many collections a group is read once."""
        period: int = getattr(self.periods, group)
        return period

    def turn(self, group: str, index: int) -> int:
        """Return the turn of a group of the GPU at this index. The group is read once in each turn.

        Turns of different groups and GPUs begin in different collections, evenly spread over the period.
        """
        period, places = self.period(group), self.devices * len(_GROUPS)
        place = (index * len(_GROUPS) + _GROUPS.index(group) * _stride(self.devices)) % places
        return (self.number + place * period // places) // period


@cache
def _stride(devices: int) -> int:
    """Return how many places are between two groups of one GPU.

    As it has no factor in common with the number of groups, each group of each GPU has a place of its own.
    """
    return next(stride for stride in count(max(1, devices)) if gcd(stride, len(_GROUPS)) == 1)


class GroupReader:
    """Reads one group of one GPU when it is due, and keeps its values until then.

    The first reading is always due, so that the first scrape has everything. After a reading with failing calls the
    next one is due one collection later, then two, four and so on: a single failure is soon over, and a call that
    always fails is not made all the time. Values that could not be read are absent, so none gets older than the period.
    """

    def __init__(self, group: str, index: int, calls: NvmlCalls) -> None:
        """Create a reader that has read nothing.

        Args:
            group: a field of :class:`GroupPeriods`.
            index: of the GPU.
            calls: makes the calls of the group.
        """
        self.reading: GroupReading | None = None
        """The last reading; None if there are no values."""
        self._group = group
        self._index = index
        self._calls = calls
        self._values: Any = None
        self._number = self._turn = 0
        """The collection and the turn of the last reading."""
        self._failures = 0
        """Readings with failing calls in a row."""

    def read(self, schedule: Schedule, read: Callable[[], T]) -> T:
        """Return the values of the group.

        Args:
            schedule: says whether the group is due.
            read: reads them. If it raises, nothing is kept.
        """
        if self._is_due(schedule):
            before = self._calls.failures
            self.reading = None
            self._values = read()
            self._failures = self._failures + 1 if self._calls.failures > before else 0
            self._number, self._turn = schedule.number, schedule.turn(self._group, self._index)
            self.reading = GroupReading(self._group, time.time())
        values: T = self._values
        return values

    def forget(self) -> None:
        """Forget the values: they are of another GPU, or are out of date. The next reading is due."""
        self._values = self.reading = None

    def _is_due(self, schedule: Schedule) -> bool:
        if self.reading is None or schedule.period(self._group) == 1:
            return True
        if self._failures and schedule.number - self._number >= 1 << min(self._failures - 1, _MAX_DOUBLINGS):
            return True
        return schedule.turn(self._group, self._index) != self._turn
