"""Looks to amounts: what was used between one look and the next.

Time is that of CLOCK_MONOTONIC, so setting the clock of the machine changes no amount. What is found at the second of
two looks counts for the time since the first, but for a few intervals at most: nobody knows what went on while the
machine or the monitor was suspended.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from genvd.ledger.amounts import Consumer, Key, Use

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genvd.ledger.observation import Held, Look, Outside, Reading

MOST_WATTS = 20_000.0
"""No device draws more; a counter that says so has jumped, and what was counted once stays counted for ever."""


class Meter:
    """Counts from look to look."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._counters: dict[str, tuple[int, float]] = {}
        """By device, when its energy counter was last read, and the joules."""

    def count(self, look: Look, now: float, longest: float) -> dict[Key, Use]:
        """Return what was used since the last look, by who used it and which device.

        Everybody who holds a device is there, at the first look with amounts of 0.

        Args:
            look: what was found.
            now: when, in seconds of CLOCK_MONOTONIC.
            longest: the most seconds that count for one look.
        """
        moment, most = int(now * 1000), int(longest * 1000)
        last = moment if self._last is None else self._last
        self._last = moment
        elapsed = max(0, moment - last)
        energies = self._energies(look.readings, elapsed, moment, most)
        if look.held is None:
            return {}
        by_device: dict[str, dict[Consumer, Held]] = defaultdict(dict)
        for held in look.held:
            by_device[held.device].setdefault(held.consumer, held)
        outside: dict[str, list[Outside]] = defaultdict(list)
        for work in look.outside:
            outside[work.device].append(work)
        uses: dict[Key, Use] = {}
        for device, holders in by_device.items():
            for held in holders.values():
                uses[held.consumer, device] = _use(held, min(elapsed, most))
            _mark_doubles(holders.values(), uses)
        for device, energy in energies.items():
            for consumer, part in shared(energy, by_device.get(device, {}).values(), outside.get(device, ())):
                uses.setdefault((consumer, device), Use()).add(Use(energy=part))
        return uses

    def _energies(self, readings: Iterable[Reading], elapsed: int, moment: int, most: int) -> dict[str, int]:
        """Return the millijoules that each device took, where that is known: by its counter, else by its power."""
        energies: dict[str, int] = {}
        counters: dict[str, tuple[int, float]] = {}
        for reading in readings:
            before = self._counters.get(reading.device)
            energy = None
            if reading.energy_joules is not None:
                energy = _risen(before, reading.energy_joules, moment, most)
                counters[reading.device] = (moment, reading.energy_joules)
            if energy is None and reading.power_watts is not None and 0 <= reading.power_watts <= MOST_WATTS:
                energy = reading.power_watts * min(elapsed, most)
            elif energy is None and before is not None:
                counters.setdefault(reading.device, before)  # what it rises by meanwhile counts when it is known again
            if energy is not None:
                energies[reading.device] = round(energy)
        self._counters = counters
        return energies


def _risen(before: tuple[int, float] | None, joules: float, moment: int, most: int) -> float | None:
    """Return the millijoules by which a counter rose in the time that counts; None for one that began anew."""
    if before is None or moment <= before[0]:
        return None
    risen, passed = 1000 * (joules - before[1]), moment - before[0]
    return risen * min(1.0, most / passed) if 0 <= risen <= MOST_WATTS * passed else None


def shared(energy: int, holders: Iterable[Held], outside: Iterable[Outside]) -> list[tuple[Consumer, int]]:
    """Return who answers for which part of a device's energy. docs/ledger.md has the rule and its reasons.

    Who holds it and is known to answer for none of it has a part of 0, which is not the same as one that is not known.

    Args:
        energy: of the device, in millijoules.
        holders: those who hold it.
        outside: work on it of others; the part of those without a name and an environment is nobody's.
    """
    holders, outside = list(holders), list(outside)
    working = [held for held in holders if held.active]
    weights = [(held.consumer, max(0.0, held.share or 0.0)) for held in holders]
    weights += [(work.consumer, max(0.0, work.share)) for work in outside]
    if not sum(weight for _, weight in weights) > 0 or any(held.share is None for held in working):
        weights = [(held.consumer, 1.0) for held in working or holders]
    whole = sum(weight for _, weight in weights)
    parts, given, weighed = [], 0, 0.0
    for consumer, weight in weights:
        weighed += weight
        until = round(energy * (weighed / whole))  # rounds the sums, so that the parts add up
        if weight and (consumer.username or consumer.eid):
            parts.append((consumer, until - given))
        given = until
    named = {consumer for consumer, _ in parts}
    return parts + [(held.consumer, 0) for held in holders if held.active is not None and held.consumer not in named]


def _use(held: Held, elapsed: int) -> Use:
    if held.active is None:
        return Use(elapsed)
    return Use(elapsed, elapsed if held.active else 0, 0 if held.active else elapsed)


def _mark_doubles(holders: Iterable[Held], uses: dict[Key, Use]) -> None:
    """Mark what somebody with several environments on one device has there more than once."""
    of_person: dict[str, list[Held]] = defaultdict(list)
    for held in holders:
        if held.consumer.username:
            of_person[held.consumer.username].append(held)
    for several in of_person.values():
        if len(several) == 1:
            continue
        idle = all(held.active is False for held in several)
        several.sort(key=lambda held: not held.active)
        for number, held in enumerate(several):
            use = uses[held.consumer, held.device]
            use.allocated_again = use.allocated if number else 0
            use.active_again = (use.active or 0) if number else 0
            use.idle_again = 0 if idle and not number else (use.idle or 0)
