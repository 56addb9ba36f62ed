"""Building a Snapshot while the account lookup hangs, as with an unavailable directory service."""

from __future__ import annotations

import os
import threading
import time

from genvd.analysis.snapshot_builder import SnapshotBuilder
from genvd.collectors.base import GpuRequest
from genvd.collectors.host.processes import ProcessCollector
from genvd.collectors.registry import Collectors
from genvd.model.facts import AccountFacts, AccountRequest, EnvironmentRecord, GenvFacts, GpuFacts
from genvd.model.snapshot import RejectedClaims, ServiceStatus

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
