"""What a device tells, key by key and GPU by GPU, and that what it does not tell is absent."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.standin import Mig, NvLink, Scenario, build
from tests.support.gpu_profiles import GIB, names, profile
from tests.support.gpus import Start, gpu
from tests.support.monitor import PROGRAM, Series, named, parse, series
from tests.support.waiting import wait_for

NOT_AVAILABLE = 0xFFFFFFFF


def of_device(name: str, value: float, **labels: object) -> dict[Any, float]:
    return {series(f"genv_device_{name}", index=0, **labels): value}


# What the stand-in is given, the series that follow, and how many the metric has then (one, unless it says so).
VALUES: dict[str, tuple[dict[str, Any], dict[Any, float]]] = {
    "power": ({"power": 250_500}, of_device("power_watts", 250.5)),
    "power limit": ({"power_limit": 400_000}, of_device("power_limit_watts", 400)),
    "default power limit": (
        {"extra": {"default_power_limit": "300000"}},
        of_device("power_limit_default_watts", 300),
    ),
    "power just now": ({"fields": {(186, 0): 83_320}}, of_device("power_instant_watts", 83.32)),
    "power of the module": (
        {"fields": {(186, 1): 900_000, (185, 1): 1, (190, 1): 2_900_000}},
        {**of_device("module_power_watts", 900), **of_device("module_power_limit_watts", 2900)},
    ),
    "average power of the module": ({"fields": {(185, 1): 900_000}}, of_device("module_power_watts", 900)),
    "power of the memory": (
        {"fields": {(186, 2): 60_500, (185, 2): 1, (186, 0): 300_000}},
        {**of_device("memory_power_watts", 60.5), **of_device("power_instant_watts", 300)},
    ),
    "average power of the memory": ({"fields": {(185, 2): 61_000}}, of_device("memory_power_watts", 61)),
    "thresholds as margins": (
        {"fields": {193: "-5 5", 194: "-2 5", 195: "0 5", 196: "0 1"}},
        {
            **of_device("temperature_margin_threshold_celsius", -5, threshold="shutdown"),
            **of_device("temperature_margin_threshold_celsius", -2, threshold="slowdown"),
            **of_device("temperature_margin_threshold_celsius", 0, threshold="memory_max"),
            **of_device("temperature_margin_threshold_celsius", 0, threshold="gpu_max"),
        },
    ),
    "a threshold as a margin without a sign": (
        {"fields": {194: f"{2**32 - 2} 1"}},
        of_device("temperature_margin_threshold_celsius", -2, threshold="slowdown"),
    ),
    "InfoROM": ({"extra": {"inforom_corrupted": "0"}}, of_device("corrupted_inforom", 0)),
    "corrupted InfoROM": ({"extra": {"inforom_corrupted": "1"}}, of_device("corrupted_inforom", 1)),
    "pending repairs": (
        {"extra": {"repair_status": "0 1"}},
        {**of_device("channel_repair_pending", 0), **of_device("tpc_repair_pending", 1)},
    ),
    "unrepairable memory": ({"extra": {"unrepairable_memory": "1"}}, of_device("unrepairable_memory", 1)),
    "no unrepairable memory": ({"extra": {"unrepairable_memory": "0"}}, of_device("unrepairable_memory", 0)),
    "unrepairable memory in the layout of nvidia-ml-py": (
        {"extra": {"unrepairable_memory": "1", "unrepairable_memory_versioned": "1"}},
        of_device("unrepairable_memory", 1),
    ),
    "pending MIG mode": ({"mig": False, "extra": {"mig_pending": "1"}}, of_device("mig_pending", 1)),
    "C2C": (
        {
            "fields": {
                170: "2 1",
                (171, 0): "1 1",
                (172, 0): "44712 1",
                (171, 1): "0 1",
                (172, 1): "44712 1",
                (231, 1): 7,
            }
        },
        {
            **of_device("c2c_active", 1, link=0),
            **of_device("c2c_active", 0, link=1),
            **of_device("c2c_bandwidth_bytes_per_second", 44_712_000_000, link=0),
            **of_device("c2c_errors_total", 7, link=1, kind="crc"),
        },
    ),
    "margin": ({"extra": {"margin_temperature": "-2"}}, of_device("temperature_margin_celsius", -2)),
    "recovery action": ({"fields": {(230, 0): "4 1"}}, of_device("recovery_action", 1, action="drain_and_reset")),
    "sessions": (
        {"extra": {"encoder_stats": "2 60 4500", "fbc_stats": "1 30 2000"}},
        {
            **of_device("encoder_sessions", 2),
            **of_device("encoder_frames_per_second", 60),
            **of_device("encoder_latency_seconds", 0.0045),
            **of_device("capture_sessions", 1),
            **of_device("capture_frames_per_second", 30),
            **of_device("capture_latency_seconds", 0.002),
        },
    ),
    "board": (
        {
            "pci_bus_id": "00000000:65:00.0",
            "extra": {
                "serial": "1573041103750",
                "board_part_number": "699-2G530-0300-000",
                "minor_number": "3",
                "compute_capability": "10.3",
                "pci_device_id": "0x233510DE",
                "pci_subsystem_id": "0x18BE10DE",
                "inforom_version": "G520.0280.02.02",
                "gsp_version": "610.43.02",
            },
        },
        of_device(
            "board_info",
            1,
            serial="1573041103750",
            part_number="699-2G530-0300-000",
            minor_number=3,
            compute_capability="10.3",
            pci_device_id="233510DE",
            pci_subsystem_id="18BE10DE",
            inforom_version="G520.0280.02.02",
            gsp_firmware_version="610.43.02",
        ),
    ),
    "PCIe errors": (
        {"fields": {(173, 0): 3, (180, 0): 1, (169, 0): 9}},
        {
            **of_device("pcie_errors_total", 3, kind="correctable"),
            **of_device("pcie_errors_total", 1, kind="fatal"),
            **of_device("pcie_errors_total", 9, kind="l0_to_recovery"),
        },
    ),
    "ECC by location": (
        {"extra": {"ecc_mode": "1"}, "ecc_locations": {(0, 0, 2): 5, (1, 1, 7): 6}},
        {
            **of_device("ecc_location_errors_total", 5, severity="corrected", scope="volatile", location="dram"),
            **of_device("ecc_location_errors_total", 6, severity="uncorrected", scope="aggregate", location="sram"),
        },
    ),
    "SRAM": (
        {"extra": {"ecc_mode": "1", "sram_errors": "1 2 3 4 5 1"}},
        {
            **of_device("sram_threshold_exceeded", 1),
            **of_device("sram_uncorrected_errors_total", 1, source="l2"),
            **of_device("sram_uncorrected_errors_total", 2, source="sm"),
            **of_device("sram_uncorrected_errors_total", 3, source="pcie"),
            **of_device("sram_uncorrected_errors_total", 4, source="microcontroller"),
            **of_device("sram_uncorrected_errors_total", 5, source="other"),
        },
    ),
    "banks": (
        {"extra": {"remap_histogram": "3070 1 1 0 0"}},
        {
            **of_device("remap_banks", 3070, availability="max"),
            **of_device("remap_banks", 1, availability="high"),
            **of_device("remap_banks", 1, availability="partial"),
            **of_device("remap_banks", 0, availability="low"),
            **of_device("remap_banks", 0, availability="none"),
        },
    ),
    "range of power limits": (
        {"extra": {"min_power_limit": "100000", "max_power_limit": "500000"}},
        {**of_device("power_limit_min_watts", 100), **of_device("power_limit_max_watts", 500)},
    ),
    "energy": ({"energy": 2**40}, of_device("energy_joules_total", 2**40 / 1000)),
    **{
        f"{clock} clock": (
            {f"clock_{clock}": 1410, f"max_clock_{clock}": 1980},
            {
                **of_device("clock_hertz", 1_410_000_000, clock=clock),
                **of_device("clock_max_hertz", 1_980_000_000, clock=clock),
            },
        )
        for clock in ("graphics", "sm", "memory", "video")
    },
    "throttle reasons": (
        {"throttle_reasons": 0x4 | 0x40 | 0x1, "supported_throttle_reasons": 0x1FF},
        {
            key: value
            for reason, active in {
                "power_cap": 1,
                "hw_slowdown": 0,
                "hw_thermal": 1,
                "hw_power_brake": 0,
                "sw_thermal": 0,
                "sync_boost": 0,
                "display": 0,
                "application_clocks": 0,
            }.items()
            for key, value in of_device("throttled", active, reason=reason).items()
        },
    ),
    "few throttle reasons": (
        {"throttle_reasons": 0, "supported_throttle_reasons": 0x1 | 0x4},
        of_device("throttled", 0, reason="power_cap"),
    ),
    "no supported throttle reasons": (
        {"throttle_reasons": 0x20},
        of_device("throttled", 1, reason="sw_thermal"),
    ),
    "throttled time": ({"fields": {74: 1_500_000_000}}, of_device("throttled_seconds_total", 1.5, reason="power_cap")),
    "performance state": ({"performance_state": 8}, of_device("performance_state", 8)),
    "fans": (
        {"fan_speeds": [30, 110]},
        {**of_device("fan_speed_ratio", 0.3, fan=0), **of_device("fan_speed_ratio", 1.1, fan=1)},
    ),
    "rotations of fans": (
        {"fan_speeds": [30, 110], "fan_rpms": [1500, 4200]},
        {**of_device("fan_speed_rpm", 1500, fan=0), **of_device("fan_speed_rpm", 4200, fan=1)},
    ),
    "one fan of an old driver": ({"fan_speed": 45}, of_device("fan_speed_ratio", 0.45, fan=0)),
    "memory temperature": ({"fields": {82: "61 1"}}, of_device("memory_temperature_celsius", 61)),
    "thresholds": (
        {"extra": {"shutdown_temperature": "95", "slowdown_temperature": "90"}},
        {
            **of_device("temperature_threshold_celsius", 95, threshold="shutdown"),
            **of_device("temperature_threshold_celsius", 90, threshold="slowdown"),
        },
    ),
    "memory": (
        {},
        {**of_device("memory_free_bytes", 15200 << 20), **of_device("memory_reserved_bytes", 300 << 20)},
    ),
    "memory bandwidth": ({"memory_utilization": 35}, of_device("memory_bandwidth_utilization_ratio", 0.35)),
    "encoder": ({"encoder_utilization": 3}, of_device("encoder_utilization_ratio", 0.03)),
    "decoder": ({"decoder_utilization": 100}, of_device("decoder_utilization_ratio", 1)),
    "other engines": (
        {"extra": {"jpeg_utilization": "1", "ofa_utilization": "2"}},
        {**of_device("jpeg_utilization_ratio", 0.01), **of_device("ofa_utilization_ratio", 0.02)},
    ),
    "BAR1": (
        {"extra": {"bar1_total": "4096", "bar1_used": "1024"}},
        {**of_device("bar1_memory_total_bytes", 4096), **of_device("bar1_memory_used_bytes", 1024)},
    ),
    "modes": (
        {"extra": {"persistence_mode": "1", "compute_mode": "3"}},
        {**of_device("persistence_mode", 1), **of_device("compute_mode", 1, mode="exclusive_process")},
    ),
    "PCIe link": (
        {
            "pcie_generation": 1,
            "pcie_width": 8,
            "max_pcie_generation": 5,
            "max_pcie_width": 16,
            "pcie_replays": 12,
            "fields": {95: 3},
        },
        {
            **of_device("pcie_replay_rollovers_total", 3),
            **of_device("pcie_link_generation", 1),
            **of_device("pcie_link_width", 8),
            **of_device("pcie_link_generation_max", 5),
            **of_device("pcie_link_width_max", 16),
            **of_device("pcie_replays_total", 12),
        },
    ),
    "ECC": (
        {
            "ecc_corrected_volatile": 1,
            "ecc_corrected_aggregate": 2,
            "ecc_uncorrected_volatile": 3,
            "ecc_uncorrected_aggregate": 4,
        },
        {
            key: value
            for value, (severity, scope) in enumerate(
                [(severity, scope) for severity in ("corrected", "uncorrected") for scope in ("volatile", "aggregate")],
                start=1,
            )
            for key in of_device("ecc_errors_total", 0, severity=severity, scope=scope)
        },
    ),
    "ECC mode": (
        {"extra": {"ecc_mode": "0", "ecc_mode_pending": "1"}},
        {**of_device("ecc_enabled", 0), **of_device("ecc_pending", 1)},
    ),
    "remapped rows": (
        {"remapped_rows": (3, 2, 1, 0)},
        {
            **of_device("remapped_rows", 3, cause="corrected"),
            **of_device("remapped_rows", 2, cause="uncorrected"),
            **of_device("remap_pending", 1),
            **of_device("remap_failed", 0),
        },
    ),
    "retired pages": (
        {
            "retired_pages_single_bit": 0,
            "retired_pages_double_bit": 7,
            "extra": {"retirement_pending": "1"},
        },
        {
            **of_device("retired_pages", 0, cause="single_bit"),
            **of_device("retired_pages", 7, cause="double_bit"),
            **of_device("retirement_pending", 1),
        },
    ),
    "NVLink up to 4": (
        {
            "nvlinks": {0: NvLink(), 1: NvLink(active=False)},
            "fields": {(138, 0): 5, (139, 0): 6, (161, 0): 7, (163, 0): 8, (138, 1): 9},
        },
        {
            **of_device("nvlink_transmit_bytes_total", 5 * 1024, link=0),
            **of_device("nvlink_receive_bytes_total", 6 * 1024, link=0),
            **of_device("nvlink_errors_total", 7, link=0, kind="replay"),
            **of_device("nvlink_errors_total", 8, link=0, kind="crc"),
        },
    ),
    "NVLink that is not active": (
        {"nvlinks": {0: NvLink(active=False)}, "fields": {(138, 0): 5}},
        of_device("nvlink_active", 0, link=0),
    ),
    "bandwidth of NVLinks": (
        {"nvlinks": {0: NvLink(), 1: NvLink()}, "fields": {(164, 0): 53_125, (164, 1): 26_562}},
        {
            **of_device("nvlink_bandwidth_bytes_per_second", 53_125_000_000, link=0),
            **of_device("nvlink_bandwidth_bytes_per_second", 26_562_000_000, link=1),
            **of_device("nvlink_active", 1, link=0),
            **of_device("nvlink_active", 1, link=1),
        },
    ),
    "bandwidth of NVLinks of old drivers": (
        {"nvlinks": {3: NvLink()}, "fields": {90: 25_781}},
        of_device("nvlink_bandwidth_bytes_per_second", 25_781_000_000, link=3),
    ),
    "fabric": (
        {"extra": {"fabric": "3 0 4026 0x359 171"}},
        {
            **of_device("fabric_state", 1, state="completed"),
            **of_device("fabric_info", 1, cluster_uuid="71717171-7171-7171-7171-717171717171", clique=4026),
            **of_device("fabric_problem", 1, problem="degraded_bandwidth"),
            **of_device("fabric_problem", 0, problem="route_recovery"),
            **of_device("fabric_problem", 1, problem="route_unhealthy"),
            **of_device("fabric_problem", 1, problem="access_timeout_recovery"),
            **of_device("fabric_problem", 1, problem="incorrect_configuration"),
        },
    ),
    "fabric that is joined": ({"extra": {"fabric": "2 999 0 0 0"}}, of_device("fabric_state", 1, state="in_progress")),
    "fabric that cannot be joined": (
        {"extra": {"fabric": "3 999 0 0 0"}},
        of_device("fabric_state", 1, state="failed"),
    ),
    "NVLink of old drivers": (
        {"nvlinks": {0: NvLink(errors={0: 1, 2: 3})}},
        {
            **of_device("nvlink_errors_total", 1, link=0, kind="replay"),
            **of_device("nvlink_errors_total", 3, link=0, kind="crc_flit"),
        },
    ),
    "NVLink 5": (
        {"nvlinks": {17: NvLink()}, "fields": {(202, 17): 5, (204, 17): 6, (138, 17): 1, (215, 17): 7, (208, 17): 8}},
        {
            **of_device("nvlink_transmit_bytes_total", 5, link=17),
            **of_device("nvlink_receive_bytes_total", 6, link=17),
            **of_device("nvlink_errors_total", 7, link=17, kind="recovery"),
            **of_device("nvlink_errors_total", 8, link=17, kind="receive"),
        },
    ),
}


JOINED = {
    *("genv_device_orphan_memory_bytes", "genv_device_unseen_memory_bytes", "genv_device_oversubscribed"),
    "genv_device_holders_known",
}
"""What is not the device's own word alone; see test_people.py."""


