"""How many GPUs log their failing NVML calls one by one."""

from __future__ import annotations

import logging

import pynvml
import pytest

from genvd.collectors.device_set import MAX_LOGGED_DEVICES
from genvd.collectors.nvml.errors import NvmlCalls
from genvd.collectors.nvml.log_limit import GpuErrorLog, LogLimit
from genvd.collectors.runner import STEADY_TICKS

GPUS = 3 * MAX_LOGGED_DEVICES
log = logging.getLogger("genvd.test")


class Gpus:
    """The readings of many GPUs, each by one call, which fails for some of them."""

    def __init__(self) -> None:
        self.limit = LogLimit()
        self.failing: set[int] = set()
        self._calls = [NvmlCalls(GpuErrorLog(log, self.limit, index, "calls")) for index in range(GPUS)]

    def read(self, caplog: pytest.LogCaptureFixture, times: int = 1) -> list[str]:
        """Return the lines of so many readings of all GPUs, without those at the level debug."""
        caplog.clear()
        for _ in range(times):
            for index, calls in enumerate(self._calls):
                calls.start_reading()
                assert calls.call(f"GPU {index}", self._temperature, index) == (None if index in self.failing else 40)
        return [record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG]

    def _temperature(self, index: int) -> int:
        if index in self.failing:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN)
        return 40


def test_a_few_failing_gpus_are_logged_and_the_others_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    gpus = Gpus()
    gpus.failing = set(range(GPUS))
    assert [line.split(":")[0] for line in gpus.read(caplog)] == [f"GPU {n}" for n in range(MAX_LOGGED_DEVICES)]
    assert gpus.limit.unlogged == GPUS - MAX_LOGGED_DEVICES
    assert gpus.read(caplog, 5) == []
    gpus.failing = set()
    assert len(gpus.read(caplog, STEADY_TICKS)) == MAX_LOGGED_DEVICES
    assert gpus.limit.unlogged == 0


def test_a_gpu_that_recovers_makes_way_for_another(caplog: pytest.LogCaptureFixture) -> None:
    gpus = Gpus()
    gpus.failing = set(range(MAX_LOGGED_DEVICES))
    gpus.read(caplog)
    gpus.failing.remove(3)
    gpus.read(caplog, STEADY_TICKS)
    gpus.failing.add(GPUS - 1)
    (line,) = gpus.read(caplog)
    assert line.startswith(f"GPU {GPUS - 1}: ")
    assert gpus.limit.unlogged == 0


def test_a_gpu_holds_its_place_until_all_its_parts_work() -> None:
    limit = LogLimit()
    assert all(limit.allows(index, part) for index in range(MAX_LOGGED_DEVICES) for part in ("calls", "parts"))
    assert not limit.allows(MAX_LOGGED_DEVICES, "calls")
    limit.release(0, "calls")
    assert not limit.allows(MAX_LOGGED_DEVICES + 1, "calls")
    limit.release(0, "parts")
    assert limit.allows(MAX_LOGGED_DEVICES + 2, "calls")
    assert not limit.allows(MAX_LOGGED_DEVICES, "calls"), "it is counted as one that is not logged"
    assert limit.unlogged == 2


def test_gpus_that_the_driver_does_not_list_any_more_are_not_counted() -> None:
    limit = LogLimit()
    for index in range(GPUS):
        limit.allows(index, "calls")
    limit.drop_from(MAX_LOGGED_DEVICES + 1)
    assert limit.unlogged == 1
    limit.drop_from(0)
    assert limit.unlogged == 0


def test_a_call_that_is_not_made_any_more_does_not_fail(caplog: pytest.LogCaptureFixture) -> None:
    """Such as one for a MIG device that was removed."""

    def fail() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN)

    caplog.set_level(logging.INFO)
    limit = LogLimit()
    calls = NvmlCalls(GpuErrorLog(log, limit, 0, "calls"))
    for _ in range(5):
        calls.start_reading()
        calls.call("GPU 0 MIG 1", fail)
    failures = []
    for _ in range(STEADY_TICKS + 1):
        calls.start_reading()
        failures.append(calls.has_failures)
    assert failures == [True] * STEADY_TICKS + [False]
    assert caplog.messages[1:] == ["GPU 0 MIG 1: fail: not called any more; it failed 5 times within 1 s"]
    assert all(limit.allows(index, "calls") for index in range(1, MAX_LOGGED_DEVICES + 1))
