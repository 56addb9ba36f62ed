"""The past of a simulated machine: who used its GPUs in the month before it was started."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Literal

from genvd.collectors.demo.machine import PROJECTS, USERS
from genvd.ledger.amounts import Capacity, CapacityState, Consumer, Total, Totals, Usage, UsageKey
from genvd.ledger.store import HOUR, Batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DAYS = 30
_FIRST_UID = 1001
_MAX_DEVICES = 64
"""More GPUs than these have no past, because nobody looks at that many."""
_WATTS = {"active": 480, "idle": 75, "outside": 390}

_Kind = Literal["active", "idle", "outside", "free"]


def demo_past(devices: Iterable[str], now: float) -> Batch:
    """Return the usage of the hours before the current one. It depends only on the GPUs and the hour.

    Args:
        devices: the keys of the GPUs.
        now: Unix time in seconds.
    """
    until = int(now) // HOUR * HOUR
    usages: dict[tuple[int, UsageKey], Usage] = {}
    capacity: dict[tuple[int, str], Capacity] = {}
    totals: Totals = {}
    for number, device in enumerate(tuple(devices)[:_MAX_DEVICES]):
        first = until - DAYS * 24 * HOUR
        hours = _hours(random.Random(f"past {number}"), number, first)
        for start, (consumer, kind, part) in zip(range(first, until, HOUR), hours, strict=False):
            usage, states = _usage(kind, part)
            capacity[start, device] = states
            if consumer is not None:
                usages[start, (consumer, device)] = usage
                totals.setdefault(consumer.username, Total(consumer.uid)).add(usage)
    return Batch(usages, totals, capacity=capacity)


def _hours(chance: random.Random, number: int, start: int) -> Iterator[tuple[Consumer | None, _Kind, float]]:
    """Yield for each hour who has the GPU, what the user does, and for which part of the hour."""
    job = 1000 * (number + 1)
    while True:
        job += 1
        kind: _Kind = chance.choice(("active", "active", "active", "active", "idle", "outside", "free"))
        user = min(int(chance.expovariate(0.45)), len(USERS) - 1)  # some users need much more than others
        eid = "" if kind == "outside" else str(10_000 + 20 * job)
        consumer = Consumer(USERS[user], uid=_FIRST_UID + user)
        if eid:
            consumer = Consumer(USERS[user], eid, start, _FIRST_UID + user, chance.choice(PROJECTS))
        load = chance.uniform(0.55, 0.98) if kind == "active" else 1.0
        for _ in range(chance.randint(2, 30)):
            start += HOUR
            yield (None if kind == "free" else consumer), kind, min(1.0, max(0.05, load + chance.gauss(0, 0.05)))


def _usage(kind: _Kind, part: float) -> tuple[Usage, Capacity]:
    """Return the usage of an hour, and the state of the GPU in it."""
    whole = HOUR * 1000
    if kind == "free":
        return Usage(), {"free": whole}
    if kind == "outside":
        state: CapacityState = "outside"
        return Usage(energy=whole * _WATTS[kind], outside=whole), {state: whole}
    active = int(whole * part) if kind == "active" else 0
    energy = active * _WATTS["active"] + (whole - active) * _WATTS["idle"]
    return Usage(whole, active, whole - active, energy, outside=0), {"active": active, "idle": whole - active}