def families(metrics: dict[Any, float]) -> set[str]:
    return {name for name, _ in metrics} - JOINED


@pytest.fixture(scope="module")
def machine(nvml_library: Path, tmp_path_factory: pytest.TempPathFactory) -> Series:
    """The metrics of a machine with a GPU for each of VALUES, in their order: nothing of one gets into another."""
    directory = tmp_path_factory.mktemp("machine")
    scenario = Scenario(directory / "scenario")
    scenario.gpus = [gpu(number, **given) for number, (given, _) in enumerate(VALUES.values())]
    scenario.write()
    environment = {**os.environ, **scenario.environment(nvml_library), "GENV_TMPDIR": str(directory)}
    done = subprocess.run([PROGRAM, "once"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return parse(done.stdout)


@pytest.mark.parametrize("values", VALUES)
def test_a_value_is_there_as_the_device_has_it(machine: Series, values: str) -> None:
    expected = VALUES[values][1]
    own = ("index", str(list(VALUES).index(values)))
    found = {
        (name, labels - {own} | {("index", "0")}): value
        for (name, labels), value in machine.items()
        if own in labels and name in families(expected)
    }
    assert found == pytest.approx(expected)


ALWAYS = {"genv_device_free", "genv_device_memory_free_bytes", "genv_device_memory_reserved_bytes"} | {
    f"genv_device_{name}"
    for name in (
        *("up", "info", "temperature", "utilization", "memory_used_bytes", "memory_total_bytes"),
        "memory_bandwidth_utilization_ratio",
    )
}


def test_nothing_is_there_that_the_device_does_not_have(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(0)]
    scenario.write()
    monitor = start()
    assert families(named(monitor.next_metrics(), "genv_device_", "genv_mig_")) == ALWAYS
    assert monitor.complaints == []


@pytest.mark.parametrize(
    "given",
    [
        {"performance_state": 32},
        {"power": NOT_AVAILABLE, "power_limit": NOT_AVAILABLE, "energy": 2**64 - 1},
        {"clock_sm": NOT_AVAILABLE, "max_clock_sm": NOT_AVAILABLE},
        {"fan_speed": NOT_AVAILABLE},
        {"fan_speeds": []},
        {"encoder_utilization": NOT_AVAILABLE, "pcie_replays": NOT_AVAILABLE, "pcie_width": NOT_AVAILABLE},
        {"remapped_rows": (NOT_AVAILABLE,) * 4},
        {"fields": {82: "0 1"}},
        {"fields": {82: "61 9"}},
        {"fields": {(186, 0): NOT_AVAILABLE, (230, 0): 99}, "extra": {"fabric": "0 0 0 0 0"}},
        {"architecture": NOT_AVAILABLE, "extra": {"compute_mode": "9"}},
    ],
    ids=str,
)
def test_what_nvml_says_for_not_available_is_absent(start: Start, scenario: Scenario, given: dict[str, Any]) -> None:
    scenario.gpus = [gpu(0, **given)]
    scenario.write()
    assert families(named(start().metrics(), "genv_device_")) == ALWAYS


# --- Errors --------------------------------------------------------------------------------------------------------

FULL: dict[str, Any] = {
    "power": 1000,
    "power_limit": 1000,
    "energy": 1000,
    "clock_sm": 1,
    "max_clock_sm": 1,
    "throttle_reasons": 0,
    "supported_throttle_reasons": 4,
    "performance_state": 0,
    "fan_speeds": [1],
    "encoder_utilization": 1,
    "decoder_utilization": 1,
    "pcie_generation": 1,
    "pcie_width": 1,
    "max_pcie_generation": 1,
    "max_pcie_width": 1,
    "pcie_replays": 1,
    "ecc_corrected_volatile": 1,
    "remapped_rows": (1, 1, 1, 1),
    "retired_pages_single_bit": 1,
    "nvlinks": {0: NvLink(errors={0: 1})},
    "fields": {
        82: 61,
        (138, 0): 1,
        (139, 0): 1,
        173: 1,
        186: 1,
        230: 0,
        (186, 1): 1,
        (186, 2): 1,
        95: 1,
        194: 0,
        170: 1,
        171: 1,
        172: 1,
        231: 1,
    },
    "fan_rpms": [1],
    "ecc_locations": {(0, 0, 2): 1},
    "gpm": {2: 50, 5: 50, 20: 1},
    "extra": {
        "ecc_mode": "1",
        "encoder_stats": "1 1 1",
        "fbc_stats": "1 1 1",
        "fabric": "3 0 0 0x2AA 7",
        "margin_temperature": "1",
        "remap_histogram": "1 1 1 1 1",
        "sram_errors": "1 1 1 1 1 1",
        "inforom_corrupted": "1",
        "repair_status": "1 1",
        "unrepairable_memory": "1",
    },
    "event_types": 8,
    "vbios_version": "1",
    "architecture": 9,
    "pci_bus_id": "00000000:65:00.0",
}
ALL_OF_FULL = {
    *("power_watts", "power_limit_watts", "energy_joules_total", "clock_hertz", "clock_max_hertz", "throttled"),
    *("performance_state", "fan_speed_ratio", "encoder_utilization_ratio", "decoder_utilization_ratio"),
    *("pcie_link_generation", "pcie_link_width", "pcie_link_generation_max", "pcie_link_width_max"),
    *("pcie_replays_total", "ecc_errors_total", "remapped_rows", "remap_pending", "remap_failed", "retired_pages"),
    *("nvlink_receive_bytes_total", "nvlink_transmit_bytes_total", "nvlink_errors_total", "xid_errors_total"),
    *("memory_temperature_celsius", "memory_bandwidth_utilization_ratio", "temperature", "utilization", "up", "info"),
    *("memory_used_bytes", "memory_total_bytes", "memory_free_bytes", "memory_reserved_bytes"),
    *("power_instant_watts", "module_power_watts", "recovery_action", "pcie_errors_total", "nvlink_active"),
    *("ecc_enabled", "ecc_pending", "ecc_location_errors_total", "remap_banks", "temperature_margin_celsius"),
    *("sram_threshold_exceeded", "sram_uncorrected_errors_total", "fabric_state", "fabric_info", "fabric_problem"),
    *("encoder_sessions", "encoder_frames_per_second", "encoder_latency_seconds"),
    *("capture_sessions", "capture_frames_per_second", "capture_latency_seconds"),
    *("sm_active_ratio", "pipe_active_ratio", "pcie_traffic_bytes_per_second"),
    *("corrupted_inforom", "channel_repair_pending", "tpc_repair_pending", "unrepairable_memory", "fan_speed_rpm"),
    *("memory_power_watts", "pcie_replay_rollovers_total", "temperature_margin_threshold_celsius"),
    *("c2c_active", "c2c_bandwidth_bytes_per_second", "c2c_errors_total"),
}
NVLINK = {"nvlink_receive_bytes_total", "nvlink_transmit_bytes_total", "nvlink_errors_total", "nvlink_active"}
SRAM = {"sram_threshold_exceeded", "sram_uncorrected_errors_total"}
GPM = {"sm_active_ratio", "pipe_active_ratio", "pcie_traffic_bytes_per_second"}
COSTS: dict[str, set[str]] = {
    "nvmlDeviceGetPowerUsage": {"power_watts"},
    "nvmlDeviceGetEnforcedPowerLimit": {"power_limit_watts"},
    "nvmlDeviceGetTotalEnergyConsumption": {"energy_joules_total"},
    "nvmlDeviceGetClockInfo": {"clock_hertz"},
    "nvmlDeviceGetMaxClockInfo": {"clock_max_hertz"},
    "nvmlDeviceGetCurrentClocks*Reasons": {"throttled"},
    "nvmlDeviceGetPerformanceState": {"performance_state"},
    "nvmlDeviceGet*Fan*": {"fan_speed_ratio", "fan_speed_rpm"},
    "nvmlDeviceGetFanSpeedRPM": {"fan_speed_rpm"},
    "nvmlDeviceValidateInforom": {"corrupted_inforom"},
    "nvmlDeviceGetRepairStatus": {"channel_repair_pending", "tpc_repair_pending"},
    "nvmlDeviceGetUnrepairableMemoryFlag_v1": {"unrepairable_memory"},
    "nvmlDeviceGetEncoderUtilization": {"encoder_utilization_ratio"},
    "nvmlDeviceGetDecoderUtilization": {"decoder_utilization_ratio"},
    "nvmlDeviceGetCurrPcieLinkGeneration": {"pcie_link_generation"},
    "nvmlDeviceGetCurrPcieLinkWidth": {"pcie_link_width"},
    "nvmlDeviceGetMaxPcieLinkGeneration": {"pcie_link_generation_max"},
    "nvmlDeviceGetMaxPcieLinkWidth": {"pcie_link_width_max"},
    "nvmlDeviceGetPcieReplayCounter": {"pcie_replays_total"},
    "nvmlDeviceGetTotalEccErrors": {"ecc_errors_total"},
    "nvmlDeviceGetRemappedRows": {"remapped_rows", "remap_pending", "remap_failed"},
    "nvmlDeviceGetRetiredPages": {"retired_pages"},
    "nvmlDeviceGetNvLinkState": NVLINK,
    "nvmlDeviceGetNvLinkErrorCounter": {"nvlink_errors_total"},
    "nvmlDeviceGetFieldValues": {
        "memory_temperature_celsius",
        "nvlink_receive_bytes_total",
        "nvlink_transmit_bytes_total",
        *("power_instant_watts", "module_power_watts", "recovery_action", "pcie_errors_total"),
        *("memory_power_watts", "pcie_replay_rollovers_total", "temperature_margin_threshold_celsius"),
        *("c2c_active", "c2c_bandwidth_bytes_per_second", "c2c_errors_total"),
    },
    "nvmlDeviceGetMarginTemperature": {"temperature_margin_celsius"},
    "nvmlDeviceGetEncoderStats": {"encoder_sessions", "encoder_frames_per_second", "encoder_latency_seconds"},
    "nvmlDeviceGetFBCStats": {"capture_sessions", "capture_frames_per_second", "capture_latency_seconds"},
    "nvmlDeviceGetEccMode": {"ecc_enabled", "ecc_pending", "ecc_location_errors_total", *SRAM},
    "nvmlDeviceGetMemoryErrorCounter": {"ecc_location_errors_total"},
    "nvmlDeviceGetSramEccErrorStatus": SRAM,
    "nvmlDeviceGetRowRemapperHistogram": {"remap_banks"},
    "nvmlDeviceGetGpuFabricInfoV": {"fabric_state", "fabric_info", "fabric_problem"},
    "nvmlGpm*": GPM,
    "nvmlDeviceRegisterEvents": {"xid_errors_total"},
    "nvmlDeviceGetArchitecture": set(),
    "nvmlDeviceGetVbiosVersion": set(),
    "nvmlDeviceGetPciInfo*": set(),
    "nvmlDeviceGetSupportedClocks*Reasons": {"throttled"},
}
ERRORS = [2, 3, 4, 6, 7, 8, 10, 13, 17, 19, 20, 23, 25, 26, 27, 999, 12345]


@pytest.mark.parametrize("call", COSTS)
def test_any_error_of_a_call_costs_its_own_values_only(start: Start, scenario: Scenario, call: str) -> None:
    """One device for each of some errors, others for the next call, and a healthy one behind them."""
    errors = ERRORS[list(COSTS).index(call) % 4 :: 4]
    scenario.gpus = [gpu(number, errors={call: error}, **FULL) for number, error in enumerate(errors)]
    healthy = len(scenario.gpus)
    scenario.gpus.append(gpu(healthy, **FULL))
    scenario.write()
    monitor = start("--interval", "0.5")
    everything = {f"genv_device_{name}" for name in ALL_OF_FULL}
    wait_for(lambda: series("genv_device_xid_errors_total", index=healthy, xid=79) in monitor.metrics(), "XIDs")
    metrics = monitor.next_metrics()
    for index in range(healthy + 1):
        present = {name for name, labels in named(metrics, "genv_device_") if ("index", str(index)) in labels}
        lost = {f"genv_device_{name}" for name in COSTS[call]} if index < healthy else set()
        assert everything - present == lost, errors[index] if index < healthy else "healthy"
    assert "Traceback" not in monitor.log
    assert "stand-in" not in monitor.log
    warnings = [line for line in monitor.output if "WARNING" in line]
    assert len(set(warnings)) == len(warnings) or call == "nvmlDeviceRegisterEvents"


def test_devices_and_driver_are_described(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(0, **FULL), gpu(1, name=None), gpu(2, mig=True)]
    scenario.write()
    metrics = start().metrics()
    assert named(metrics, "genv_driver_info") == {
        series("genv_driver_info", driver_version="570.86.15", cuda_version="12.8", nvml_version="12.570.86.15"): 1
    }
    nothing = dict.fromkeys(("name", "pci_bus_id", "architecture", "vbios_version", "mig_mode"), "")
    known = {"pci_bus_id": "00000000:65:00.0", "architecture": "Hopper", "vbios_version": "1", "mig_mode": ""}
    assert named(metrics, "genv_device_info") == {
        series("genv_device_info", index=0, uuid="GPU-0", name="NVIDIA H200", **known): 1,
        series("genv_device_info", index=1, uuid="GPU-1", **nothing): 1,
        series(
            "genv_device_info",
            **{**nothing, "index": 2, "uuid": "GPU-2", "name": "NVIDIA H200", "mig_mode": "enabled"},
        ): 1,
    }


def test_a_device_that_is_down_is_still_described_and_nothing_else(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(0, **FULL), gpu(1)]
    scenario.write()
    monitor = start()
    info = named(monitor.metrics(), "genv_device_info")
    scenario.gpus[0].errors = {"*": 15}
    scenario.write()
    wait_for(lambda: monitor.metrics()[series("genv_device_up", index=0)] == 0, "it is down")
    metrics = monitor.metrics()
    assert named(metrics, "genv_device_info") == info
    left = {key: value for key, value in named(metrics, "genv_device_").items() if ("index", "0") in key[1]}
    described = {"genv_device_up", "genv_device_free", "genv_device_info", "genv_device_xid_errors_total"}
    assert families(left) == described
    assert left[series("genv_device_free", index=0)] == 0


def test_a_device_that_is_elsewhere_now_is_described_there_only(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(0), gpu(1)]
    scenario.write()
    monitor = start()
    scenario.gpus = [gpu(1), gpu(9, errors={"*": 15})]
    scenario.write()
    wait_for(lambda: monitor.metrics()[series("genv_device_up", index=1)] == 0, "the other is down")
    ((_, labels),) = named(monitor.next_metrics(), "genv_device_info")
    assert (dict(labels)["index"], dict(labels)["uuid"]) == ("0", "GPU-1")


def test_what_a_new_device_at_the_same_index_has_is_its_own(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(0, **FULL)]
    scenario.write()
    monitor = start()
    old = series("genv_device_clock_max_hertz", index=0, clock="sm")
    assert monitor.metrics()[old] == 1_000_000
    scenario.gpus = [gpu(7, name="Another", max_clock_sm=2)]
    scenario.write()
    wait_for(lambda: monitor.metrics().get(old) == 2_000_000, "its own maximum")
    metrics = monitor.metrics()
    assert named(metrics, "genv_device_nvlink") == {}
    (((_, labels), _),) = named(metrics, "genv_device_info").items()
    assert dict(labels)["name"] == "Another"
    assert dict(labels)["vbios_version"] == ""


def test_a_field_that_a_device_refused_is_asked_only_of_the_next_one(start: Start, scenario: Scenario) -> None:
    action = series("genv_device_recovery_action", index=0, action="none")
    scenario.gpus = [gpu(0)]
    scenario.write()
    monitor = start()
    scenario.gpus[0].fields = {230: 0}
    scenario.write()
    assert action not in monitor.next_metrics()
    scenario.gpus = [gpu(7, fields={230: 0})]
    scenario.write()
    wait_for(lambda: action in monitor.metrics(), "the other device is asked")


def test_throttle_reasons_of_drivers_before_535(start: Start, scenario: Scenario, public_directory: Path) -> None:
    old = build(
        public_directory / "before-535",
        without=("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetSupportedClocksEventReasons"),
    )
    scenario.gpus = [gpu(0, throttle_reasons=8, supported_throttle_reasons=12)]
    scenario.write()
    assert named(start(library=old).metrics(), "genv_device_throttled") == {
        series("genv_device_throttled", index=0, reason="hw_slowdown"): 1,
        series("genv_device_throttled", index=0, reason="power_cap"): 0,
    }


# --- GPUs ----------------------------------------------------------------------------------------------------------


def test_each_gpu_has_what_its_generation_has(start: Start, scenario: Scenario) -> None:
    """All of them in one machine, so that nothing of one gets into another."""
    profiles = [profile(name) for name in names()]
    scenario.gpus = [device for device, _ in profiles]
    scenario.write()
    monitor = start("--interval", "1")  # the stand-in looks things up line by line
    last = len(profiles) - 1
    wait_for(lambda: series("genv_device_xid_errors_total", index=last, xid=79) in monitor.metrics(), "XIDs")
    metrics = monitor.next_metrics()
    for index, (name, (device, expected)) in enumerate(zip(names(), profiles, strict=True)):
        own = {key: value for key, value in metrics.items() if ("index", str(index)) in key[1]}
        found = families(named(own, "genv_device_"))
        assert found == {f"genv_device_{metric}" for metric in expected}, name
        assert bool(named(own, "genv_mig_")) == bool(device.migs), name
        assert len(named(own, "genv_device_nvlink_active")) == len(device.nvlinks), name
        for ratio in (key for key in own if key[0].endswith("_ratio")):
            assert 0 <= own[ratio] <= 1, (name, ratio)
        watts = [value for key, value in own.items() if key[0].endswith("_watts")]
        assert all(60 <= value <= 3000 for value in watts), name
        total = own.get(series("genv_device_memory_total_bytes", index=index))
        assert total is None or 10 * GIB < total < 300 * GIB, name
    assert monitor.complaints == []


# --- MIG -----------------------------------------------------------------------------------------------------------


def test_mig_instances_belong_to_their_parent(start: Start, scenario: Scenario) -> None:
    device, _ = profile("A100-MIG")
    scenario.gpus = [gpu(0), device]
    scenario.write()
    metrics = start().metrics()
    first, second = {"index": 1, "instance": 0}, {"index": 1, "instance": 1}
    info = "genv_mig_instance_info"
    assert named(metrics, "genv_mig_") == {
        series(info, **first, uuid="MIG-a", profile="3g.20gb", gpu_instance=1, compute_instance=0): 1,
        series(info, **second, uuid="MIG-b", profile="1c.3g.20gb", gpu_instance=2, compute_instance=1): 1,
        series("genv_mig_memory_used_bytes", **first): 3 * GIB,
        series("genv_mig_memory_used_bytes", **second): 0,
        series("genv_mig_memory_total_bytes", **first): 20 * GIB,
        series("genv_mig_memory_total_bytes", **second): 20 * GIB,
        series("genv_mig_bar1_memory_used_bytes", **first): 2**20,
        series("genv_mig_bar1_memory_total_bytes", **first): 32 * GIB,
        series(
            "genv_mig_ecc_location_errors_total",
            **first,
            severity="uncorrected",
            scope="volatile",
            location="sram",
        ): 2,
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"name": None, "gpu_instance_slices": 2, "memory_total": 9984 << 20}, "2g.10gb"),
        ({"name": "NVIDIA A100", "gpu_instance_slices": 2, "compute_instance_slices": 1}, "1c.2g.16gb"),
        ({"name": "NVIDIA H100 MIG 1g.10gb+me"}, "1g.10gb+me"),
        ({"name": None}, ""),
    ],
    ids=str,
)
def test_profiles(start: Start, scenario: Scenario, given: dict[str, Any], expected: str) -> None:
    scenario.gpus = [gpu(0, migs={0: Mig("MIG-0", **given)})]
    scenario.write()
    (((_, labels), _),) = named(start().metrics(), "genv_mig_instance_info").items()
    assert dict(labels)["profile"] == expected


