"""XID errors, which NVML reports to whoever waits for them."""

from __future__ import annotations

import time

import psutil
import pytest

from genvd.collectors.nvml.xid import COMMON_XIDS
from tests.standin import Scenario
from tests.support.gpus import Start, gpu
from tests.support.monitor import Monitor, Series, named, series
from tests.support.waiting import wait_for

COUNT, LAST_SEEN = "genv_device_xid_errors_total", "genv_device_xid_last_seen_timestamp_seconds"
EVENTS = 8
TIMEOUT, LOST = 10, 15


def watched(scenario: Scenario, devices: int = 1) -> None:
    scenario.gpus = [gpu(number, event_types=EVENTS) for number in range(devices)]
    scenario.write()


def wait_for_count(monitor: Monitor, index: int, xid: int, count: int) -> Series:
    key = series(COUNT, index=index, xid=xid)
    return wait_for(lambda: m if (m := monitor.metrics()).get(key) == count else None, f"XID {xid} is counted {count}x")


def occur(scenario: Scenario, index: int, *xids: int) -> None:
    scenario.gpus[index].xids += xids
    scenario.write()


def test_the_common_ones_start_at_zero_and_each_event_counts(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(0, event_types=EVENTS, xids=[48, 48]), gpu(1, event_types=EVENTS)]
    scenario.write()
    monitor = start()
    metrics = wait_for_count(monitor, 0, 48, 0)  # what occurred before is nobody's to tell
    zeros = {series(COUNT, index=index, xid=xid): 0.0 for index in (0, 1) for xid in COMMON_XIDS}
    assert named(metrics, COUNT) == zeros
    assert named(metrics, LAST_SEEN) == {}

    before = time.time()
    occur(scenario, 1, 79, 31, 31, 777)
    metrics = wait_for_count(monitor, 1, 777, 1)
    after = time.time()
    assert named(metrics, COUNT) == {
        **zeros,
        series(COUNT, index=1, xid=79): 1,
        series(COUNT, index=1, xid=31): 2,
        series(COUNT, index=1, xid=777): 1,
    }
    seen = named(metrics, LAST_SEEN)
    assert set(seen) == {series(LAST_SEEN, index=1, xid=xid) for xid in (31, 79, 777)}
    assert all(before - 0.1 <= value <= after for value in seen.values())
    assert "GPU-1: XID 79" in monitor.log


def test_a_device_without_events_has_no_counters_and_costs_nobody_theirs(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(0), gpu(1, event_types=EVENTS), gpu(2, event_types=0)]
    scenario.write()
    monitor = start()
    metrics = wait_for_count(monitor, 1, 79, 0)
    assert {dict(labels)["index"] for _, labels in named(metrics, COUNT)} == {"1"}
    occur(scenario, 1, 79)
    wait_for_count(monitor, 1, 79, 1)


def test_devices_with_equal_uuids_count_for_themselves(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(number, uuid="GPU-same", event_types=EVENTS) for number in range(2)]
    scenario.write()
    monitor = start()
    wait_for_count(monitor, 1, 79, 0)
    occur(scenario, 1, 79)
    metrics = wait_for_count(monitor, 1, 79, 1)
    assert metrics[series(COUNT, index=0, xid=79)] == 0


@pytest.mark.parametrize("call", ["nvmlDeviceRegisterEvents", "nvmlDeviceGetHandleByIndex_v2"])
@pytest.mark.parametrize("error", [2, 3, LOST, 999])
def test_a_device_that_cannot_be_registered_costs_nobody_theirs(
    start: Start, scenario: Scenario, call: str, error: int
) -> None:
    watched(scenario, 3)
    scenario.gpus[1].errors = {call: error}
    scenario.write()
    monitor = start()
    wait_for_count(monitor, 2, 79, 0)
    occur(scenario, 2, 79)
    metrics = wait_for_count(monitor, 2, 79, 1)
    assert {dict(labels)["index"] for _, labels in named(metrics, COUNT)} == {"0", "2"}


def test_a_device_that_is_lost_keeps_its_counters_and_counts_on_when_it_is_back(
    start: Start, scenario: Scenario
) -> None:
    scenario.enumerates_at_init = True
    watched(scenario, 2)
    monitor = start("--log-level", "debug")
    wait_for_count(monitor, 1, 79, 0)
    occur(scenario, 1, 79)
    wait_for_count(monitor, 1, 79, 1)
    scenario.gpus[1].errors = {"*": LOST}
    scenario.errors = {"nvmlEventSetWait_v2": LOST}
    scenario.write()
    down = series("genv_device_up", index=1)
    wait_for(lambda: monitor.metrics()[down] == 0, "it is down")
    wait_for(lambda: monitor.log.count("NVML is initialised") == 3, "NVML was initialised anew")
    assert monitor.metrics()[series(COUNT, index=1, xid=79)] == 1
    scenario.gpus[1].errors, scenario.errors = {}, {}
    scenario.write()
    wait_for(lambda: monitor.metrics()[down] == 1, "it is back")
    wait_for(lambda: _counts_on(monitor, scenario, 1), "it counts on")
    assert "stand-in" not in monitor.log


def _counts_on(monitor: Monitor, scenario: Scenario, index: int) -> bool:
    """Have an XID occur, which is seen unless the device is just being registered anew."""
    key = series(COUNT, index=index, xid=63)
    before = monitor.metrics()[key]
    occur(scenario, index, 63)
    monitor.next_metrics(3)
    return monitor.metrics()[key] > before


