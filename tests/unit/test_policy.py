"""Policy violations, orphan memory, oversubscription and processes outside genv."""

from __future__ import annotations

import pytest

from genvd.analysis import activity, join, policy
from genvd.analysis.ownership import OwnedRecord
from genvd.model.device import Device
from genvd.model.facts import AccountFacts, Attachment, EnvironmentRecord
from genvd.model.snapshot import (
    DeviceUse,
    Environment,
    EnvironmentUse,
    Holding,
    Process,
    ServiceStatus,
    Snapshot,
    UnseenMemory,
)

SERVICE = ServiceStatus("1", "live", "3", "13")


def use(memory: int | None, *, attached: bool = True, computes: bool = True, index: int = 0) -> EnvironmentUse:
    return EnvironmentUse(index, memory, None, attached, computes)


@pytest.mark.parametrize(
    ("uses", "limit", "gpus", "held", "expected"),
    [
        ((), None, None, 0, {"unattached_device": False}),
        (None, 5, 1, None, {"memory_limit": None, "unattached_device": None, "device_limit": None}),
        ((use(5),), 5, 1, 1, {"memory_limit": False, "unattached_device": False, "device_limit": False}),
        ((use(5), use(6, index=1)), 5, 1, 2, {"memory_limit": True, "unattached_device": False, "device_limit": True}),
        ((use(None), use(6, index=1)), 5, None, 2, {"memory_limit": True, "unattached_device": False}),
        ((use(None), use(4, index=1)), 5, None, 2, {"memory_limit": None, "unattached_device": False}),
        ((use(1, attached=False),), None, None, 0, {"unattached_device": True}),
        ((use(1, attached=False, computes=False),), None, None, 0, {"unattached_device": False}),
        ((), 0, 0, 1, {"memory_limit": False, "unattached_device": False, "device_limit": True}),
    ],
)
def test_violations(
    uses: tuple[EnvironmentUse, ...] | None,
    limit: int | None,
    gpus: int | None,
    held: int | None,
    expected: dict[str, bool | None],
) -> None:
    environment = Environment("a", 1, "alice", None, limit, gpus, None, (0,), (), uses)
    assert dict(policy.violations(environment, held)) == expected


@pytest.mark.parametrize(
    ("asked", "allowed", "used", "expected"),
    [
        (None, (5, None), (5, 9), False),
        (None, (5, None), (6, 9), True),
        (None, (5, 9), (4, None), None),
        (None, (5, None), (4, None), False),
        (3, (5, None), (5, 3), False),
        (3, (5, None), (5, 4), True),
        (9, (5, None), (6, 4), True),
        (0, (None, None), (1, 0), True),
    ],
)
def test_the_limit_of_an_attachment_takes_precedence_over_that_of_the_environment(
    asked: int | None, allowed: tuple[int | None, ...], used: tuple[int | None, ...], expected: bool | None
) -> None:
    uses = tuple(
        EnvironmentUse(index, amount, None, True, True, attached_memory_bytes=limit)
        for index, (amount, limit) in enumerate(zip(used, allowed, strict=True))
    )
    least = min((limit for limit in allowed if limit is not None), default=None)
    environment = Environment("a", 1, "alice", None, asked, None, None, (0, 1), (), uses, attached_memory_bytes=least)
    assert dict(policy.violations(environment, 2))["memory_limit"] is expected


def record(asked: int | None) -> OwnedRecord:
    uids = frozenset({1})
    return OwnedRecord(EnvironmentRecord("a", 1, "alice", gpu_memory_bytes=asked), 1, True, uids, uids)


def test_the_exported_limit_is_the_one_that_is_checked() -> None:
    """The environment asks for 16 now, but asked for 4 when the GPU was attached."""
    attachments, devices = (Attachment("a", 0, 4),), (Device(0, processes_listed=True),)
    processes = (Process(9, (DeviceUse(0, 5),), "a", 1),)
    environments, _ = join.environments([record(16)], attachments, processes, AccountFacts())
    (environment,) = activity.add_activity(environments, attachments, processes, devices)
    (holding,) = activity.holdings(environments, attachments, processes, devices)
    assert environment.memory_limit_bytes == holding.gpu_memory_bytes == 4
    assert dict(policy.violations(environment, 1))["memory_limit"] is True


