"""How GPU time and energy are shared among environments and users: observations in, amounts out.

What the second of two observations shows counts for the time between them. Time is CLOCK_MONOTONIC, so setting the
system clock changes no amount, and at most a few intervals count at once: what happened while the machine or the
monitor was suspended is unknown.

Example: one GPU, two observations 10 s apart, 4,000 J drawn. It is attached to alice's environments 1 and 2 and to
bob's 3. Environment 1 takes 30 % of its SM time, 2 and 3 are idle. Carol takes 10 % with a process outside genv.

=====================  =========  =======  =======  =======  =======  =============================================
consumer               allocated  active   idle     outside  energy   why
=====================  =========  =======  =======  =======  =======  =============================================
alice, environment 1   10 s       10 s     0 s      0 s      3,000 J  0.3 of the 0.4 that was used
alice, environment 2   10 s       0 s      10 s     0 s      0 J      idle while others work
bob, environment 3     10 s       0 s      10 s     0 s      0 J      the same
carol, no environment  0 s        unknown  unknown  10 s     1,000 J  0.1 of the 0.4
alice as a user        10 s       10 s     0 s      0 s      3,000 J  she holds the GPU once: 2's 10 s are *_again
the GPU                10 s       10 s     0 s      0 s      4,000 J  attached and used
=====================  =========  =======  =======  =======  =======  =============================================

Each user who computes outside counts in full, however many processes they have and however many others do so too. If
alice also had a process outside, its 10 s would be ``outside_again``: she has the GPU already.

If the driver did not report shares, environment 1 would get all 4,000 J, as the only one known to work. If nobody
worked, environments 1, 2 and 3 would get a third each. Without any environment, nobody would get any.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from genvd.ledger.amounts import Capacity, Consumer, Usage, UsageKey

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genvd.ledger.observation import EnergyReading, HeldDevice, Observation, UnattachedWork

MAX_WATTS = 20_000.0
"""No GPU draws more. A larger value is an error of the counter, and what is counted once can never be corrected."""


class UsageAccounting:
    """Turns a sequence of observations into amounts of use."""

    def __init__(self) -> None:
        self.capacity: dict[str, Capacity] = {}
        """For each GPU, its time by state, as of the last call of :meth:`count`."""
        self._last_ms: int | None = None
        self._counters: dict[str, tuple[int, float]] = {}
        """For each GPU, when its energy counter was last read (in ms), and its value in joules."""

    def count(self, observation: Observation, now: float, max_seconds: float) -> dict[UsageKey, Usage]:
        """Return what was used since the previous observation.

        Everybody who holds a GPU is in the result, at the first observation with amounts of 0.

        Args:
            observation: the current state.
            now: its time, in seconds of CLOCK_MONOTONIC.
            max_seconds: the longest time that counts for one observation.
        """
        now_ms, max_ms = int(now * 1000), int(max_seconds * 1000)
        elapsed = 0 if self._last_ms is None else max(0, now_ms - self._last_ms)
        self._last_ms = now_ms
        self.capacity = {device: {state: min(elapsed, max_ms)} for device, state in observation.states}
        energies = self._count_energies(observation.readings, elapsed, now_ms, max_ms)
        if observation.held is None:
            return {}
        holders: dict[str, dict[Consumer, HeldDevice]] = defaultdict(dict)
        for held in observation.held:
            holders[held.device].setdefault(held.consumer, held)
        unattached: dict[str, list[UnattachedWork]] = defaultdict(list)
        for work in observation.unattached_work:
            unattached[work.device].append(work)
        usages: dict[UsageKey, Usage] = {}
        for device, by_consumer in holders.items():
            for held in by_consumer.values():
                usages[held.consumer, device] = usage = _usage(held, min(elapsed, max_ms))
                if device in observation.outside_known:
                    usage.outside = 0
            _mark_duplicates(by_consumer.values(), usages)
        _add_outside(observation, usages, min(elapsed, max_ms))
        for device, energy in energies.items():
            for consumer, part in share_energy(energy, holders.get(device, {}).values(), unattached.get(device, ())):
                usages.setdefault((consumer, device), Usage()).add(Usage(energy=part))
        return usages

    def _count_energies(
        self, readings: Iterable[EnergyReading], elapsed: int, now_ms: int, max_ms: int
    ) -> dict[str, int]:
        """Return the millijoules that each GPU drew, from its counter or else from its power, where one is known."""
        energies: dict[str, int] = {}
        counters: dict[str, tuple[int, float]] = {}
        for reading in readings:
            previous = self._counters.get(reading.device)
            energy = None
            if reading.energy_joules is not None:
                energy = _counter_increase(previous, reading.energy_joules, now_ms, max_ms)
                counters[reading.device] = (now_ms, reading.energy_joules)
            if energy is None and reading.power_watts is not None and 0 <= reading.power_watts <= MAX_WATTS:
                energy = reading.power_watts * min(elapsed, max_ms)
            elif energy is None and previous is not None:
                counters.setdefault(reading.device, previous)  # the increase counts once the counter is readable again
            if energy is not None:
                energies[reading.device] = round(energy)
        self._counters = counters
        return energies


def _counter_increase(previous: tuple[int, float] | None, joules: float, now_ms: int, max_ms: int) -> float | None:
    """Return the increase of a counter in millijoules, for at most ``max_ms``; None if the counter was reset."""
    if previous is None or now_ms <= previous[0]:
        return None
    increase, elapsed = 1000 * (joules - previous[1]), now_ms - previous[0]
    return increase * min(1.0, max_ms / elapsed) if 0 <= increase <= MAX_WATTS * elapsed else None


def share_energy(
    energy: int, holders: Iterable[HeldDevice], unattached: Iterable[UnattachedWork]
) -> list[tuple[Consumer, int]]:
    """Return who is charged how many millijoules of a GPU's energy. docs/ledger.md explains the rule.

    A holder that is known to have drawn nothing gets 0, which differs from unknown.

    Args:
        energy: of the GPU, in millijoules.
        holders: the environments that hold it.
        unattached: other work on it. The part of a consumer without username and environment is charged to nobody.
    """
    holders, unattached = list(holders), list(unattached)
    working = [held for held in holders if held.active]
    weights = [(held.consumer, max(0.0, held.share or 0.0)) for held in holders]
    weights += [(work.consumer, max(0.0, work.share)) for work in unattached]
    if not sum(weight for _, weight in weights) > 0 or any(held.share is None for held in working):
        weights = [(held.consumer, 1.0) for held in working or holders]  # equal parts, as the shares are unknown or 0
    total_weight = sum(weight for _, weight in weights)
    parts, charged, cumulative = [], 0, 0.0
    for consumer, weight in weights:
        cumulative += weight
        until = round(energy * (cumulative / total_weight))  # rounding the running sum makes the parts add up exactly
        if weight and (consumer.username or consumer.eid):
            parts.append((consumer, until - charged))
        charged = until
    in_parts = {consumer for consumer, _ in parts}
    return parts + [(held.consumer, 0) for held in holders if held.active is not None and held.consumer not in in_parts]


def _usage(held: HeldDevice, elapsed: int) -> Usage:
    """Return the usage of a holder in this many milliseconds, without its energy."""
    if held.active is None:
        return Usage(elapsed)
    return Usage(elapsed, elapsed if held.active else 0, 0 if held.active else elapsed)


def _add_outside(observation: Observation, usages: dict[UsageKey, Usage], elapsed: int) -> None:
    """Add the time for which consumers computed on a GPU that they have not attached. A user has a GPU once."""
    had = {(consumer.username, device) for consumer, device in usages}
    for use in observation.outside:
        usage = usages.setdefault((use.consumer, use.device), Usage())
        usage.outside = elapsed
        user = (use.consumer.username, use.device)
        if use.consumer.username and user in had:
            usage.outside_again = elapsed
        had.add(user)


def _mark_duplicates(holders: Iterable[HeldDevice], usages: dict[UsageKey, Usage]) -> None:
    """Set the ``*_again`` amounts of users who hold the GPU in several environments."""
    by_user: dict[str, list[HeldDevice]] = defaultdict(list)
    for held in holders:
        if held.consumer.username:
            by_user[held.consumer.username].append(held)
    for several in by_user.values():
        if len(several) == 1:
            continue
        all_idle = all(held.active is False for held in several)
        several.sort(key=lambda held: not held.active)  # the first one counts for the user
        for number, held in enumerate(several):
            usage = usages[held.consumer, held.device]
            usage.allocated_again = usage.allocated if number else 0
            usage.active_again = (usage.active or 0) if number else 0
            usage.idle_again = 0 if all_idle and not number else (usage.idle or 0)
