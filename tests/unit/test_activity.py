"""Which environment holds which GPU, and which of them work."""

from __future__ import annotations

import pytest

from genvd.analysis import activity
from genvd.model.device import Activity, Device, MigInstance
from genvd.model.facts import Attachment, MigInstanceId
from genvd.model.snapshot import DeviceUse, Environment, EnvironmentUse, Holding, Process

NO = DeviceUse(0, 10, utilization=0.0)
SOME = DeviceUse(0, 20, utilization=0.7)
VIDEO = DeviceUse(0, 20, utilization=0.0, works_beside=True)
UNTOLD = DeviceUse(0, 30)


def environment(eid: str, *devices: int, limit: int | None = None) -> Environment:
    return Environment(eid, 1001, "alice", None, limit, None, None, devices, ())


def device(index: int = 0, **changes: object) -> Device:
    defaults: dict[str, object] = {"uuid": f"GPU-{index}", "up": True, "processes_listed": True}
    return Device(index, **{**defaults, **changes})  # type: ignore[arg-type]


PARTED = device(
    utilization_percent=None,
    mig_instances=tuple(
        MigInstance(number, gpu_instance=number + 1, compute_instance=0, activity=Activity(graphics, dram_ratio=dram))
        for number, (graphics, dram) in enumerate(((0.5, 0.0), (0.0, 0.0), (0.0, 0.1), (0.0, None)))
    ),
)
"""In MIG mode: with GPU instances that compute, do nothing, use memory only, and do not tell all."""


def holding(machine: Device | None, *uses: DeviceUse) -> Holding:
    processes = tuple(Process(pid, (use,), "a") for pid, use in enumerate(uses, start=1))
    (found,) = activity.holdings(
        [environment("a", 0)], [Attachment("a", 0, attached=7.0)], processes, None if machine is None else (machine,)
    )
    return found


@pytest.mark.parametrize(
    ("machine", "uses", "active", "share"),
    [
        (device(), (), False, 0.0),
        (device(), (NO, NO), False, 0.0),
        (device(), (NO, SOME), True, 0.7),
        (device(), (SOME, SOME), True, 1.0),
        (device(utilization_percent=0), (NO, VIDEO), True, 0.0),
        (device(utilization_percent=0), (DeviceUse(0, 10, works_beside=True),), True, None),
        (device(), (SOME, UNTOLD), True, None),
        (device(utilization_percent=None), (UNTOLD,), None, None),
        (device(utilization_percent=0), (UNTOLD,), False, None),
        (device(utilization_percent=1), (UNTOLD, NO), True, None),
        (device(utilization_percent=90), (), False, 0.0),
        (device(utilization_percent=90), (NO,), False, 0.0),
        (device(processes_listed=False, utilization_percent=90), (), None, None),
        (device(processes_listed=False), (SOME,), True, None),
        (device(up=False), (NO,), None, 0.0),
        (PARTED, (DeviceUse(0, 9, mig_places=(MigInstanceId(1, 0),)),), True, None),
        (PARTED, (DeviceUse(0, 9, mig_places=(MigInstanceId(2, 0),)),), False, None),
        (PARTED, (DeviceUse(0, 9, mig_places=(MigInstanceId(3, 0),)),), True, None),
        (PARTED, (DeviceUse(0, 9, mig_places=(MigInstanceId(4, 0),)),), None, None),
        (PARTED, (DeviceUse(0, 9, mig_places=(MigInstanceId(5, 0),)),), None, None),
        (PARTED, (DeviceUse(0, 9, mig_places=(MigInstanceId(2, 0), MigInstanceId(1, 0))),), True, None),
        (PARTED, (DeviceUse(0, 9, mig_places=(MigInstanceId(2, 0),)), UNTOLD), None, None),
        (PARTED, (UNTOLD,), None, None),
        (PARTED, (), False, 0.0),
        (None, (NO,), None, None),
    ],
)
def test_whether_an_environment_works_on_a_device(
    machine: Device | None, uses: tuple[DeviceUse, ...], active: bool | None, share: float | None
) -> None:
    found = holding(machine, *uses)
    assert (found.active, found.share) == (active, share)
    assert (found.attached, found.device_uuid) == (7.0, machine.uuid if machine else None)


def test_activity_is_unknown_while_the_processes_are_unknown() -> None:
    (found,) = activity.holdings([environment("a", 0)], [], None, (device(),))
    assert found == Holding("a", 1001, "alice", 0, "GPU-0", None, None, None, device_up=True)


def test_there_is_one_holding_for_each_environment_and_existing_device() -> None:
    environments = [environment("a", 0, 1, 4095), environment("b", 1, limit=5), environment("c")]
    attachments = [Attachment("a", 1, 3), Attachment("a", 1, 4), Attachment("b", 1), Attachment("gone", 0)]
    found = activity.holdings(environments, attachments, (), (device(0), device(1)))
    assert [(one.eid, one.device_index, one.gpu_memory_bytes) for one in found] == [
        ("a", 0, None),
        ("a", 1, 3),
        ("b", 1, 5),
    ]


def test_the_number_of_holdings_is_bounded_while_the_devices_are_unknown() -> None:
    found = activity.holdings([environment("a", *range(4096))], [], None, None)
    assert len(found) == activity.MAX_UNVERIFIED_DEVICES


def test_the_uses_of_an_environment() -> None:
    machine = (device(0), device(1), device(2, processes_listed=False))
    processes = (
        Process(1, (NO, DeviceUse(1, 5, computes=False, type="graphics")), "a"),
        Process(2, (SOME,), "a"),
        Process(3, (SOME,), "b"),
        Process(4, (SOME,)),
    )
    a, b = activity.add_activity(
        [environment("a", 0, 2, 7), environment("b")], [Attachment("a", 2, 9)], processes, machine
    )
    assert a.uses == (
        EnvironmentUse(0, 30, 0.7, attached=True, computes=True, least_memory_bytes=30),
        EnvironmentUse(1, 5, None, attached=False, computes=False, least_memory_bytes=5),
        EnvironmentUse(2, None, None, attached=True, computes=False, attached_memory_bytes=9),
    )
    assert b.uses == (EnvironmentUse(0, 20, 0.7, attached=False, computes=True, least_memory_bytes=20),)
    assert activity.add_activity([environment("a", 0)], [], None, machine)[0].uses is None
