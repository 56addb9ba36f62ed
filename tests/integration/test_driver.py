"""The monitor over a driver that breaks under it, by the compiled stand-in for NVML."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pynvml
import pytest

from genvd.model.facts import DRIVER_STATES
from tests.standin import Mig, Process, Scenario
from tests.support.gpus import DEVICE_METRICS, MIB, Start, gpu
from tests.support.monitor import PROGRAM, Monitor, Series, named, parse, series
from tests.support.needs import need_root
from tests.support.parity import device_entry, environment_entry
from tests.support.waiting import wait_for

UP = "genv_device_up"
UNINITIALIZED, LOST, RESET, MISMATCH = 1, 15, 16, 18


def state_of(metrics: Series) -> str:
    """Return the one state of the driver that holds."""
    states = {dict(labels)["state"]: value for (_, labels), value in named(metrics, "genv_driver_state").items()}
    assert set(DRIVER_STATES) <= set(states)
    (holds,) = (state for state, value in states.items() if value == 1)
    assert set(states) - set(DRIVER_STATES) <= {holds}
    return holds


def wait_for_state(monitor: Monitor, state: str) -> None:
    wait_for(lambda: state_of(monitor.metrics()) == state, f"the driver is {state}")


def wait_for_up(monitor: Monitor, *values: int) -> Series:
    """Wait until the devices, in their order, are up (1) or down (0), and there are no others."""
    expected = {series(UP, index=index): value for index, value in enumerate(values)}
    return wait_for(lambda: metrics if named(metrics := monitor.metrics(), UP) == expected else None, f"up: {values}")


def values_of(metrics: Series, index: int) -> dict[str, float]:
    return {name: metrics[key] for name in DEVICE_METRICS if (key := series(name, index=index)) in metrics}


# --- The driver as a whole -------------------------------------------------------------------------------------


def test_a_driver_that_is_loaded_later_is_picked_up_and_said_once(start: Start, scenario: Scenario) -> None:
    monitor = start()
    metrics = monitor.next_metrics(5)
    assert named(metrics, "genv_device", "genv_process") == {}
    assert metrics[series("genv_monitor_collector_success", collector="nvml")] == 0
    assert state_of(metrics) == "not_loaded"
    assert monitor.log.count("is not loaded") == 1
    scenario.gpus = [gpu(0)]
    scenario.write()
    wait_for_up(monitor, 1)
    assert state_of(monitor.metrics()) == "ok"
    wait_for(lambda: "nvml: works again" in monitor.log, "said so")


def test_a_library_that_appears_is_picked_up(
    start: Start, scenario: Scenario, nvml_library: Path, public_directory: Path
) -> None:
    later = public_directory / "later"
    later.mkdir()
    scenario.gpus = [gpu(0)]
    scenario.write()
    monitor = start(library=later)
    metrics = monitor.next_metrics(3)
    assert named(metrics, "genv_device") == {}
    assert state_of(metrics) == "missing"
    assert monitor.log.count("libnvidia-ml.so.1 is not found") == 1
    (later / "libnvidia-ml.so.1").symlink_to(nvml_library / "libnvidia-ml.so.1")
    wait_for_state(monitor, "ok")
    assert values_of(monitor.metrics(), 0) == DEVICE_METRICS


def test_a_driver_that_goes_takes_its_series_with_it(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(0)]
    scenario.write()
    monitor = start()
    wait_for_up(monitor, 1)
    scenario.remove()
    wait_for_state(monitor, "not_loaded")
    wait_for(lambda: named(monitor.metrics(), "genv_device", "genv_process") == {}, "the series are gone")
    assert series("genv_environments_total") in monitor.metrics()
    scenario.write()
    wait_for_up(monitor, 1)
    wait_for_state(monitor, "ok")


@pytest.mark.parametrize(
    ("call", "error", "state"),
    [
        ("nvmlInitWithFlags", pynvml.NVML_ERROR_NO_PERMISSION, "no_permission"),
        ("nvmlInitWithFlags", pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "not_loaded"),
        ("nvmlInitWithFlags", pynvml.NVML_ERROR_UNKNOWN, "failed"),
        ("nvmlInitWithFlags", pynvml.NVML_ERROR_GPU_IS_LOST, "failed"),
        ("nvmlInitWithFlags", 12345, "failed"),
        ("nvmlDeviceGetCount_v2", pynvml.NVML_ERROR_UNKNOWN, "failed"),
        ("nvmlDeviceGetCount_v2", pynvml.NVML_ERROR_UNINITIALIZED, "failed"),
        ("*", pynvml.NVML_ERROR_NO_PERMISSION, "no_permission"),
    ],
)
def test_a_driver_that_refuses_is_told(start: Start, scenario: Scenario, call: str, error: int, state: str) -> None:
    scenario.gpus = [gpu(0)]
    scenario.errors = {call: error}
    scenario.write()
    monitor = start()
    assert state_of(monitor.next_metrics(3)) == state
    assert sum("nvml: " in line for line in monitor.output) == 1
    assert "Traceback" not in monitor.log
    scenario.errors.clear()
    scenario.write()
    wait_for_state(monitor, "ok")
    assert values_of(monitor.metrics(), 0) == DEVICE_METRICS


def test_a_session_that_is_lost_is_made_anew_in_the_same_tick(start: Start, scenario: Scenario) -> None:
    """The first call of a tick says that NVML is not initialised, as it does after somebody shut it down."""
    scenario.gpus = [gpu(0)]
    scenario.write()
    monitor = start()
    scenario.errors = {"nvmlDeviceGetCount_v2": UNINITIALIZED}
    scenario.write()
    wait_for_state(monitor, "failed")
    scenario.errors.clear()
    scenario.write()
    wait_for_state(monitor, "ok")


# --- An upgrade under the running monitor ------------------------------------------------------------------------


def starts(monitor: Monitor) -> int:
    return monitor.log.count("serving metrics at")


def test_after_an_upgrade_a_new_process_takes_over_once(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(0)]
    scenario.write()
    monitor = start()
    wait_for_state(monitor, "ok")
    scenario.errors = {"*": MISMATCH}
    scenario.write()
    wait_for_state(monitor, "mismatch")
    wait_for(lambda: starts(monitor) == 2, "a new process serves")
    wait_for_state(monitor, "mismatch")
    monitor.next_metrics(40)  # longer than a process lives before it may start again
    assert starts(monitor) == 2
    assert "restart the machine" in monitor.log
    assert monitor.log.count(" INFO stopping for a restart\n") == 1
    scenario.errors.clear()
    scenario.write()
    wait_for_state(monitor, "ok")
    assert "SIGTERM" not in monitor.log  # which nobody has sent
    assert monitor.stop() == 0
    assert monitor.output[-1].endswith(" INFO SIGTERM: stopping\n")


def test_a_library_that_is_replaced_later_gets_its_new_process_too(
    start: Start, scenario: Scenario, nvml_library: Path, public_directory: Path
) -> None:
    """The monitor was started between the upgrade of the kernel module and that of the library."""
    upgraded = public_directory / "upgraded"
    upgraded.mkdir()
    library = upgraded / "libnvidia-ml.so.1"
    shutil.copy(nvml_library / library.name, library)
    scenario.gpus = [gpu(0)]
    scenario.errors = {"*": MISMATCH}
    scenario.write()
    monitor = start(library=upgraded)
    wait_for_state(monitor, "mismatch")
    monitor.next_metrics(30)  # longer than a process lives before it may start again
    assert starts(monitor) == 1
    new = upgraded / "new"
    shutil.copy(nvml_library / library.name, new)
    new.replace(library)
    wait_for(lambda: starts(monitor) == 2, "a new process serves")


# --- One device --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [LOST, RESET, pynvml.NVML_ERROR_UNKNOWN, pynvml.NVML_ERROR_IRQ_ISSUE, UNINITIALIZED])
def test_a_device_that_fails_is_down_hides_no_other_and_comes_back(
    start: Start, scenario: Scenario, error: int
) -> None:
    scenario.gpus = [gpu(0), gpu(1, processes=[Process(100, MIB)]), gpu(2)]
    scenario.write()
    monitor = start()
    wait_for_up(monitor, 1, 1, 1)
    scenario.gpus[1].errors = {"*": error}
    scenario.write()
    metrics = wait_for_up(monitor, 1, 0, 1)
    assert [bool(values_of(metrics, index)) for index in range(3)] == [True, False, True]
    assert metrics[series("genv_processes_total")] == 0
    assert state_of(monitor.next_metrics(5)) == "ok"
    assert len([line for line in monitor.complaints if "GPU 1: " in line]) == 1

    scenario.gpus[1].errors = {}
    scenario.write()
    assert values_of(wait_for_up(monitor, 1, 1, 1), 1) == DEVICE_METRICS
    wait_for(lambda: "GPU 1: answers again" in monitor.log, "said so")


def test_a_device_whose_calls_fail_but_for_its_name_is_down(start: Start, scenario: Scenario) -> None:
    """NVML remembers names and UUIDs; they are no sign of life."""
    calls = ("Temperature*", "Utilization*", "MemoryInfo*", "Compute*", "MigMode")
    scenario.gpus = [gpu(0, errors={f"nvmlDeviceGet{call}": pynvml.NVML_ERROR_UNKNOWN for call in calls}), gpu(1)]
    scenario.write()
    wait_for_up(start(), 0, 1)


def test_of_a_device_that_is_not_permitted_it_is_unknown_whether_it_is_up(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(0), gpu(1, errors={"*": pynvml.NVML_ERROR_NO_PERMISSION})]
    scenario.write()
    monitor = start()
    metrics = monitor.next_metrics(3)
    assert named(metrics, UP) == {series(UP, index=0): 1}
    assert len([line for line in monitor.complaints if "GPU 1: " in line]) == 1
    assert not re.search(r"/dev/nvidia\d", monitor.log)  # which file is that of the device is not known


def test_all_devices_down_is_no_broken_driver(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(0, errors={"*": LOST}), gpu(1, errors={"*": RESET})]
    scenario.write()
    monitor = start()
    metrics = wait_for_up(monitor, 0, 0)
    assert state_of(metrics) == "ok"
    assert series("genv_processes_total") not in metrics


# --- What hangs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["nvmlDeviceGetUtilizationRates", "nvmlDeviceGetHandleByIndex_v2", "*"])
def test_a_device_that_hangs_is_down_and_hides_no_other(start: Start, scenario: Scenario, call: str) -> None:
    scenario.gpus = [gpu(0), gpu(1), gpu(2)]
    scenario.write()
    monitor = start()
    wait_for_up(monitor, 1, 1, 1)
    scenario.gpus[1].hangs = {call: 600_000}
    scenario.write()
    wait_for_up(monitor, 1, 0, 1)
    wait_for(lambda: not values_of(monitor.metrics(), 1), "its values are gone")
    threads = monitor.threads
    scenario.gpus[2].temperature = 77
    scenario.write()
    wait_for(lambda: values_of(monitor.metrics(), 2)["genv_device_temperature"] == 77, "the others go on")
    metrics = monitor.next_metrics(10)
    assert values_of(metrics, 0) == DEVICE_METRICS
    assert state_of(metrics) == "ok"
    assert monitor.threads < threads + 8, "it is not called again while it hangs"
    assert monitor.log.count("GPU 1: does not answer") == 1
    hanging = monitor.snapshot()["devices"][1]
    assert (hanging["uuid"], hanging["up"], hanging["temperature_celsius"]) == ("GPU-1", False, None)
    assert hanging["name"] == monitor.snapshot()["devices"][0]["name"]
    scenario.gpus[1].hangs = {}
    scenario.write()
    assert values_of(wait_for_up(monitor, 1, 1, 1), 1) == DEVICE_METRICS


@pytest.mark.parametrize("call", ["nvmlDeviceGetUtilizationRates", "nvmlDeviceGetCount_v2", "nvmlInit*", "*"])
def test_a_driver_that_hangs_costs_its_collector_only(start: Start, scenario: Scenario, call: str) -> None:
    scenario.gpus = [gpu(0)]
    scenario.write()
    monitor = start()
    if call == "nvmlInit*":
        scenario.remove()
        wait_for_state(monitor, "not_loaded")
    scenario.hangs[call] = 600_000
    scenario.write()
    wait_for_state(monitor, "hung")
    wait_for(lambda: named(monitor.metrics(), "genv_device_temperature") == {}, "what it feeds is gone")
    threads = monitor.threads
    metrics = monitor.next_metrics(10)
    assert 1 not in named(metrics, UP).values()
    assert state_of(metrics) == "hung"
    assert metrics[series("genv_monitor_collector_success", collector="nvml")] == 0
    assert metrics[series("genv_monitor_collector_success", collector="genv")] == 1
    assert series("genv_environments_total") in metrics
    assert monitor.threads < threads + 8, "it is not called again while it hangs"
    assert sum("nvml: " in line and " in time" in line for line in monitor.output) == 1
    scenario.hangs.clear()
    scenario.write()
    wait_for_state(monitor, "ok")
    assert values_of(wait_for_up(monitor, 1), 0) == DEVICE_METRICS


def test_the_driver_goes_while_a_call_hangs_and_both_come_back(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(0), gpu(1)]
    scenario.write()
    monitor = start()
    scenario.gpus[1].hangs = {"nvmlDeviceGetTemperature*": 600_000}
    scenario.write()
    wait_for_up(monitor, 1, 0)
    scenario.gpus = [gpu(0, hangs={"*": 600_000}), gpu(1, hangs={"*": 600_000})]
    scenario.errors = {"nvmlDeviceGetCount_v2": UNINITIALIZED}
    scenario.write()
    wait_for_state(monitor, "failed")
    scenario.gpus, scenario.errors = [gpu(0), gpu(1)], {}
    scenario.write()
    metrics = wait_for_up(monitor, 1, 1)
    assert values_of(metrics, 1) == DEVICE_METRICS


def test_a_driver_that_goes_in_the_midst_of_a_reading_is_one_line(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(0), gpu(1, hangs={"nvmlDeviceGetVbiosVersion": 600_000})]
    scenario.write()
    monitor = start()
    wait_for_up(monitor, 1, 0)
    scenario.remove()
    wait_for_state(monitor, "not_loaded")
    scenario.gpus[1].hangs = {}
    scenario.write()
    wait_for_up(monitor, 1, 1)
    failures = [line for line in monitor.complaints if "GPU 1: " in line and "Driver Not Loaded" in line]
    assert len(failures) == 1, failures


@pytest.mark.parametrize("call", ["nvmlDeviceGetUtilizationRates", "nvmlDeviceGetCount_v2", "*"])
def test_it_stops_at_once_even_while_a_call_hangs(start: Start, scenario: Scenario, call: str) -> None:
    scenario.gpus = [gpu(0)]
    scenario.write()
    monitor = start()
    scenario.hangs[call] = 600_000
    scenario.write()
    wait_for_state(monitor, "hung")
    began = time.monotonic()
    assert monitor.stop() == 0
    assert time.monotonic() - began < 2


# --- Devices that appear, vanish and change ----------------------------------------------------------------------


def test_devices_appear_and_vanish(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(0)]
    scenario.write()
    monitor = start()
    wait_for_up(monitor, 1)
    threads = []
    for _ in range(6):
        scenario.gpus = [gpu(number) for number in range(4)]
        scenario.write()
        wait_for_up(monitor, 1, 1, 1, 1)
        scenario.gpus = [gpu(0)]
        scenario.write()
        metrics = wait_for_up(monitor, 1)
        assert {dict(labels).get("index", "0") for _, labels in metrics} == {"0"}
        threads.append(monitor.threads)
    # On a busy machine pools start some workers late; workers that are not used again would be 15.
    assert threads[-1] < threads[0] + 8, "those of GPUs that vanished are used again"


def test_a_device_that_stays_lost_until_nvml_is_initialised_anew_comes_back(start: Start, scenario: Scenario) -> None:
    scenario.enumerates_at_init = True
    scenario.gpus = [gpu(0), gpu(1)]
    scenario.write()
    monitor = start("--log-level", "debug")
    wait_for_up(monitor, 1, 1)
    scenario.gpus[1].errors = {"nvmlDeviceGetTemperature*": LOST}
    scenario.write()
    wait_for_up(monitor, 1, 0)
    wait_for(lambda: monitor.log.count("NVML is initialised") == 3, "it has tried twice in vain")
    scenario.gpus[1].errors = {}
    scenario.write()
    wait_for_up(monitor, 1, 1)
    tried = monitor.log.count("NVML is initialised")
    monitor.next_metrics(20)
    assert monitor.log.count("NVML is initialised") == tried


def test_lost_devices_take_a_line_each_however_often_they_are_tried(start: Start, scenario: Scenario) -> None:
    """Each text that the driver has for it in turn, as NVML is initialised again and again."""
    scenario.enumerates_at_init = True
    scenario.gpus = [gpu(index) for index in range(8)]
    scenario.write()
    monitor = start("--log-level", "debug")
    wait_for_up(monitor, *[1] * 8)
    for turn in range(6):
        call, error = (("nvmlDeviceGetTemperature*", LOST), ("nvmlDeviceGetHandleByIndex*", pynvml.NVML_ERROR_UNKNOWN))[
            turn % 2
        ]
        for one in scenario.gpus:
            one.errors = {call: error}
        scenario.write()
        monitor.next_metrics(4)
    wait_for(lambda: monitor.log.count("NVML is initialised") >= 4, "it has tried several times")
    assert monitor.log.count(" INFO NVIDIA driver") == 1
    lines = [line for line in monitor.complaints if "marked down" in line]
    assert len(lines) == 16, "one for each device and kind"
    for one in scenario.gpus:
        one.errors = {}
    scenario.write()
    wait_for(lambda: monitor.log.count("answers again; it failed") == 8, "each says that it is over")
    wait_for_up(monitor, *[1] * 8)
    assert len(monitor.complaints) == len(lines)


def test_a_device_that_is_plugged_in_is_found(
    nvml_library: Path, scenario: Scenario, state_directory: Path, tmp_path: Path
) -> None:
    """NVML looks for devices when it is initialised; the kernel module tells at once."""
    need_root("puts another directory in the place of /proc/driver")
    scenario.enumerates_at_init = True
    scenario.gpus = [gpu(0)]
    scenario.write()
    unshared = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc/driver && exec "$0" "$@"', PROGRAM)
    options = ("--interval", "0.2", "--config-dir", str(tmp_path / "published"), "--log-level", "debug")
    with Monitor(options, environment=scenario.environment(nvml_library), command=unshared) as monitor:
        gpus = Path(f"/proc/{monitor.process.pid}/root/proc/driver/nvidia/gpus")
        scenario.gpus.append(gpu(1))
        scenario.write()
        wait_for_up(monitor, 1)
        (gpus / "0000:65:00.0").mkdir(parents=True)
        wait_for_up(monitor, 1, 1)
        scenario.gpus.pop()
        scenario.write()
        (gpus / "0000:65:00.0").rmdir()
        wait_for_up(monitor, 1)
        monitor.next_metrics(10)
        assert monitor.log.count("NVML is initialised") == 3


def test_a_device_at_another_index_is_known_by_its_uuid(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(0, temperature=50), gpu(1, temperature=None), gpu(2, temperature=52)]
    scenario.write()
    monitor = start()
    wait_for_up(monitor, 1, 1, 1)
    scenario.gpus = scenario.gpus[1:]
    scenario.write()
    metrics = wait_for_up(monitor, 1, 1)
    assert series("genv_device_temperature", index=0) not in metrics
    assert metrics[series("genv_device_temperature", index=1)] == 52
    assert [device["uuid"] for device in monitor.snapshot()["devices"]] == ["GPU-1", "GPU-2"]
    assert "GPU 0: is GPU-1 now, and was GPU-0" in monitor.log


def test_nothing_of_the_device_before_counts_for_the_one_in_its_place(start: Start, scenario: Scenario) -> None:
    """Not in the first reading either: one that does not support a call, and gives its memory by the second version."""
    scenario.gpus = [gpu(0, temperature=None)]
    scenario.write()
    monitor = start("--interval", "1h")
    monitor.process.send_signal(signal.SIGHUP)  # collects at once, and once
    assert series("genv_device_temperature", index=0) not in monitor.next_metrics(1)
    refused = {"nvmlDeviceGetMemoryInfo_v2": pynvml.NVML_ERROR_INVALID_ARGUMENT}
    scenario.gpus = [gpu(1, temperature=51, errors=refused, memory_used=MIB, memory_reserved=0)]
    scenario.write()
    monitor.process.send_signal(signal.SIGHUP)
    (device,) = wait_for(lambda: [d for d in monitor.snapshot()["devices"] if d["uuid"] == "GPU-1"], "it is seen")
    assert (device["temperature_celsius"], device["memory_used_bytes"]) == (51, MIB)
    assert monitor.metrics()[series("genv_devices_missing")] == 1
    (complaint,) = monitor.complaints
    assert "GPU 0 (GPU-0) is no longer listed by the driver" in complaint


def test_mig_is_switched_on_and_off_while_it_runs(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(0, mig=False, processes=[Process(100, MIB)])]
    scenario.write()
    monitor = start()
    assert values_of(monitor.metrics(), 0) == DEVICE_METRICS
    utilization = series("genv_device_utilization", index=0)
    scenario.gpus = [gpu(0, mig=True, migs={0: Mig("MIG-0", gpu_instance=1, compute_instance=0)})]
    scenario.gpus[0].migs[0].processes = [Process(101, 2 * MIB, 1, 0)]
    scenario.write()
    wait_for(lambda: utilization not in monitor.metrics(), "a MIG device has no utilisation")
    memory = series("genv_process_used_gpu_memory_bytes", pid=101, eid="", device=0)
    assert monitor.next_metrics()[memory] == 2 * MIB
    scenario.gpus = [gpu(0, mig=False)]
    scenario.write()
    wait_for(lambda: monitor.metrics().get(utilization) == 70, "the utilisation is back")
    wait_for_up(monitor, 1)


@pytest.mark.parametrize("address", ["00000000:65:00.0", None])
def test_what_a_device_is_stays_known_while_it_does_not_say_so(
    start: Start, scenario: Scenario, address: str | None
) -> None:
    board = {"serial": "7", "minor_number": "5"}
    instances = {0: Mig("MIG-0", gpu_instance=1, compute_instance=0)}
    scenario.gpus = [gpu(0, pci_bus_id=address, name="A", extra=board, mig=True, migs=instances), gpu(1)]
    scenario.write()
    monitor = start()
    names = ("genv_device_info", "genv_device_board_info", "genv_mig_instance_info")
    before = named(monitor.next_metrics(), *names)
    assert {dict(labels).get("uuid") for _, labels in before} >= {"GPU-0", "GPU-1"}
    constant = ("UUID", "Name", "Serial", "MinorNumber", "PciInfo*", "VbiosVersion")
    scenario.gpus[0].errors = {f"nvmlDeviceGet{one}": 999 for one in constant}
    scenario.gpus[0].migs[0].errors = {"nvmlDeviceGetUUID": 999}
    scenario.write()
    wait_for(lambda: "nvmlDeviceGetUUID" in monitor.log, "they are missing")
    assert named(monitor.next_metrics(), *names) == before
    scenario.gpus[0] = gpu(2, pci_bus_id="00000000:66:00.0", name="B")
    scenario.write()
    wait_for(lambda: "GPU-2" in str(named(monitor.metrics(), *names)), "another UUID replaces it")
    assert "'7'" not in str(named(monitor.next_metrics(), "genv_device_board_info"))


def test_a_device_elsewhere_that_does_not_say_who_it_is_is_not_the_one_before(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(0, pci_bus_id="00000000:65:00.0")]
    scenario.write()
    monitor = start()
    monitor.next_metrics()
    scenario.gpus = [gpu(1, pci_bus_id="00000000:66:00.0", errors={"nvmlDeviceGetUUID": 999})]
    scenario.write()
    wait_for(lambda: "00000000:66:00.0" in str(monitor.snapshot()["devices"]), "it is seen")
    for _ in range(3):
        monitor.next_metrics(1)
        assert [device["uuid"] for device in monitor.snapshot()["devices"]] == [None]


def test_indices_that_changed_while_the_monitor_did_not_run(
    start: Start, scenario: Scenario, state_directory: Path, tmp_path: Path, nvml_library: Path
) -> None:
    """What the ledger keeps tells that it is not known who holds them: on the page, in the log, and to ``once``."""
    (state_directory / "envs.json").write_text(json.dumps({"envs": [environment_entry("1", [os.getpid()], "x")]}))
    (state_directory / "devices.json").write_text(json.dumps({"devices": [device_entry(1, "1")]}))
    file = tmp_path / "monitor.yaml"
    file.write_text(f"ledger: {{directory: {tmp_path / 'var'}, write_interval: 100ms}}\n")
    known = series("genv_device_holders_known", index=1)
    order = [gpu(number, pci_bus_id=f"00000000:6{number}:00.0") for number in range(3)]
    scenario.gpus = order
    scenario.write()
    monitor = start("--config", str(file))
    assert monitor.next_metrics()[known] == 1
    assert monitor.stop() == 0

    def once() -> Series:
        environment = {**os.environ, **scenario.environment(nvml_library)}
        return parse(subprocess.check_output([PROGRAM, "--config", file, "once"], env=environment, text=True))

    assert once()[known] == 1
    scenario.gpus = [order[0], order[2], order[1]]
    scenario.write()
    assert once()[known] == 0
    monitor = start("--config", str(file))
    assert monitor.next_metrics(3)[known] == 0
    assert monitor.log.count("the holders of GPUs 1 and 2 are unknown") == 1
    assert monitor.stop() == 0
    file.write_text("ledger: {enabled: false}\n")
    assert once()[known] == 1, "without a ledger, what is attached is of the GPU that has the index now"
