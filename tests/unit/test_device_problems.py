"""What the page and ``top`` say of a device whose board or memory is broken."""

from __future__ import annotations

import pytest

from genvd.model.device import Device, DeviceDetails, MemoryHealth
from genvd.model.snapshot import ServiceStatus, Snapshot
from genvd.overview.problems import problems


def said(**values: object) -> list[str]:
    device = Device(0, "GPU-0", up=True, **values)  # type: ignore[arg-type]
    snapshot = Snapshot(0.0, ServiceStatus("1", "live", "3", "13"), devices=(device,), environments=(), processes=())
    return [problem.summary for problem in problems(snapshot) if problem.summary.startswith("GPU 0")]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"health": MemoryHealth(unrepairable_memory=True)}, "GPU 0 has defective memory that cannot be repaired."),
        ({"health": MemoryHealth(tpc_repair_pending=True)}, "GPU 0 needs a reset to finish a repair."),
        ({"health": MemoryHealth(channel_repair_pending=True)}, "GPU 0 needs a reset to finish a repair."),
        ({"details": DeviceDetails(inforom_corrupted=True)}, "GPU 0 has a corrupted InfoROM."),
    ],
    ids=str,
)
def test_what_is_broken_is_said(values: dict[str, object], expected: str) -> None:
    assert said(**values) == [expected]


def test_nothing_is_said_of_a_healthy_device() -> None:
    health = MemoryHealth(channel_repair_pending=False, tpc_repair_pending=False, unrepairable_memory=False)
    assert said(health=health, details=DeviceDetails(inforom_corrupted=False)) == []
