"""The monitor over the compiled stand-in for NVML, which changes while it runs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from genvd.collectors.device_set import MAX_LOGGED_DEVICES
from tests.standin import Mig, Process, Scenario, build
from tests.support.gpus import DEVICE_METRICS, MIB, Start, gpu
from tests.support.monitor import named, series
from tests.support.waiting import wait_for


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two real processes, in the order of their pids, of which the first is in environment 77."""
    with ExitStack() as stack:
        processes = []
        for eid in ("77", None):
            environment = {**os.environ, **({"GENV_ENVIRONMENT_ID": eid} if eid else {})}
            process = stack.enter_context(subprocess.Popen(["sleep", "600"], env=environment))
            stack.callback(process.kill)
            processes.append(process)
        yield processes


def test_devices_have_their_values(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(0), gpu(1, temperature=55, utilization=0)]
    scenario.write()
    metrics = start().metrics()
    for name, value in DEVICE_METRICS.items():
        assert metrics[series(name, index=0)] == value
    assert metrics[series("genv_device_temperature", index=1)] == 55
    assert metrics[series("genv_device_utilization", index=1)] == 0
    assert metrics[series("genv_monitor_collector_success", collector="nvml")] == 1


@pytest.mark.parametrize("value", ["temperature", "utilization", "memory_used", "memory_total"])
def test_what_a_device_does_not_support_is_absent(start: Start, scenario: Scenario, value: str) -> None:
    scenario.gpus = [gpu(0, **{value: None}), gpu(1)]
    scenario.write()
    metrics = start().metrics()
    absent = {name for name in DEVICE_METRICS if series(name, index=0) not in metrics}
    expected = {name for name in DEVICE_METRICS if value.split("_")[0] in name}
    assert absent == expected
    assert all(series(name, index=1) in metrics for name in DEVICE_METRICS)


def test_a_value_that_becomes_supported_is_there(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(0, temperature=None)]
    scenario.write()
    monitor = start()
    assert series("genv_device_temperature", index=0) not in monitor.metrics()
    scenario.gpus = [gpu(0)]
    scenario.write()
    wait_for(lambda: series("genv_device_temperature", index=0) in monitor.metrics(), "the temperature is there")


CALLS = {
    "nvmlDeviceGetTemperature*": {"genv_device_temperature"},
    "nvmlDeviceGetUtilizationRates": {"genv_device_utilization"},
    "nvmlDeviceGetMemoryInfo*": {"genv_device_memory_used_bytes", "genv_device_memory_total_bytes"},
    "nvmlDeviceGetUUID": set(),
    "nvmlDeviceGetName": set(),
    "nvmlDeviceGetMigMode": set(),
    "nvmlDeviceGetComputeRunningProcesses*": set(),
}
ERRORS_OF_ONE_VALUE = [2, 3, 4, 6, 7, 8, 10, 11, 13, 14, 17, 19, 20, 21, 23, 25, 26, 27, 999, 12345]


@pytest.mark.parametrize("call", CALLS)
def test_any_error_of_a_call_costs_that_value_of_that_device_only(start: Start, scenario: Scenario, call: str) -> None:
    """One device for each error, and a healthy one behind them."""
    scenario.gpus = [gpu(number, errors={call: error}) for number, error in enumerate(ERRORS_OF_ONE_VALUE)]
    healthy = len(scenario.gpus)
    scenario.gpus.append(gpu(healthy))
    scenario.write()
    monitor = start()
    metrics = monitor.next_metrics()
    for index in range(healthy + 1):
        present = {name for name in DEVICE_METRICS if series(name, index=index) in metrics}
        expected = set(DEVICE_METRICS) - (CALLS[call] if index < healthy else set())
        assert present == expected, (index, ERRORS_OF_ONE_VALUE[index] if index < healthy else "healthy")
    assert metrics[series("genv_monitor_collector_success", collector="nvml")] == 1
    assert "Traceback" not in monitor.log


@pytest.mark.parametrize("call", ["nvmlDeviceGetUtilizationRates", "*"])
def test_many_gpus_with_failing_calls_are_a_few_lines_and_a_number(start: Start, scenario: Scenario, call: str) -> None:
    scenario.gpus = [gpu(number, errors={call: 999}) for number in range(MAX_LOGGED_DEVICES + 4)]
    scenario.write()
    monitor = start("--interval", "1")
    monitor.next_metrics(3)
    assert (
        len([line for line in monitor.complaints if " GPU " in line and "more GPUs" not in line]) == MAX_LOGGED_DEVICES
    )
    assert monitor.log.count(" 4 more GPUs have NVML errors") == 1
    for one in scenario.gpus:
        one.errors = {}
    scenario.write()
    wait_for(lambda: "no more GPUs have NVML errors" in monitor.log, "the end is logged")
    assert monitor.log.count(": answers again") == MAX_LOGGED_DEVICES


def test_memory_is_counted_as_nvidia_smi_does(start: Start, scenario: Scenario, public_directory: Path) -> None:
    scenario.gpus = [gpu(0)]
    scenario.write()
    used = series("genv_device_memory_used_bytes", index=0)
    assert start().metrics()[used] == 500 * MIB
    old = build(public_directory / "before-510", without=("nvmlDeviceGetMemoryInfo_v2",))
    assert start(library=old).metrics()[used] == 800 * MIB  # all that such a driver tells: with its reserve


