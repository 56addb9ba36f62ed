"""Attachments whose GPU has another index than when it was attached."""

from __future__ import annotations

import pytest

from genvd.analysis import policy
from genvd.analysis.renumbering import RenumberingDetector
from genvd.analysis.snapshot_builder import SnapshotBuilder
from genvd.collectors.base import GpuRequest
from genvd.collectors.registry import Collectors
from genvd.ledger.accounting import UsageAccounting
from genvd.ledger.observation import observe
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
from genvd.model.identity import Identity, LastUuids, device_keys
from genvd.model.snapshot import Environment, ServiceStatus, Snapshot
from genvd.overview import overview

A, B, C = ("GPU-a", "1:00"), ("GPU-b", "2:00"), ("GPU-c", "3:00")
Devices = tuple[tuple[str | None, str | None], ...]


def devices(*present: tuple[str | None, str | None]) -> tuple[Device, ...]:
    return tuple(
        Device(index, uuid, up=True, pci_bus_id=address, processes_listed=True, memory_total_bytes=80)
        for index, (uuid, address) in enumerate(present)
    )


def attached(eid: str, index: int, at: float | None = 1.0) -> Attachment:
    return Attachment(eid, index, None, at)


def uncertain(
    detector: RenumberingDetector, present: tuple[Device, ...] | None, *attachments: Attachment
) -> dict[str, set[int]]:
    found = detector.update(present, attachments).candidates
    return {eid: set(indices) for (eid, _), indices in found.items()}


def test_an_attachment_is_uncertain_until_its_device_has_the_old_index_again() -> None:
    detector, one, two = RenumberingDetector(), attached("1", 1), attached("2", 2)
    assert uncertain(detector, None, one) == {}
    assert uncertain(detector, devices(A, B, C), one, two, attached("3", 9)) == {}
    assert uncertain(detector, devices(B, C), one, two) == {"1": {0, 1}, "2": {1}}
    assert uncertain(detector, None, one, two) == {"1": {0, 1}, "2": {1}}
    assert uncertain(detector, devices(), one, two) == {"1": set(), "2": set()}
    assert uncertain(detector, devices(A, B, C), one, two) == {}


def test_a_later_attachment_belongs_to_the_device_that_has_the_index_then() -> None:
    detector = RenumberingDetector()
    uncertain(detector, devices(A, B), attached("1", 1))
    assert uncertain(detector, devices(B), attached("1", 1), attached("2", 0)) == {"1": {0}}
    assert uncertain(detector, devices(B), attached("1", 0, 2.0), attached("2", 0)) == {}
    assert uncertain(detector, devices(A, B), attached("1", 0, 2.0), attached("2", 0)) == {"1": {0, 1}, "2": {0, 1}}


def test_renumbering_is_remembered_over_a_restart() -> None:
    before, after = RenumberingDetector(), RenumberingDetector()
    uncertain(before, devices(A, B), attached("1", 1), attached("gone", 0), attached("\ud800", 1, None))
    active = [Environment(eid, 1, None, None, None, None, None, (), ()) for eid in ("1", "\ud800")]
    saved = before.to_save(active)
    assert [(one.eid, one.device_index, one.uuid) for one in saved] == [("1", 1, "GPU-b"), ("\\ud800", 1, "GPU-b")]
    uncertain(after, devices(B, C), attached("1", 1))  # before the ledger is read
    after.restore(saved)
    attachments = attached("1", 1), attached("\ud800", 1, None), attached("new", 1)
    assert uncertain(after, devices(B, C), *attachments) == {"1": {0, 1}, "\ud800": {0, 1}}
    assert uncertain(after, devices(A, B), *attachments[:2]) == {}


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        (((None, "1:00"), (None, "2:00")), ((None, "2:00"),), True),
        (((None, None), (None, None)), ((None, None),), False),  # nothing identifies them
        ((("same", "1:00"), ("same", "2:00")), (("same", "2:00"),), True),
        ((A, B), ((None, "1:00"), B), False),
        ((A, B), ((None, None), B), False),
        ((A, B), (B, (None, None)), True),
        (((None, "1:00"), B), (A, B), False),
        ((A,), (("GPU-a", "7:00"),), False),
        ((A,), (("GPU-new", "1:00"),), True),
    ],
)
def test_devices_are_compared_by_uuid_and_pci_address(before: Devices, after: Devices, moved: bool) -> None:
    detector = RenumberingDetector()
    uncertain(detector, devices(*before), attached("1", 0))
    assert bool(uncertain(detector, devices(*after), attached("1", 0))) is moved


