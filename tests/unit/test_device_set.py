"""A device set in which many GPUs fail at once."""

from __future__ import annotations

import time

import pytest

from genvd.collectors.base import CollectorError
from genvd.collectors.device_set import MAX_LOGGED_DEVICES, DeviceFacts, DeviceSet
from genvd.collectors.runner import STEADY_TICKS
from genvd.model.device import Device


class Failing:
    """A GPU that fails while its index is in ``failing``."""

    def __init__(self, index: int, failing: set[int]) -> None:
        self.name = f"device {index}"
        self._index = index
        self._failing = failing

    def collect(self, request: None) -> DeviceFacts:
        if self._index in self._failing:
            raise CollectorError("does not answer")
        return DeviceFacts(Device(self._index, up=True), ())


def test_many_failing_devices_are_a_few_lines_and_a_count(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    failing = set(range(200))
    devices: DeviceSet[None] = DeviceSet(lambda index: Failing(index, failing))

    def look(count: int) -> list[str]:
        caplog.clear()
        devices.start(count, None, time.monotonic() + 20)
        devices.result(count)
        return [record.getMessage() for record in caplog.records]

    said = look(200)
    assert len(said) == MAX_LOGGED_DEVICES + 1
    assert said[-1].startswith(f"{200 - MAX_LOGGED_DEVICES} more GPUs cannot be read; see ")
    assert [look(200) for _ in range(3)] == [[], [], []]
    failing.clear()
    said = [line for _ in range(STEADY_TICKS) for line in look(200)]
    assert len(said) == MAX_LOGGED_DEVICES + 1
    failing.update(range(100, 200))
    look(200)
    assert [line for _ in range(STEADY_TICKS + 1) for line in look(2)] == [
        "the other GPUs can be read again, or are gone"
    ]
    failing.update({0, 1})
    assert look(2) == ["device 0: does not answer", "device 1: does not answer"]