@pytest.mark.parametrize(
    ("asked", "attached", "least"),
    [
        (16, (4,), 4),
        (16, (20, None), 16),
        (16, (20, 30), 20),
        (16, (), 16),
        (None, (20, None), 20),
        (None, (None,), None),
    ],
)
def test_the_lowest_limit_of_the_devices_is_that_of_the_environment(
    asked: int | None, attached: tuple[int | None, ...], least: int | None
) -> None:
    attachments = [Attachment("a", index, limit) for index, limit in enumerate(attached)]
    ((environment,), _) = join.environments([record(asked)], attachments, (), AccountFacts())
    assert environment.memory_limit_bytes == least


def device(**changes: object) -> Device:
    defaults: dict[str, object] = {
        "up": True,
        "memory_used_bytes": 100,
        "memory_total_bytes": 1000,
        "memory_reserved_bytes": 7,
        "processes_listed": True,
    }
    return Device(0, **{**defaults, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "memory", "expected"),
    [
        ({}, (), 100),
        ({}, (30, 20), 50),
        ({}, (300,), 0),
        ({}, (30, None), None),
        ({"up": False}, (30,), None),
        ({"memory_used_bytes": None}, (30,), None),
        ({"memory_reserved_bytes": None}, (30,), None),
        ({"processes_listed": False}, (30,), None),
    ],
)
def test_orphan_memory(changes: dict[str, object], memory: tuple[int | None, ...], expected: int | None) -> None:
    processes = tuple(Process(pid, (DeviceUse(0, amount), DeviceUse(1, 9))) for pid, amount in enumerate(memory))
    machine = Snapshot(0.0, SERVICE, devices=(device(**changes),), processes=processes)
    assert [orphaned for _, orphaned in policy.orphan_memory(machine)] == ([] if expected is None else [expected])


def test_memory_of_unseen_processes_is_not_orphaned() -> None:
    machine = Snapshot(0.0, SERVICE, devices=(device(),), processes=(), unseen_memory=(UnseenMemory(0, 60),))
    assert [amount for _, amount in policy.orphan_memory(machine)] == [40]
    assert [amount for _, amount in policy.unseen_memory(machine)] == [60]


def test_orphan_memory_is_unknown_while_the_processes_are_unknown() -> None:
    assert list(policy.orphan_memory(Snapshot(0.0, SERVICE, devices=(device(),)))) == []


@pytest.mark.parametrize(
    ("limits", "total", "expected"),
    [
        ((), 1000, False),
        ((None,), 1000, False),
        ((2000,), 1000, False),
        ((None, None), 1000, True),
        ((None, 1), None, True),
        ((500, 500), 1000, False),
        ((500, 501), 1000, True),
        ((1, 1), None, None),
    ],
)
def test_oversubscription(limits: tuple[int | None, ...], total: int | None, expected: bool | None) -> None:
    holdings = tuple(
        Holding(str(number), 1, "alice", 0, None, None, None, None, limit) for number, limit in enumerate(limits)
    )
    machine = Snapshot(0.0, SERVICE, devices=(device(memory_total_bytes=total),), holdings=holdings)
    assert [twice for _, twice in policy.oversubscribed(machine)] == [expected]


@pytest.mark.parametrize(
    ("process", "expected"),
    [
        (Process(1, (DeviceUse(0, 1),), None, 1001), True),
        (Process(1, (DeviceUse(0, 1),), "active", 1001), False),
        (Process(1, (DeviceUse(0, 1),), "gone", 1001), True),
        (Process(1, (DeviceUse(0, 1),), None, 1001, gone=True), False),
        (Process(1, (DeviceUse(0, 1),), None, 1001, environment_unknown="overwritten"), False),
        (Process(1, (DeviceUse(0, 1, computes=False, type="mps"),), None, 1001), True),
        (Process(1, (DeviceUse(0, 1, computes=False, type="graphics"),), None, 0, command="Xorg"), False),
        (Process(1, (DeviceUse(0, 1),), None, 0, command="nvidia-cuda-mps"), False),
        (Process(1, (DeviceUse(0, 1),), None, 1001, command="nvidia-cuda-mps"), True),
    ],
)
def test_processes_outside_any_environment(process: Process, expected: bool) -> None:
    assert policy.is_unmanaged(process, frozenset({"active"})) is expected