@pytest.mark.parametrize("error", [2, 3, 4, 6, 999])
def test_an_instance_that_fails_hides_no_other(start: Start, scenario: Scenario, error: int) -> None:
    scenario.gpus = [gpu(0, migs={0: Mig("MIG-0", errors={"*": error}), 1: Mig("MIG-1")})]
    scenario.write()
    monitor = start()
    metrics = monitor.next_metrics()
    assert series("genv_mig_memory_used_bytes", index=0, instance=1) in metrics
    assert series("genv_mig_memory_used_bytes", index=0, instance=0) not in metrics
    assert metrics[series("genv_device_up", index=0)] == 1
    assert "Traceback" not in monitor.log


def test_mig_devices_are_counted_unless_one_could_not_be_asked_for(start: Start, scenario: Scenario) -> None:
    unlisted = {"nvmlDeviceGetMigDeviceHandleByIndex": 999}
    scenario.gpus = [gpu(0, mig=True), gpu(1, migs={3: Mig("MIG-0")}), gpu(2, migs={0: Mig("MIG-1", errors=unlisted)})]
    scenario.write()
    monitor = start()

    def counted() -> list[int | None]:
        return [device["mig_devices"] for device in json.loads(monitor.get("/api/v1/snapshot").body)["devices"] or ()]

    wait_for(lambda: counted() == [0, 1, None], "the numbers")
    metrics = monitor.metrics()
    assert named(metrics, "genv_device_mig_devices") == {
        series("genv_device_mig_devices", index=0): 0,
        series("genv_device_mig_devices", index=1): 1,
    }
    # Somebody may compute on the one that could not be asked for.
    assert named(metrics, "genv_device_free") == {
        series("genv_device_free", index=0): 0,
        series("genv_device_free", index=1): 1,
    }