def test_a_driver_that_is_unloaded_and_loaded_many_times(start: Start, scenario: Scenario) -> None:
    """The stand-in has eight event sets, and says so when it is shut down while somebody waits for one."""
    watched(scenario)
    monitor = start()
    threads = []
    loaded = series("genv_driver_state", state="not_loaded")
    for _ in range(10):
        wait_for_count(monitor, 0, 79, 0)
        scenario.remove()
        wait_for(lambda: monitor.metrics()[loaded] == 1, "the driver is not loaded")
        scenario.write()
        wait_for(lambda: monitor.metrics()[loaded] == 0, "the driver is loaded")
        threads.append(monitor.threads)
    wait_for(lambda: _counts_on(monitor, scenario, 0), "it counts on")
    assert threads[-1] < threads[2] + 6  # one for each loading would be 7; pools start some late on a busy machine
    assert "stand-in" not in monitor.log
    assert "Traceback" not in monitor.log


def test_nvml_is_not_shut_down_while_somebody_waits(start: Start, scenario: Scenario) -> None:
    """A device that is down has NVML initialised anew, again and again, while the other is watched."""
    scenario.enumerates_at_init = True
    watched(scenario, 2)
    monitor = start("--log-level", "debug")
    wait_for_count(monitor, 0, 79, 0)
    scenario.gpus[1].errors = {"nvmlDeviceGetTemperature*": LOST}
    scenario.write()
    wait_for(lambda: monitor.log.count("NVML is initialised") == 4, "NVML was initialised anew three times")
    wait_for(lambda: _counts_on(monitor, scenario, 0), "it counts on")
    assert "stand-in" not in monitor.log


def test_event_sets_are_given_back(start: Start, scenario: Scenario) -> None:
    """A set is made for each number of devices; the stand-in has eight."""
    watched(scenario)
    monitor = start()
    for number in range(10):
        scenario.gpus = [*scenario.gpus[:1], gpu(100 + number, event_types=EVENTS)]
        scenario.write()
        wait_for_count(monitor, 1, 79, 0)
        scenario.gpus.pop()
        scenario.write()
        wait_for(lambda: series(COUNT, index=1, xid=79) not in monitor.metrics(), "it is gone")
        wait_for(lambda: _counts_on(monitor, scenario, 0), "the set is another one")
    assert "stand-in" not in monitor.log


@pytest.mark.parametrize("call", ["nvmlEventSetCreate", "nvmlEventSetWait_v2", "nvmlEventSetFree"])
@pytest.mark.parametrize("error", [1, 2, 3, 13, LOST, 23, 999, 12345])
def test_any_error_of_the_events_costs_them_only_and_passes(
    start: Start, scenario: Scenario, call: str, error: int
) -> None:
    watched(scenario)
    scenario.errors = {call: error}
    scenario.write()
    monitor = start()
    metrics = monitor.next_metrics(4)
    assert metrics[series("genv_device_up", index=0)] == 1
    assert metrics[series("genv_monitor_collector_success", collector="nvml")] == 1
    assert len([line for line in monitor.complaints if "XID errors: " in line]) <= 1
    scenario.errors = {}
    scenario.write()
    wait_for_count(monitor, 0, 79, 0)
    wait_for(lambda: _counts_on(monitor, scenario, 0), "it counts on")
    assert "Traceback" not in monitor.log


def test_waits_that_end_at_once_do_not_keep_it_busy(start: Start, scenario: Scenario) -> None:
    watched(scenario)
    scenario.errors = {"nvmlEventSetWait_v2": TIMEOUT}
    scenario.write()
    monitor = start("--interval", "1")
    wait_for_count(monitor, 0, 79, 0)
    process = psutil.Process(monitor.process.pid)
    before, began = process.cpu_times(), time.monotonic()
    monitor.next_metrics(3)
    spent = sum(process.cpu_times()[:2]) - sum(before[:2])
    assert spent < 0.5 * (time.monotonic() - began)


def test_a_wait_that_hangs_holds_nothing_up(start: Start, scenario: Scenario) -> None:
    watched(scenario, 2)
    monitor = start()
    wait_for_count(monitor, 0, 79, 0)
    scenario.hangs = {"nvmlEventSetWait_v2": 600_000}
    scenario.write()
    scenario.gpus[0].temperature = 77
    scenario.write()
    temperature = series("genv_device_temperature", index=0)
    wait_for(lambda: monitor.metrics()[temperature] == 77, "the devices go on")
    assert monitor.next_metrics(5)[series("genv_driver_state", state="ok")] == 1
    count = series(COUNT, index=0, xid=63)
    wait_for(lambda: count not in monitor.metrics(), "what nobody can tell is absent")
    scenario.hangs = {}
    scenario.write()
    wait_for(lambda: count in monitor.metrics(), "it is told again")
    wait_for(lambda: _counts_on(monitor, scenario, 0), "it counts on")
    scenario.hangs = {"nvmlEventSetWait_v2": 600_000}
    scenario.write()
    monitor.next_metrics(3)
    began = time.monotonic()
    assert monitor.stop() == 0
    assert time.monotonic() - began < 2


def test_devices_that_appear_are_watched_too(start: Start, scenario: Scenario) -> None:
    watched(scenario)
    monitor = start()
    wait_for_count(monitor, 0, 79, 0)
    scenario.gpus.append(gpu(1, event_types=EVENTS))
    scenario.write()
    wait_for_count(monitor, 1, 79, 0)
    wait_for(lambda: _counts_on(monitor, scenario, 1), "it counts")
