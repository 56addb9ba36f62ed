"""Groups of metrics that are switched on and off, and PCIe throughput, whose call takes its time."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.standin import Mig, NvLink, Scenario
from tests.support.gpus import DEVICE_METRICS, Start, gpu
from tests.support.monitor import Monitor, Series, named, series
from tests.support.waiting import wait_for

LOST = 15

GROUPS = {
    "device_details": (
        ("nvmlDeviceGetPowerUsage", "nvmlDeviceGetClockInfo", "nvmlDeviceGetNumFans"),
        ("genv_device_power", "genv_device_clock"),
    ),
    "memory_health": (
        ("nvmlDeviceGetTotalEccErrors", "nvmlDeviceGetRemappedRows", "nvmlDeviceGetRetiredPages"),
        ("genv_device_ecc", "genv_device_rem", "genv_device_ret", "genv_device_sram"),
    ),
    "nvlink": (
        ("nvmlDeviceGetNvLinkState", "nvmlDeviceGetGpuFabricInfoV"),
        ("genv_device_nvlink", "genv_device_fabric"),
    ),
    "mig": ((), ("genv_mig_",)),
    "gpm": (("nvmlGpmSampleGet",), ("genv_device_sm_active", "genv_mig_sm_active")),
    "xid": ((), ("genv_device_xid",)),
    "pcie_throughput": ((), ("genv_device_pcie_receive", "genv_device_pcie_transmit")),
}
"""The calls of each group, and how its metrics begin."""

EACH_TIME = "collect: {device_details_interval: 0, memory_health_interval: 0, nvlink_interval: 0}\n"
"""All groups are read in each collection."""


def machine(scenario: Scenario) -> None:
    common = {"power": 1, "clock_sm": 1, "event_types": 8, "pcie_receive": 1000, "pcie_transmit": 2000}
    health = {"ecc_corrected_volatile": 0, "remapped_rows": (0, 0, 0, 0), "retired_pages_single_bit": 0}
    links = {"nvlinks": {0: NvLink(errors={0: 0})}, "migs": {0: Mig("MIG-0")}}
    scenario.gpus = [gpu(0, **common, **health, **links, gpm={2: 50})]
    scenario.write()


def configure(file: Path, group: str, state: bool) -> None:
    others = "" if group == "pcie_throughput" else "  pcie_throughput: true\n"
    file.write_text(f"{EACH_TIME}metrics:\n  {group}: {str(state).lower()}\n{others}")


def wait_until_all_but(monitor: Monitor, group: str | None) -> Series:
    """Wait until all groups but this one have series."""

    def settled() -> Series | None:
        metrics = monitor.metrics()
        there = {name for name, (_, prefixes) in GROUPS.items() if named(metrics, *prefixes)}
        return metrics if there == set(GROUPS) - {group} else None

    return wait_for(settled, f"all groups but {group}")


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_that_is_off_is_neither_there_nor_asked_for(
    start: Start, scenario: Scenario, tmp_path: Path, group: str
) -> None:
    file = tmp_path / "monitor.yaml"
    machine(scenario)
    configure(file, group, False)
    monitor = start("--config", str(file))
    wait_until_all_but(monitor, group)
    scenario.gpus[0].errors = dict.fromkeys(GROUPS[group][0], LOST)  # whoever asks learns that the device is lost
    scenario.write()
    metrics = monitor.next_metrics(3)
    assert metrics[series("genv_device_up", index=0)] == 1
    scenario.gpus[0].errors = {}
    scenario.write()

    configure(file, group, True)
    monitor.process.send_signal(signal.SIGHUP)
    wait_until_all_but(monitor, None)
    if GROUPS[group][0]:
        scenario.gpus[0].errors = dict.fromkeys(GROUPS[group][0], LOST)
        scenario.write()
        wait_for(lambda: monitor.metrics()[series("genv_device_up", index=0)] == 0, "it is asked for now")
        scenario.gpus[0].errors = {}
        scenario.write()
        wait_until_all_but(monitor, None)

    configure(file, group, False)
    monitor.process.send_signal(signal.SIGHUP)
    wait_until_all_but(monitor, group)


# --- PCIe throughput -----------------------------------------------------------------------------------------------

RECEIVE, TRANSMIT = "genv_device_pcie_receive_bytes_per_second", "genv_device_pcie_transmit_bytes_per_second"


@pytest.fixture
def throughput(tmp_path: Path) -> tuple[str, str]:
    """Options that switch it on."""
    file = tmp_path / "throughput.yaml"
    file.write_text("metrics: {pcie_throughput: true}\n")
    return "--config", str(file)


def test_throughput_is_off_unless_asked_for(start: Start, scenario: Scenario) -> None:
    machine(scenario)
    assert named(start().next_metrics(3), RECEIVE, TRANSMIT) == {}


def test_throughput_follows_the_device(start: Start, scenario: Scenario, throughput: tuple[str, str]) -> None:
    scenario.gpus = [gpu(0, pcie_receive=1000, pcie_transmit=2000), gpu(1), gpu(2, pcie_receive=5)]
    scenario.write()
    monitor = start(*throughput)
    expected = {
        series(RECEIVE, index=0): 1_024_000,
        series(TRANSMIT, index=0): 2_048_000,
        series(RECEIVE, index=2): 5120,
    }
    wait_for(lambda: named(monitor.metrics(), RECEIVE, TRANSMIT) == expected, "the throughput")
    scenario.gpus[2].pcie_receive = 6
    scenario.write()
    wait_for(lambda: monitor.metrics()[series(RECEIVE, index=2)] == 6144, "the next one")
    scenario.gpus[2].errors = {"nvmlDeviceGetPcieThroughput": 999}
    scenario.write()
    wait_for(lambda: series(RECEIVE, index=2) not in monitor.metrics(), "it is gone")
    assert monitor.metrics()[series("genv_device_up", index=2)] == 1
    scenario.gpus[2].errors = {"*": LOST}
    scenario.write()
    wait_for(lambda: monitor.metrics()[series("genv_device_up", index=2)] == 0, "the device is down")
    assert named(monitor.next_metrics(), RECEIVE).keys() == {series(RECEIVE, index=0)}


def test_throughput_that_takes_long_holds_no_collection_up_and_goes_away(
    start: Start, scenario: Scenario, throughput: tuple[str, str]
) -> None:
    scenario.gpus = [gpu(number, pcie_receive=1) for number in range(8)]
    scenario.write()
    monitor = start(*throughput)
    wait_for(lambda: len(named(monitor.metrics(), RECEIVE)) == 8, "the throughput of all")
    for device in scenario.gpus:
        device.extra = {"pcie_throughput_takes": "60000"}
    scenario.write()
    wait_for(lambda: named(monitor.metrics(), RECEIVE) == {}, "what is stale is gone")
    metrics = monitor.next_metrics(3)
    assert metrics[series("genv_monitor_collector_duration_seconds", collector="nvml")] < 0.16  # 8 devices, 20 ms each
    for name, value in DEVICE_METRICS.items():
        assert metrics[series(name, index=7)] == value
    assert monitor.stop() == 0
