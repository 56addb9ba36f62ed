"""Building a Snapshot while the account lookup hangs, as with an unavailable directory service."""

from __future__ import annotations

import os
import threading
import time

from genvd.analysis import policy
from genvd.analysis.snapshot_builder import SnapshotBuilder
from genvd.collectors.base import CollectorError, GpuRequest
from genvd.collectors.host.processes import ProcessCollector
from genvd.collectors.registry import Collectors
from genvd.model.device import Device
from genvd.model.facts import (
    AccountFacts,
    AccountRequest,
    Attachment,
    Context,
    EnvironmentRecord,
    GenvFacts,
    GpuFacts,
    ProcessFacts,
    ProcessOwner,
    ProcessRequest,
)
from genvd.model.snapshot import RejectedClaims, ServiceStatus, Snapshot

SERVICE = ServiceStatus("1", "live", "3", "13")


class Gpus:
    name = "nvml"

    def collect(self, request: GpuRequest) -> GpuFacts:
        return GpuFacts()


class Genv:
    name = "genv"
    record = EnvironmentRecord("1", os.getuid(), "somebody", pids=(os.getpid(),))

    def collect(self, request: None) -> GenvFacts:
        return GenvFacts((self.record,), malformed=3)


class Command:
    name = "genv_command"

    def collect(self, request: None) -> bool:
        return True


class Accounts:
    """Hangs until it is released."""

    name = "accounts"

    def __init__(self) -> None:
        self.goes_on = threading.Event()

    def collect(self, request: AccountRequest) -> AccountFacts:
        self.goes_on.wait()
        return AccountFacts(dict.fromkeys(request.uids, "real"), {name: 1 for _, name in request.claims})


def test_hanging_account_lookups_cost_one_wait_and_confirmed_usernames_are_used() -> None:
    accounts = Accounts()
    builder = SnapshotBuilder(Collectors("live", Gpus(), Genv(), Command(), ProcessCollector(), accounts), timeout=0.5)
    try:
        for most in (2.0, 0.4, 0.4, 0.4, 0.4, 0.4):
            started = time.monotonic()
            seen = builder.build(SERVICE)
            assert time.monotonic() - started < most
            assert [user.username for user in seen.users or ()] == ["somebody"]
            assert [status.name for status in seen.collectors if not status.success] == ["accounts"]
    finally:
        accounts.goes_on.set()
    deadline = time.monotonic() + 20
    while [user.username for user in builder.build(SERVICE).users or ()] != ["real"]:
        assert time.monotonic() < deadline


def test_rejected_claims_are_counted_across_collections() -> None:
    accounts = Accounts()
    accounts.goes_on.set()
    builder = SnapshotBuilder(Collectors("live", Gpus(), Genv(), Command(), ProcessCollector(), accounts), timeout=20)
    for _ in range(3):
        counted = builder.build(SERVICE).rejected_claims
        assert RejectedClaims("username", 1) in counted
        assert RejectedClaims("malformed", 3) in counted


def accused(snapshot: Snapshot) -> bool:
    return any(policy.unmanaged_by_user(snapshot).values())


def test_an_environment_that_is_newer_than_the_facts_of_processes_accuses_nobody() -> None:
    """genv's state is repaired while the helper that reads the processes is away."""
    pid, away, records = os.getpid(), threading.Event(), [Genv.record]

    class OneGpu(Gpus):
        def collect(self, request: GpuRequest) -> GpuFacts:
            return GpuFacts(devices=(Device(0),), contexts=(Context(pid, 0, None),))

    class Repaired(Genv):
        def collect(self, request: None) -> GenvFacts:
            return GenvFacts(tuple(records), tuple(Attachment(record.eid, 0) for record in records))

    class Processes:
        name = "processes"

        def collect(self, request: ProcessRequest) -> ProcessFacts:
            if away.is_set():
                raise CollectorError("away")
            owner = ProcessOwner(uid=os.getuid(), eid="1")
            uids = dict.fromkeys(request.environment_pids, os.getuid())
            return ProcessFacts({pid: owner}, frozenset(uids), uids, environments=request.environments)

    accounts = Accounts()
    accounts.goes_on.set()
    collectors = Collectors("live", OneGpu(), Repaired(), Command(), Processes(), accounts)
    builder = SnapshotBuilder(collectors, timeout=20)
    records.clear()
    assert accused(builder.build(SERVICE))
    records.append(Genv.record)
    away.set()
    seen = builder.build(SERVICE)
    assert not accused(seen)
    assert (seen.processes or ())[0].environment_unknown
    assert seen.holders_unknown == (0,)
    away.clear()
    seen = builder.build(SERVICE)
    assert [environment.eid for environment in seen.environments or ()] == ["1"]
    assert (seen.processes or ())[0].eid == "1"
