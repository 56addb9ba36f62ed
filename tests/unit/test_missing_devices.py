"""Devices that the driver does not list any more."""

from __future__ import annotations

import pytest

from genvd.analysis.missing_devices import MAX_MISSING, MissingDevices
from genvd.model.device import Device
from genvd.model.snapshot import MissingDevice, ServiceStatus, Snapshot
from genvd.overview import overview


def listed(*uuids: str | None) -> list[Device]:
    return [Device(index, uuid, up=uuid is not None) for index, uuid in enumerate(uuids)]


def test_a_device_that_goes_is_named_until_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    missing = MissingDevices()
    assert missing.update(listed("a", "b", "c")) == ()
    assert missing.update(listed("a", "c", None)) == ()  # the third may be it
    gone = (MissingDevice(1, "b", None),)
    assert [missing.update(devices) for devices in (listed("a", "c"), listed("a", "c"), None)] == [gone] * 3
    (line,) = caplog.messages
    assert line.startswith("GPU 1 (b) is not listed by the driver any more; see ")
    assert missing.update(listed("a", "b", "c")) == ()
    assert caplog.messages[1].startswith("GPU 1 (b) is listed by the driver again")
    assert len(caplog.messages) == 2


def test_it_is_a_problem_with_index_and_uuid() -> None:
    snapshot = Snapshot(
        0.0, ServiceStatus("1", "live", "3", "13"), missing_devices=(MissingDevice(1, "GPU-b", "2:00"),)
    )
    (problem,) = (one for one in overview(snapshot).problems if "no longer lists" in one.summary)
    assert problem.summary == "The driver no longer lists 1 GPU."
    assert problem.names == ("GPU 1 (GPU-b)",)


def test_there_is_an_end_to_what_is_remembered(caplog: pytest.LogCaptureFixture) -> None:
    missing = MissingDevices()
    for number in range(MAX_MISSING + 40):
        found = missing.update(listed(f"u{number}"))
    assert len(found) == MAX_MISSING
    assert len(caplog.messages) < MAX_MISSING + 40