def test_processes_have_their_environment_devices_and_memory(
    start: Start, scenario: Scenario, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    inside, outside = (process.pid for process in sleepers)
    scenario.gpus = [
        gpu(0, processes=[Process(inside, 100 * MIB), Process(outside, None)]),
        gpu(1, processes=[Process(inside, 200 * MIB + 1)]),
    ]
    scenario.write()
    monitor = start()
    metrics = monitor.metrics()
    assert metrics[series("genv_processes_total")] == 2
    assert named(metrics, "genv_process_devices_total", "genv_process_used_gpu_memory_bytes") == {
        series("genv_process_devices_total", pid=inside, eid=77): 2,
        series("genv_process_devices_total", pid=outside, eid=""): 1,
        series("genv_process_used_gpu_memory_bytes", pid=inside, eid=77, device=0): 100 * MIB,
        series("genv_process_used_gpu_memory_bytes", pid=inside, eid=77, device=1): 200 * MIB + 1,
    }
    scenario.gpus[0].processes, scenario.gpus[1].processes = [], []
    scenario.write()
    assert named(monitor.next_metrics(), "genv_process_") == {}


def test_a_process_that_is_gone_costs_only_its_own_facts(
    start: Start, scenario: Scenario, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    inside, gone = sleepers
    scenario.gpus = [gpu(0, processes=[Process(inside.pid, MIB), Process(gone.pid, MIB)])]
    scenario.write()
    gone.kill()  # not waited for: a zombie
    monitor = start()
    assert series("genv_process_devices_total", pid=inside.pid, eid=77) in monitor.next_metrics()
    gone.wait()
    assert series("genv_process_devices_total", pid=inside.pid, eid=77) in monitor.next_metrics()
    assert monitor.metrics()[series("genv_monitor_collector_success", collector="processes")] == 1


@pytest.mark.parametrize("error", [3, 15, 999])
def test_processes_that_no_device_tells_of_are_unknown_and_not_none(
    start: Start, scenario: Scenario, error: int
) -> None:
    scenario.gpus = [gpu(0, errors={"nvmlDeviceGetComputeRunningProcesses*": error})]
    scenario.write()
    metrics = start().next_metrics()
    assert series("genv_processes_total") not in metrics
    assert series("genv_environments_total") in metrics


@pytest.mark.parametrize("error", [13, 25, 26])
def test_a_refused_version_of_the_list_is_not_the_last_one(start: Start, scenario: Scenario, error: int) -> None:
    scenario.gpus = [gpu(0, processes=[Process(100, MIB)])]
    scenario.errors = {"nvmlDeviceGetComputeRunningProcesses_v3": error}
    scenario.write()
    assert start().metrics()[series("genv_processes_total")] == 1


@pytest.mark.parametrize("without", [(), ("_v3",), ("_v3", "_v2")])
@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_process_lists_of_every_driver(
    start: Start, scenario: Scenario, public_directory: Path, without: tuple[str, ...], count: int
) -> None:
    library = build(
        public_directory / f"lists{len(without)}",
        without=[f"nvmlDeviceGetComputeRunningProcesses{version}" for version in without],
    )
    scenario.gpus = [gpu(0, processes=[Process(100 + n, n * MIB) for n in range(count)])]
    scenario.write()
    metrics = start(library=library).metrics()
    assert metrics[series("genv_processes_total")] == count
    assert sum(named(metrics, "genv_process_used_gpu_memory_bytes").values()) == sum(range(count)) * MIB


@pytest.mark.parametrize("count", [1, 2, 3, 64, 65, 200])
def test_long_entries_of_early_driver_535(start: Start, scenario: Scenario, count: int) -> None:
    scenario.process_struct = 32
    scenario.gpus = [gpu(0, processes=[Process(100 + n, (n + 1) * MIB) for n in range(count)])]
    scenario.write()
    metrics = start().metrics()
    assert metrics[series("genv_processes_total")] == count
    for number in range(count):
        key = series("genv_process_used_gpu_memory_bytes", pid=100 + number, eid="", device=0)
        assert metrics[key] == (number + 1) * MIB


def test_a_list_that_grows_between_the_calls(start: Start, scenario: Scenario) -> None:
    scenario.list_grows = 3
    scenario.gpus = [gpu(0, processes=[Process(100 + n, MIB) for n in range(70)])]
    scenario.write()
    assert start().metrics()[series("genv_processes_total")] == 70


def test_impossible_pids_are_left_out(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(0, processes=[Process(0, MIB), Process(4_294_967_295, MIB), Process(123, MIB)])]
    scenario.write()
    monitor = start()
    assert monitor.next_metrics()[series("genv_processes_total")] == 1
    assert monitor.log.count("impossible pids") == 1


def mig(instance: int, *processes: Process) -> Mig:
    return Mig(f"MIG-{instance}", gpu_instance=instance % 2, compute_instance=0, processes=list(processes))


@pytest.mark.parametrize("seen_by_parent", [True, False])
def test_mig_processes_belong_to_their_parent(start: Start, scenario: Scenario, seen_by_parent: bool) -> None:
    processes = [Process(100, MIB, 0, 0), Process(101, 2 * MIB, 1, 0)]
    scenario.gpus = [
        gpu(
            0,
            processes=processes if seen_by_parent else [],
            migs={0: mig(0, processes[0]), 3: mig(3, processes[1])},
        ),
    ]
    scenario.write()
    metrics = start().metrics()
    assert metrics[series("genv_processes_total")] == 2
    assert named(metrics, "genv_process_used_gpu_memory_bytes") == {
        series("genv_process_used_gpu_memory_bytes", pid=100, eid="", device=0): MIB,
        series("genv_process_used_gpu_memory_bytes", pid=101, eid="", device=0): 2 * MIB,
    }
    assert named(metrics, "genv_mig_process_info") == {
        series("genv_mig_process_info", index=0, instance=0, pid=100, eid=""): 1,
        series("genv_mig_process_info", index=0, instance=3, pid=101, eid=""): 1,
    }
    assert series("genv_device_utilization", index=0) not in metrics
    assert series("genv_device_memory_total_bytes", index=0) in metrics