def test_instances_come_and_go_with_the_mode(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(0, migs={0: Mig("MIG-0")})]
    scenario.write()
    monitor = start()
    assert named(monitor.next_metrics(), "genv_mig_")
    whole = gpu(0, mig=False, encoder_utilization=1, nvlinks={0: NvLink()}, fields={(138, 0): 1})
    scenario.gpus = [whole]
    scenario.write()
    wait_for(lambda: named(monitor.metrics(), "genv_mig_") == {}, "the mode is off")
    link = series("genv_device_nvlink_transmit_bytes_total", index=0, link=0)
    assert link in monitor.next_metrics()
    scenario.gpus = [gpu(0, migs={0: Mig("MIG-0", "NVIDIA H200 MIG 7g.141gb")})]
    scenario.write()
    wait_for(lambda: named(monitor.metrics(), "genv_mig_instance_info"), "an instance")
    metrics = monitor.next_metrics()
    assert link not in metrics
    assert named(metrics, "genv_device_utilization", "genv_device_memory_bandwidth", "genv_device_encoder") == {}
    scenario.gpus[0].migs[0] = Mig("MIG-1", "NVIDIA H200 MIG 1g.18gb")
    scenario.write()
    wait_for(lambda: "1g.18gb" in str(named(monitor.metrics(), "genv_mig_instance_info")), "the other profile")
    scenario.gpus = [whole]
    scenario.write()
    wait_for(lambda: named(monitor.metrics(), "genv_mig_") == {}, "no instance")
    assert link in monitor.next_metrics()