def test_every_device_has_a_name_of_its_own() -> None:
    present = devices(A, ("same", "2:00"), ("same", "3:00"), (None, None), ("same", None), (None, "4:00"))
    assert list(device_keys(present).values()) == ["GPU-a", "2:00", "3:00", "device 3", "device 4", "4:00"]


class Gpus:
    name = "nvml"
    present = devices(A, B, C)
    contexts: tuple[Context, ...] = ()

    def collect(self, request: GpuRequest) -> GpuFacts:
        return GpuFacts(self.present, self.contexts)


class Genv:
    name = "genv"
    attachments: tuple[Attachment, ...] = ()

    def collect(self, request: None) -> GenvFacts:
        return GenvFacts(
            tuple(EnvironmentRecord(str(n), n, f"user{n}", pids=(n,), gpus=1, created=1.0) for n in (1, 2)),
            self.attachments,
        )


class Command:
    name = "genv_command"

    def collect(self, request: None) -> bool:
        return True


class Processes:
    name = "processes"

    def collect(self, request: ProcessRequest) -> ProcessFacts:
        return ProcessFacts({n: ProcessOwner(n, str(n)) for n in (1, 2)}, frozenset({1, 2}), {1: 1, 2: 2})


class Accounts:
    name = "accounts"

    def collect(self, request: AccountRequest) -> AccountFacts:
        return AccountFacts({n: f"user{n}" for n in (1, 2)})


def test_nobody_is_accused_or_charged_after_a_renumbering() -> None:
    """Two programs keep running while the GPU before theirs falls off the bus."""
    gpus, genv = Gpus(), Genv()
    builder = SnapshotBuilder(Collectors("live", gpus, genv, Command(), Processes(), Accounts()), timeout=10.0)

    def build() -> Snapshot:
        return builder.build(ServiceStatus("1", "live", "3", "13"))

    def on(first: int, second: int) -> tuple[Context, ...]:
        return Context(1, first, 5, utilization=0.5), Context(2, second, 5, utilization=0.5)

    genv.attachments = attached("1", 1), attached("2", 2)
    gpus.contexts = on(1, 2)
    before = build()
    assert {broken for _, _, broken in policy.all_violations(before)} == {False}
    assert [len(row.holders or ()) for row in overview(before).devices or ()] == [0, 1, 1]

    gpus.present, gpus.contexts = devices(B, C), on(0, 1)
    moved = build()
    assert {broken for _, _, broken in policy.all_violations(moved)} == {None}
    assert moved.holdings == () and moved.holders_unknown == (0, 1)
    assert [environment.idle_seconds for environment in moved.environments or ()] == [None, None]
    assert [row.holders for row in overview(moved).devices or ()] == [None, None]
    assert [one.names for one in overview(moved).problems if "indices" in one.summary] == [("1 (user1)", "2 (user2)")]
    assert {promised for _, promised in policy.oversubscribed(moved)} == {None}
    accounting = UsageAccounting()
    accounting.count(observe(moved), 0.0, 60.0)
    assert not any(use.allocated for use in accounting.count(observe(moved), 30.0, 60.0).values())

    genv.attachments = attached("1", 0, 9.0), attached("2", 2)
    again = build()
    assert {environment.eid: broken for environment, _, broken in policy.all_violations(again)} == {
        "1": False,
        "2": None,
    }
    assert [(one.eid, one.device_uuid) for one in again.holdings or ()] == [("1", "GPU-b")]
    assert again.holders_unknown == (1,)

    gpus.present, gpus.contexts, genv.attachments = devices(A, B, C), on(1, 2), (attached("1", 1), attached("2", 2))
    back = build()
    assert {broken for _, _, broken in policy.all_violations(back)} == {False}
    assert [environment.idle_seconds for environment in back.environments or ()] == [0, 0]


def test_a_missing_uuid_is_that_of_the_last_device_at_the_pci_address() -> None:
    last = LastUuids()
    last.restore([Identity(*A), Identity("GPU-old", "2:00"), Identity(None, "3:00")])

    def uuids(*present: tuple[str | None, str | None]) -> list[str | None]:
        return [device.uuid for device in last.add_uuids(devices(*present))]

    assert uuids((None, "1:00"), B, (None, "3:00"), (None, None)) == ["GPU-a", "GPU-b", None, None]
    assert uuids((None, "1:00"), (None, "2:00")) == ["GPU-a", "GPU-b"]
    assert uuids((None, "1:00"), ("GPU-a", "4:00")) == [None, "GPU-a"], "it is elsewhere by now"
    assert uuids((None, "1:00"), (None, "1:00")) == [None, None], "two with one address"
    assert uuids(("GPU-d", "1:00")) == ["GPU-d"]
    assert uuids((None, "1:00")) == ["GPU-d"]
