"""A machine of the test's choice, shown by the monitor's own server in this process."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from genvd.analysis import activity, join
from genvd.analysis.history import EMPTY_HISTORY, History, HistoryRecorder
from genvd.collectors.registry import make_collectors
from genvd.config.schema import Config
from genvd.ledger.accounting import UsageAccounting
from genvd.ledger.amounts import Total, from_thousandths
from genvd.ledger.memory import MemoryLedger
from genvd.ledger.observation import observe
from genvd.ledger.pending import PendingUsage
from genvd.metrics.exposition import Exposition
from genvd.model.device import Device
from genvd.model.facts import Context, ProcessFacts, ProcessOwner
from genvd.model.snapshot import Environment, Holding, LedgerStatus, Process, ServiceStatus, Snapshot, UserUsage
from genvd.service.monitor import Monitor
from genvd.web.http_server import Server
from genvd.web.listening import listen
from genvd.web.security import Security
from genvd.web.site import Latest, Site
from tests.support.ledger import new_pending

GIB = 2**30
INTERVAL = 1.0
"""Seconds, the shortest in which the page asks again."""


@dataclass
class Shown:
    """What the page is to show, which may be changed while it does."""

    site: Site
    port: int
    shown: int = 0

    @property
    def origin(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}"

    def show(self, snapshot: Snapshot, past: History = EMPTY_HISTORY) -> None:
        """Show a machine from now on, as if it were collected now unless its time is another one."""
        self.shown += 1
        service = snapshot.service._replace(collections=self.shown)
        self.site.latest = Latest(snapshot._replace(service=service), Exposition(()), past)

    def nothing(self) -> None:
        """Be as before the first collection."""
        self.site.latest = None


_VERSIONS = itertools.count(1)


class FixedLedger(MemoryLedger):
    """A ledger that does not change. Its version is one of its own, as documents of another one may be kept."""

    def __init__(self, pending: PendingUsage, *, past: bool) -> None:
        super().__init__(pending, past=past)
        self.version = float(next(_VERSIONS))


@contextmanager
def serving(security: Security | None = None) -> Iterator[Shown]:
    """Serve the site from this process, over a free port."""
    site = Site()
    site.usage.ledger = cast("Any", FixedLedger(new_pending(), past=False))
    server = Server(site, security or Security(), listen("127.0.0.1", 0))
    server.start()
    try:
        yield Shown(site, server.port)
    finally:
        server.stop(accept_queued=False)


def machine(**parts: Any) -> Snapshot:
    """Return a machine that was collected just now, with nothing on it but these parts."""
    service = ServiceStatus("1.2.3", "live", "3.11", "12", host="gpu1", interval_seconds=INTERVAL)
    empty: dict[str, Any] = dict.fromkeys(("devices", "processes", "environments", "users", "holdings"), ())
    return Snapshot(timestamp=time.time(), service=service, **{**empty, **parts})


def device(index: int, **values: Any) -> Device:
    """Return a device that is well."""
    defaults: dict[str, Any] = {
        "uuid": f"GPU-{index}",
        "up": True,
        "name": "NVIDIA H200",
        "temperature_celsius": 40,
        "utilization_percent": 50,
        "memory_used_bytes": 0,
        "memory_total_bytes": 100 * GIB,
        "memory_reserved_bytes": 0,
        "processes_listed": True,
    }
    return Device(index, **{**defaults, **values})


def environment(eid: str, devices: tuple[int, ...] = (), **values: Any) -> Environment:
    """Return an active environment of alice."""
    defaults: dict[str, Any] = dict.fromkeys(("name", "gpu_memory_bytes", "gpus", "created"))
    defaults |= {"uid": 1001, "username": "alice", "pids": ()}
    return Environment(eid=eid, device_indices=devices, **{**defaults, **values})


def holding(eid: str, device: int, **values: Any) -> Holding:
    """Return the attachment of a device to an environment of alice."""
    defaults: dict[str, Any] = {"uid": 1001, "username": "alice", "active": None, "share": None, "attached": None}
    return Holding(eid=eid, device_index=device, device_uuid=f"GPU-{device}", **{**defaults, **values})


def inhabited(
    devices: tuple[Device, ...],
    environments: tuple[Environment, ...],
    contexts: tuple[Context, ...],
    owners: dict[int, ProcessOwner],
) -> Snapshot:
    """Return a machine on which processes run, each in the environment that its owner's ``eid`` names."""
    joined, _ = join.processes(contexts, ProcessFacts(owners=owners), ())
    processes = tuple(_in_environment(process, owners[process.pid]) for process in joined)
    idle = {one.eid: one.idle_seconds for one in environments if one.idle_seconds is not None}
    active = activity.add_activity(environments, (), processes, devices, idle)
    return machine(
        devices=devices,
        processes=processes,
        environments=active,
        users=join.users(active),
        holdings=tuple(
            held._replace(idle_seconds=idle.get(held.eid)) for held in activity.holdings(active, (), processes, devices)
        ),
    )


