"""Numbers of a driver that size or repeat something: beyond what can be they are nonsense, and cost no memory."""

from __future__ import annotations

import psutil
import pytest

from tests.standin import Process, Sample, Scenario
from tests.support.gpus import MIB, Start, gpu
from tests.support.monitor import Monitor, named, series
from tests.support.waiting import wait_for

NONSENSE = 4_000_000_000
EVENTS = 8
UP, WORKS = "genv_device_up", series("genv_monitor_collector_success", collector="nvml")


def memory(monitor: Monitor) -> int:
    return int(psutil.Process(monitor.process.pid).memory_info().rss)


@pytest.mark.parametrize("count", [4097, NONSENSE, 2**32 - 1])
def test_more_devices_than_there_can_be_are_a_failed_reading(start: Start, scenario: Scenario, count: int) -> None:
    scenario.gpus = [gpu(0)]
    scenario.write()
    monitor = start()
    before = memory(monitor)
    scenario.device_count = count
    scenario.write()
    metrics = wait_for(lambda: m if (m := monitor.metrics()).get(WORKS) == 0 else None, "the reading fails")
    assert metrics[series("genv_driver_state", state="failed")] == 1
    metrics = wait_for(lambda: m if not named(m := monitor.metrics(), UP) else None, "what is stale goes away")
    assert memory(monitor) < before + 20 * MIB
    assert monitor.log.count(f"reports {count} GPUs") == 1
    scenario.device_count = None
    scenario.write()
    wait_for(lambda: monitor.metrics().get(series(UP, index=0)) == 1, "the device is back")


def test_numbers_of_a_device_that_cannot_be_cost_nothing(start: Start, scenario: Scenario) -> None:
    counts = {name: str(NONSENSE) for name in ("fans", "max_mig_devices", "process_count")}
    work = {"processes": [Process(4242, MIB)], "samples": [Sample(4242, 50)]}
    scenario.gpus = [gpu(0, **work), gpu(1, **work)]
    scenario.write()
    monitor = start()
    monitor.next_metrics()
    before = memory(monitor)
    scenario.gpus[0] = gpu(
        0,
        mig=True,
        extra={**counts, "fan_speed_0": "30"},
        retired_pages_single_bit=NONSENSE,
        retired_pages_double_bit=3,
        **work,
    )
    scenario.write()
    pages = series("genv_device_retired_pages", index=0, cause="double_bit")
    metrics = wait_for(lambda: m if pages in (m := monitor.metrics()) else None, "the pages are known")
    assert metrics[pages] == 3
    assert series("genv_device_retired_pages", index=0, cause="single_bit") not in metrics
    metrics = monitor.next_metrics(5)
    assert metrics[series(UP, index=0)] == metrics[series(UP, index=1)] == metrics[WORKS] == 1
    assert len(named(metrics, "genv_device_fan_speed_ratio")) <= 16
    assert MIB in named(metrics, "genv_process_used_gpu_memory_bytes").values()
    assert memory(monitor) < before + 20 * MIB


def test_xids_that_cannot_be_take_no_memory(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(0, event_types=EVENTS)]
    scenario.write()
    monitor = start()
    counts = "genv_device_xid_errors_total"
    wait_for(lambda: series(counts, index=0, xid=79) in monitor.metrics(), "they are counted")
    scenario.gpus[0].xids = [2**60, *range(1000, 1900), 79, 79, 79]
    scenario.write()
    metrics = wait_for(
        lambda: m if (m := monitor.metrics()).get(series(counts, index=0, xid=79)) == 3 else None, "XID 79 is counted"
    )
    assert len(named(metrics, counts)) == 256
    assert series(counts, index=0, xid=2**60) not in metrics
    assert "GPU-0: XID 79 (3 times)" in monitor.log
