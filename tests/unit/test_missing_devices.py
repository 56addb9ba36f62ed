"""Devices that the driver no longer lists."""

from __future__ import annotations

import pytest

from genvd.analysis.missing_devices import MAX_MISSING, MissingDevices
from genvd.model.device import Device
from genvd.model.snapshot import MissingDevice, ServiceStatus, Snapshot
from genvd.overview import overview
from tests.support.shown import device, environment, inhabited


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


def test_who_has_a_missing_device_attached_is_named() -> None:
    """An environment that is known to have the GPU that has the index now is not hit."""
    snapshot = inhabited(
        (device(0), device(1)),
        (environment("1", (1,)), environment("2", (1,), name="train", username="bob"), environment("3", (0, 2))),
        (),
        {},
    )._replace(
        missing_devices=(MissingDevice(1, "GPU-b", None), MissingDevice(2, "GPU-c", None)),
    )
    certain = tuple(one for one in snapshot.holdings or () if one.device_index != 2 and one.eid != "2")
    seen = overview(snapshot._replace(holdings=certain))
    (problem,) = (one for one in seen.problems if "no longer lists" in one.summary)
    assert problem.names == (
        "GPU 1 (GPU-b)",
        "attached to train (bob)",
        "GPU 2 (GPU-c)",
        "attached to 3 (alice)",
    )
    assert [(row.people, row.holders_total) for row in seen.missing] == [(("bob",), 1), (("alice",), 1)]


def test_the_number_of_missing_devices_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    missing = MissingDevices()
    for number in range(MAX_MISSING + 40):
        found = missing.update(listed(f"u{number}"))
    assert len(found) == MAX_MISSING
    assert len(caplog.messages) < MAX_MISSING + 40
