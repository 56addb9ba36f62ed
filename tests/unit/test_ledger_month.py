"""The sums of the ledger after a month of known use, by users with and without environments."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from genvd.ledger.accounting import UsageAccounting
from genvd.ledger.observation import observe
from genvd.ledger.report import Report, make_report
from genvd.ledger.retention import DAY, apply_retention
from genvd.model.device import Device
from genvd.model.snapshot import DeviceUse, Environment, Holding, Process, ServiceStatus, Snapshot
from tests.support.ledger import new_pending, write

if TYPE_CHECKING:
    from genvd.ledger.store import Store

STEP = 600
DAYS, GPUS = 30, 4
START = 1_790_000_000 // DAY * DAY
INSIDE, OUTSIDE = ("alice", "bob"), ("carol", "dave")


@dataclass
class Known:
    """What was used, in seconds; counted while the month is simulated, without any part of the ledger."""

    used: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By user and quantity."""
    capacity: Counter[str] = field(default_factory=Counter)


def machine(moment: float, chance: random.Random, known: Known) -> Snapshot:
    """Return the machine in one step, and count what everybody uses in it."""
    holdings, processes, environments = [], [], {}
    for index in range(GPUS):
        name, working = chance.choice((*INSIDE, None)), chance.random() < 0.7
        guests = [guest for guest in OUTSIDE if chance.random() < 0.2]
        if name:
            eid = str(INSIDE.index(name))
            environments[eid] = Environment(eid, 1000, name, None, None, None, None, (index,), ())
            holdings.append(Holding(eid, 1000, name, index, None, working, None, None))
            known.used[name, "allocated"] += STEP
            known.used[name, "active" if working else "idle"] += STEP
        for number, guest in enumerate(guests):
            processes += [Process(10 * index + number, (DeviceUse(index, 1),), None, 2000, guest)] * 2
            known.used[guest, "outside"] += STEP
        known.capacity[("active" if working else "idle") if name else "outside" if guests else "free"] += STEP
    return Snapshot(
        moment,
        ServiceStatus("1", "live", "3", "13"),
        devices=tuple(Device(i, f"GPU-{i}", up=True, processes_listed=True, memory_used_bytes=0) for i in range(GPUS)),
        environments=tuple(environments.values()),
        processes=tuple(processes),
        holdings=tuple(holdings),
    )


def test_the_sums_of_a_month_are_what_was_used(store: Store) -> None:
    """Also after the first weeks have been merged into days."""
    known, chance, accounting, pending = Known(), random.Random(16), UsageAccounting(), new_pending()
    accounting.count(observe(machine(START, chance, Known())), 0, STEP)
    for step in range(DAYS * DAY // STEP):
        moment = START + step * STEP
        usages = accounting.count(observe(machine(moment, chance, known)), float((step + 1) * STEP), STEP)
        pending.add(usages, moment, accounting.capacity)
        if step % (DAY // STEP) == 0:
            write(store, pending)
            apply_retention(store.connection, moment, 7 * DAY, 400 * DAY, lambda: True)
    write(store, pending)

    report = _report(store, "user")
    assert {row.labels[0] for row in report.rows} == {*INSIDE, *OUTSIDE}
    for row in report.rows:
        expected = (known.used[str(row.labels[0]), name] for name in ("allocated", "active", "idle", "outside"))
        assert (row.allocated_seconds, row.active_seconds, row.idle_seconds, row.outside_seconds) == tuple(expected)
    assert report.capacity is not None
    assert {state: seconds for state, seconds in report.capacity.items() if seconds} == dict(known.capacity)
    assert sum(report.capacity.values()) == GPUS * DAYS * DAY
    by_environment = _report(store, "environment")
    assert (
        sum(row.outside_seconds or 0 for row in by_environment.rows)
        == known.used["carol", "outside"] + (known.used["dave", "outside"])
    )
    assert sum(row.device_seconds for row in report.days) == sum(row.device_seconds for row in report.rows)
    totals = store.read().totals
    assert {name: (totals[name].outside or 0) / 1000 for name in OUTSIDE} == {
        name: known.used[name, "outside"] for name in OUTSIDE
    }


def _report(store: Store, by: str) -> Report:
    since, until = (datetime.fromtimestamp(time, timezone.utc) for time in (START - DAY, START + (DAYS + 1) * DAY))
    return make_report(store.path, since, until, by)