def test_without_privileges_a_parent_tells_nothing_of_its_instances(start: Start, scenario: Scenario) -> None:
    device, _ = profile("A100-MIG")
    for part in device.migs.values():
        calls = "nvmlDeviceGetMemory*", "nvmlDeviceGetBAR1MemoryInfo", "nvmlDeviceGetComputeRunningProcesses*"
        part.errors = dict.fromkeys(calls, 4)
    device.errors = {"nvmlDeviceGetUtilizationRates": 4, "nvmlDeviceGetEncoderUtilization": 4}
    scenario.gpus = [device]
    scenario.write()
    metrics = start().metrics()
    assert families(named(metrics, "genv_mig_")) == {"genv_mig_instance_info"}
    absent = "genv_device_utilization", "genv_device_encoder_utilization_ratio"
    assert named(metrics, *absent) == {}
    assert metrics[series("genv_device_up", index=0)] == 1


def test_a_gpu_without_memory_of_its_own_shows_that_of_the_host(start: Start, scenario: Scenario) -> None:
    """One that fails to tell its memory is no such GPU; the first sixteen metrics say nothing of the host's memory."""
    scenario.gpus = [
        gpu(0, memory_total=None, memory_used=None, memory_reserved=None),
        gpu(1),
        gpu(2, errors={"nvmlDeviceGetMemoryInfo*": 999}),
    ]
    scenario.write()
    monitor = start()
    metrics = monitor.next_metrics()
    assert named(metrics, "genv_device_shares_host_memory") == {series("genv_device_shares_host_memory", index=0): 1}
    total = psutil.virtual_memory().total
    assert metrics[series("genv_host_memory_total_bytes")] == total
    assert 0 < metrics[series("genv_host_memory_available_bytes")] < total
    assert {dict(labels)["index"] for _, labels in named(metrics, "genv_device_memory_used_bytes")} == {"1"}
    rows = json.loads(monitor.get("/page/data.json").body)["devices"]
    assert [row["host_memory_total_bytes"] for row in rows] == [total, None, None]
    scenario.gpus[0] = gpu(0)
    scenario.write()
    wait_for(lambda: not named(monitor.metrics(), "genv_host_memory", "genv_device_shares"), "it has its own")
