"""GPUs of several generations, as they look through the NVML stand-in.

What each has and has not follows from nvml.h, from NVIDIA's data sheets and from what owners published of their
nvidia-smi: memory error correction, row remapping (Ampere and later) or retired pages (before), the kinds of memory
whose errors are told apart (Turing and later: DRAM and SRAM), fans (cards with coolers of their own), the energy
counter (Volta and later), memory temperature (HBM), thresholds of temperature as margins (Ada and later, instead of
temperatures from Hopper on), pending repairs (Ampere and later), unrepairable memory and power of the memory (Hopper
and later), GPM (Hopper and later), the fabric of NVSwitches, power of the whole module and NVLink-C2C (with a Grace
CPU), NVLink and MIG. Values are made up, but for memory, power limits and what NVLink-C2C can carry.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.standin import Gpu, Mig, NvLink

GIB = 2**30
XID_EVENTS = 0x1F
HOPPER_REASONS = 0x1FE | 0x1

Fields = dict[int | tuple[int, int], int | str]


class Has(NamedTuple):
    """Something that GPUs have: what the stand-in is given, and the metrics that follow, without ``genv_device_``."""

    values: dict[str, Any]
    metrics: set[str]


_BASICS = Has(
    {
        "temperature": 40,
        "utilization": 70,
        "memory_utilization": 35,
        "vbios_version": "96.00.30.00.01",
        "pci_bus_id": "00000000:65:00.0",
        "event_types": XID_EVENTS,
    },
    {"temperature", "utilization", "memory_bandwidth_utilization_ratio", "up", "info", "xid_errors_total"},
)
_MEMORY = Has(
    {"memory_used": GIB, "memory_reserved": GIB // 2},
    {"memory_used_bytes", "memory_total_bytes", "memory_free_bytes", "memory_reserved_bytes"},
)
_BOARD = Has(
    {"extra": {"serial": "1320", "board_part_number": "900", "minor_number": "0", "compute_capability": "9.0"}},
    {"board_info"},
)
_CLOCKS = Has(
    {
        "performance_state": 0,
        "clock_graphics": 1500,
        "clock_sm": 1500,
        "clock_memory": 2600,
        "clock_video": 1300,
        "max_clock_graphics": 1980,
        "max_clock_sm": 1980,
        "max_clock_memory": 2619,
        "max_clock_video": 1545,
        "throttle_reasons": 0x4,
        "supported_throttle_reasons": HOPPER_REASONS,
    },
    {"clock_hertz", "clock_max_hertz", "throttled", "performance_state"},
)
_POWER = Has({"power": 65_500, "fields": {186: 66_000}}, {"power_watts", "power_instant_watts"})
_ENERGY = Has({"energy": 123_456_789}, {"energy_joules_total"})
_PCIE = Has(
    {
        "pcie_generation": 3,
        "pcie_width": 16,
        "max_pcie_generation": 5,
        "max_pcie_width": 16,
        "pcie_replays": 7,
        "fields": {95: 0},
        "pcie_receive": 1000,
        "pcie_transmit": 2000,
    },
    {
        *("pcie_link_generation", "pcie_link_width", "pcie_link_generation_max", "pcie_link_width_max"),
        *("pcie_replays_total", "pcie_replay_rollovers_total"),
    },
)
_PCIE_ERRORS = Has({"fields": {173: 1, 179: 0, 180: 0}}, {"pcie_errors_total"})
_VIDEO = Has(
    {"encoder_utilization": 3, "decoder_utilization": 4, "extra": {"encoder_stats": "0 0 0", "fbc_stats": "0 0 0"}},
    {"encoder_utilization_ratio", "decoder_utilization_ratio", "encoder_sessions", "capture_sessions"},
)
_ENGINES = Has(
    {"extra": {"jpeg_utilization": "0", "ofa_utilization": "0"}}, {"jpeg_utilization_ratio", "ofa_utilization_ratio"}
)
_MODES = Has({"extra": {"persistence_mode": "1", "compute_mode": "0"}}, {"persistence_mode", "compute_mode"})
_BAR1 = Has({"extra": {"bar1_total": "268435456"}}, {"bar1_memory_used_bytes", "bar1_memory_total_bytes"})
_FANS = Has({"fan_speeds": [30, 31], "fan_rpms": [1200, 1240]}, {"fan_speed_ratio", "fan_speed_rpm"})
_HOT_MEMORY = Has({"fields": {82: "61 1"}}, {"memory_temperature_celsius"})
_NO_MEMORY_SENSOR = Has({"fields": {82: "0 1"}}, set())
_THRESHOLDS = Has(
    {"extra": {"shutdown_temperature": "95", "slowdown_temperature": "90"}}, {"temperature_threshold_celsius"}
)
_MARGIN = Has(
    {
        "extra": {"margin_temperature": "49"},
        "fields": {193: "-5 5", 194: "-2 5", 196: "0 5"},
    },
    {"temperature_margin_celsius", "temperature_margin_threshold_celsius"},
)
_HOT_MEMORY_MARGIN = Has({"fields": {195: "0 5"}}, {"temperature_margin_threshold_celsius"})
_INFOROM = Has({"extra": {"inforom_corrupted": "0"}}, {"corrupted_inforom"})
_REPAIRS = Has({"extra": {"repair_status": "0 0"}}, {"channel_repair_pending", "tpc_repair_pending"})
_REPAIRABLE = Has({"extra": {"unrepairable_memory": "0"}}, {"unrepairable_memory"})
_MEMORY_POWER = Has({"fields": {(185, 2): 61_000, (186, 2): 60_500}}, {"memory_power_watts"})
_C2C = Has(
    {
        "fields": {
            170: "10 1",
            **{(171, link): "1 1" for link in range(10)},
            **{(172, link): "44712 1" for link in range(10)},
            **{(error, link): 0 for error in (231, 232, 233) for link in range(10)},
        }
    },
    {"c2c_active", "c2c_bandwidth_bytes_per_second", "c2c_errors_total"},
)
_RECOVERY = Has({"fields": {230: "0 1"}}, {"recovery_action"})
_THROTTLED_TIME = Has({"fields": {74: 5 * 10**9, 269: 10**9, 270: 0, 271: 0}}, {"throttled_seconds_total"})
_ECC = Has(
    {
        "extra": {"ecc_mode": "1"},
        "ecc_corrected_volatile": 1,
        "ecc_corrected_aggregate": 2,
        "ecc_uncorrected_volatile": 3,
        "ecc_uncorrected_aggregate": 4,
    },
    {"ecc_enabled", "ecc_pending", "ecc_errors_total"},
)
_SRAM = Has({"extra": {"sram_errors": "0 0 0 0 0 0"}}, {"sram_uncorrected_errors_total", "sram_threshold_exceeded"})
_SRAM_WITHOUT_ECC = Has({"extra": {"sram_errors": "0 0 0 0 0 0"}}, set())
_RETIRED = Has(
    {"retired_pages_single_bit": 5, "retired_pages_double_bit": 6, "extra": {"retirement_pending": "0"}},
    {"retired_pages", "retirement_pending"},
)
_REMAPPED = Has({"remapped_rows": (1, 2, 1, 0)}, {"remapped_rows", "remap_pending", "remap_failed"})
_BANKS = Has({"extra": {"remap_histogram": "3072 0 0 0 0"}}, {"remap_banks"})
_GPM = Has(
    {"gpm": {1: 70, 2: 65.5, 3: 30, 4: 5, 5: 45, 10: 40, 11: 0, 12: 8, 13: 2, 20: 100, 21: 200}},
    {
        *("graphics_active_ratio", "sm_active_ratio", "sm_occupancy_ratio", "dram_active_ratio", "pipe_active_ratio"),
        "pcie_traffic_bytes_per_second",
    },
)
_NO_GPM = Has({"extra": {"gpm_supported": "0"}}, set())
_FABRIC = Has({"extra": {"fabric": "3 0 0 0x2AA 7"}}, {"fabric_state", "fabric_info", "fabric_problem"})
_MODULE = Has({"fields": {(186, 1): 900_000, (190, 1): 2_900_000}}, {"module_power_watts", "module_power_limit_watts"})
_MIG_OFF = Has({"mig": False}, {"mig_pending"})

_COUNTERS = {0: 1, 1: 2, 2: 3, 3: 4}
_UP_TO_NVLINK_4 = (138, 139, 161, 162, 163, 164)
_NVLINK_5 = (202, 204, 206, 207, 208, 211, 212, 214, 215, 219, 221, 164)


def _power_limit(watts: int) -> Has:
    values = {"power_limit": watts * 1000, "extra": {"default_power_limit": str(watts * 1000)}}
    return Has(values, {"power_limit_watts", "power_limit_default_watts"})


def _places(*locations: int) -> Has:
    """Errors by location, of ``nvmlMemoryLocation_t``."""
    counts = {(s, c, place): 1 for s in (0, 1) for c in (0, 1) for place in locations}
    return Has({"ecc_locations": counts}, {"ecc_location_errors_total"})


def _links(count: int, fields: tuple[int, ...], errors: dict[int, int] | None = None) -> Has:
    values = {(field, link): 1000 * field + link for link in range(count) for field in fields}
    bandwidth = {} if 164 in fields else {90: 25_781}
    return Has(
        {
            "nvlinks": {number: NvLink(errors=dict(errors or {})) for number in range(count)},
            "fields": {**values, **bandwidth},
        },
        {
            *("nvlink_receive_bytes_total", "nvlink_transmit_bytes_total", "nvlink_errors_total", "nvlink_active"),
            "nvlink_bandwidth_bytes_per_second",
        },
    )


def _no_bridge(count: int) -> Has:
    """NVLinks that lead nowhere."""
    return Has({"nvlinks": {number: NvLink(active=False) for number in range(count)}}, {"nvlink_active"})


_BEFORE_TURING, _DRAM_AND_SRAM = _places(0, 1, 2, 3, 4, 6), _places(2, 7)
_NVLINK_2, _NVLINK_3 = _links(6, (138, 139), _COUNTERS), _links(12, _UP_TO_NVLINK_4)
_NVLINK_4, _ON_NVLINK_5 = _links(18, _UP_TO_NVLINK_4), _links(18, _NVLINK_5)

_CARD = (_BASICS, _MEMORY, _BOARD, _CLOCKS, _POWER, _PCIE, _VIDEO, _MODES, _BAR1)
_OLD_SERVER = (*_CARD, _INFOROM, _ECC, _RETIRED, _THRESHOLDS)
_SERVER = (*_CARD, _INFOROM, _ENERGY, _ENGINES, _ECC, _REMAPPED, _BANKS, _SRAM, _DRAM_AND_SRAM, _REPAIRS)
_AMPERE_SERVER = (*_SERVER, _THRESHOLDS)
_ADA_SERVER = (*_SERVER, _MARGIN, _THROTTLED_TIME, _NO_MEMORY_SENSOR)
_HOPPER_MEMORY = (_HOT_MEMORY, _MARGIN, _HOT_MEMORY_MARGIN, _MEMORY_POWER, _RECOVERY, _REPAIRABLE)
_HOPPER = (*_SERVER, *_HOPPER_MEMORY, _THROTTLED_TIME, _GPM, _MIG_OFF)
_HOPPER_SXM = (*_HOPPER, _NVLINK_4, _FABRIC)
_BLACKWELL_SXM = (*_HOPPER, _ON_NVLINK_5, _FABRIC, _PCIE_ERRORS)
_GEFORCE = (*_CARD, _ENERGY, _ENGINES, _FANS, _THRESHOLDS, _SRAM_WITHOUT_ECC, _NO_MEMORY_SENSOR, _NO_GPM)
_WORKSTATION = (*_SERVER, _FANS, _THRESHOLDS)

_OF_ENGINES = {"encoder_utilization_ratio", "decoder_utilization_ratio"}
_IN_MIG_MODE = {"utilization", "memory_bandwidth_utilization_ratio"}
"""What a device whose MIG mode is on does not tell."""

_A100_PARTS = {
    0: Mig(
        *("MIG-a", "NVIDIA A100-SXM4-40GB MIG 3g.20gb", 1, 0),
        memory_total=20 * GIB,
        memory_used=3 * GIB,
        extra={"bar1_total": str(32 * GIB), "bar1_used": "1048576"},
        ecc_locations={(1, 0, 7): 2},
    ),
    1: Mig("MIG-b", "NVIDIA A100-SXM4-40GB MIG 1c.3g.20gb", 2, 1, memory_total=20 * GIB, memory_used=0),
}
_H200_PARTS = {
    0: Mig("MIG-c", "NVIDIA H200 MIG 3g.71gb", 1, 0, memory_total=70 * GIB, gpm={1: 50, 2: 40, 5: 30}),
    1: Mig("MIG-d", "NVIDIA H200 MIG 4g.71gb", 2, 0, memory_total=70 * GIB, gpm={1: 0, 2: 0, 5: 0}),
}

_GPUS: dict[str, tuple[str, int, float, tuple[Has, ...]]] = {
    # name of the profile: product name, architecture, GiB, what it has
    "P100": (
        "Tesla P100-SXM2-16GB",
        4,
        16,
        (*_OLD_SERVER, _BEFORE_TURING, _HOT_MEMORY, _power_limit(300), _links(4, (), _COUNTERS)),
    ),
    "V100": (
        "Tesla V100-SXM2-32GB",
        5,
        32,
        (*_OLD_SERVER, _ENERGY, _BEFORE_TURING, _HOT_MEMORY, _power_limit(300), _NVLINK_2),
    ),
    "T4": ("Tesla T4", 6, 15, (*_OLD_SERVER, _ENERGY, _DRAM_AND_SRAM, _NO_MEMORY_SENSOR, _power_limit(70))),
    "A10": ("NVIDIA A10", 7, 22.5, (*_AMPERE_SERVER, _NO_MEMORY_SENSOR, _power_limit(150))),
    "A30": ("NVIDIA A30", 7, 24, (*_AMPERE_SERVER, _HOT_MEMORY, _MIG_OFF, _power_limit(165), _no_bridge(4))),
    "A40": ("NVIDIA A40", 7, 45, (*_AMPERE_SERVER, _NO_MEMORY_SENSOR, _power_limit(300), _links(4, _UP_TO_NVLINK_4))),
    "A100 40 GB PCIe": (
        "NVIDIA A100-PCIE-40GB",
        7,
        40,
        (*_AMPERE_SERVER, _HOT_MEMORY, _MIG_OFF, _power_limit(250), _no_bridge(12)),
    ),
    "A100 80 GB": (
        "NVIDIA A100-SXM4-80GB",
        7,
        80,
        (*_AMPERE_SERVER, _HOT_MEMORY, _MIG_OFF, _power_limit(400), _NVLINK_3),
    ),
    "A100-MIG": (
        "NVIDIA A100-SXM4-40GB",
        7,
        40,
        (*_AMPERE_SERVER, _HOT_MEMORY, _power_limit(400), Has({"migs": _A100_PARTS}, {"mig_pending", "mig_devices"})),
    ),
    "RTX 3090": ("NVIDIA GeForce RTX 3090", 7, 24, (*_GEFORCE, _power_limit(350), _no_bridge(4))),
    "L4": ("NVIDIA L4", 8, 22.5, (*_ADA_SERVER, _power_limit(72))),
    "L40S": ("NVIDIA L40S", 8, 45, (*_ADA_SERVER, _power_limit(350))),
    "RTX 4090": ("NVIDIA GeForce RTX 4090", 8, 24, (*_GEFORCE, _THROTTLED_TIME, _MARGIN, _power_limit(450))),
    "RTX 6000 Ada": ("NVIDIA RTX 6000 Ada Generation", 8, 48, (*_WORKSTATION, _MARGIN, _NO_GPM, _power_limit(300))),
    "H100 PCIe": ("NVIDIA H100 PCIe", 9, 80, (*_HOPPER, _no_bridge(18), _power_limit(350))),
    "H100 SXM": ("NVIDIA H100 80GB HBM3", 9, 80, (*_HOPPER_SXM, _power_limit(700))),
    "H200": ("NVIDIA H200", 9, 140.4, (*_HOPPER_SXM, _power_limit(700))),
    "H200-MIG": (
        "NVIDIA H200",
        9,
        140.4,
        (
            *_SERVER,
            *_HOPPER_MEMORY,
            _FABRIC,
            _power_limit(700),
            Has({"migs": _H200_PARTS}, {"mig_pending", "mig_devices"}),
        ),
    ),
    "GH200": ("NVIDIA GH200 480GB", 9, 95.6, (*_HOPPER, _MODULE, _C2C, _power_limit(900))),
    "B200": ("NVIDIA B200", 10, 179, (*_BLACKWELL_SXM, _power_limit(1000))),
    "GB200": ("NVIDIA GB200", 10, 185, (*_BLACKWELL_SXM, _MODULE, _C2C, _power_limit(1200))),
    "B300": ("NVIDIA B300", 10, 268, (*_BLACKWELL_SXM, _power_limit(1100))),
    "GB300": ("NVIDIA GB300", 10, 278, (*_BLACKWELL_SXM, _MODULE, _C2C, _power_limit(1400))),
    "RTX 5090": (
        "NVIDIA GeForce RTX 5090",
        10,
        31.8,
        (*_GEFORCE, _THROTTLED_TIME, _MARGIN, _PCIE_ERRORS, _power_limit(575)),
    ),
    "RTX PRO 6000": (
        "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
        10,
        95.6,
        (*_WORKSTATION, _MARGIN, _GPM, _MIG_OFF, _power_limit(600)),
    ),
    # Memory is that of the host, and NVML tells nothing of it; there is no power limit.
    "GB10": (
        "NVIDIA GB10",
        10,
        0,
        (
            _BASICS,
            _BOARD,
            _CLOCKS,
            _POWER,
            _VIDEO,
            _ENGINES,
            _MODES,
            _MARGIN,
            Has({"memory_used": None}, {"shares_host_memory", "free"}),  # in the others, memory of nobody is in use
        ),
    ),
    "Thor": ("Thor", 10, 0, (_BASICS, Has({"utilization": None, "memory_used": None}, {"shares_host_memory", "free"}))),
}
_WITHOUT = {
    "A100-MIG": _IN_MIG_MODE,
    "H200-MIG": _IN_MIG_MODE | _REMAPPED.metrics,
    "Thor": {"utilization", "memory_bandwidth_utilization_ratio"},
    "P100": {"nvlink_receive_bytes_total", "nvlink_transmit_bytes_total"},
}
"""What a profile lacks of what those like it have."""


def names() -> list[str]:
    """Return the names of all profiles."""
    return list(_GPUS)


def profile(name: str) -> tuple[Gpu, set[str]]:
    """Return a GPU and the metrics that it has, without ``genv_device_``."""
    product, architecture, gib, features = _GPUS[name]
    values: dict[str, Any] = {"name": product, "architecture": architecture, "memory_total": int(gib * GIB) or None}
    for feature in features:
        for key, value in feature.values.items():
            values[key] = {**values.get(key, {}), **value} if isinstance(value, dict) else value
    metrics = {metric for feature in features for metric in feature.metrics} - _WITHOUT.get(name, set())
    if name == "H200-MIG":
        values["remapped_rows"] = None
    if values.get("migs"):
        values["encoder_utilization"] = values["decoder_utilization"] = None
        values["extra"] = {key: text for key, text in values["extra"].items() if not key.endswith("_utilization")}
        metrics -= _OF_ENGINES | _ENGINES.metrics
    return Gpu(f"GPU-{name}", **values), metrics
