"""Devices that the driver no longer lists."""

from __future__ import annotations

import pytest

from genvd.analysis.missing_devices import MAX_MISSING, MissingDevices
from genvd.model.device import Device
from genvd.model.snapshot import MissingDevice, ServiceStatus, Snapshot
from genvd.overview import overview


def listed(*uuids: str | None) -> list[Device]:
    return [Device(index, uuid, up=uuid is not None) for index, uuid in enumerate(uuids)]


def test_a_missing_device_is_reported_until_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    missing = MissingDevices()
    assert missing.update(listed("a", "b", "c")) == ()
    assert missing.update(listed("a", "c", None)) == ()  # the third may be it
    gone = (MissingDevice(1, "b", None),)
    assert [missing.update(devices) for devices in (listed("a", "c"), listed("a", "c"), None)] == [gone] * 3
    (line,) = caplog.messages
    assert line.startswith("GPU 1 (b) is no longer listed by the driver; see ")
    assert missing.update(listed("a", "b", "c")) == ()
    assert caplog.messages[1].startswith("GPU 1 (b) is listed by the driver again")
    assert len(caplog.messages) == 2


def test_a_missing_device_is_a_problem_with_index_and_uuid() -> None:
    snapshot = Snapshot(
        0.0, ServiceStatus("1", "live", "3", "13"), missing_devices=(MissingDevice(1, "GPU-b", "2:00"),)
    )
    (problem,) = (one for one in overview(snapshot).problems if "no longer lists" in one.summary)
    assert problem.summary == "The driver no longer lists 1 GPU."
    assert problem.names == ("GPU 1 (GPU-b)",)


def test_the_number_of_missing_devices_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    missing = MissingDevices()
    for number in range(MAX_MISSING + 40):
        found = missing.update(listed(f"u{number}"))
    assert len(found) == MAX_MISSING
    assert len(caplog.messages) < MAX_MISSING + 40