def visited() -> Snapshot:
    """Return a machine whose GPU 0 is held idle by dave, while alice and bob compute on it: alice holds GPU 1 only."""
    return inhabited(
        (device(0), device(1)),
        (
            environment("1", (0,), name="held", username="dave", idle_seconds=7200.0),
            environment("2", (1,), name="train", username="alice", pids=(100,)),
        ),
        (Context(100, 0, GIB), Context(100, 1, GIB), Context(200, 0, GIB)),
        {100: ProcessOwner(1001, "2", "python3"), 200: ProcessOwner(1002, None, "a.out")},
    )


def half_used() -> Snapshot:
    """Return a machine on which one environment works on GPUs 8 and 9, and holds 10 and 11 idle."""
    idle = {8: 0.0, 9: 15.0, 10: 7200.0, 11: 86_400.0}
    snapshot = inhabited(
        tuple(device(index, utilization_percent=90 if index < 10 else 0) for index in idle),
        (environment("4", tuple(idle), name="four", idle_seconds=0.0, pids=(100, 101)),),
        tuple(Context(92 + index, index, 40 * GIB, utilization=0.9) for index in (8, 9)),
        dict.fromkeys((100, 101), ProcessOwner(1001, "4", "python3")),
    )
    holdings = tuple(holding._replace(idle_seconds=idle[holding.device_index]) for holding in snapshot.holdings or ())
    return snapshot._replace(holdings=holdings)


def _in_environment(process: Process, owner: ProcessOwner) -> Process:
    return process._replace(eid=owner.eid, username="alice" if owner.uid == 1001 else "bob")


class Demo:
    """The simulated machine, a collection at a time."""

    def __init__(self, devices: int = 8) -> None:
        config = Config(collect_interval=INTERVAL)
        self._monitor = Monitor(config, make_collectors(config, devices))
        self._history = HistoryRecorder()
        self._accounting = UsageAccounting()
        self._used: dict[str, Total] = defaultdict(Total)

    def hour(self, hours: int = 1) -> tuple[Snapshot, History]:
        """Return a collection at the end of an hour, or of so many of them."""
        now = time.time()
        for seconds in range(hours * 3600, 0, -30):
            snapshot = self._monitor.collect()._replace(timestamp=now - seconds)
            self._history.record(snapshot)
            self._count(snapshot)
        snapshot = self._monitor.collect()
        return snapshot, self._history.record(snapshot)

    def _count(self, snapshot: Snapshot) -> None:
        for (consumer, _), usage in self._accounting.count(observe(snapshot), snapshot.timestamp, 60.0).items():
            if consumer.username:
                self._used[consumer.username].add(usage)

    def usage(self) -> LedgerStatus:
        """Return what a ledger would have counted in the hours."""
        return LedgerStatus(
            tuple(
                UserUsage(
                    name,
                    used.allocated / 1000,
                    from_thousandths(used.active),
                    from_thousandths(used.idle),
                    outside_seconds=from_thousandths(used.outside),
                )
                for name, used in self._used.items()
            )
        )
