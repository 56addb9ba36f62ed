"""GPUs of several generations, as they look through the NVML stand-in.

What each has and has not follows from NVIDIA's data sheets and nvml.h: memory error correction, row remapping (Ampere
and later, with HBM), retired pages (before), fans (consumer cards), NVLink and MIG. Values are made up.
"""

from __future__ import annotations

from typing import Any

from tests.standin import Gpu, Mig, NvLink

GIB = 2**30
XID_EVENTS = 0x1F
HOPPER_REASONS = 0x1FE | 0x1

_COMMON: dict[str, Any] = {
    "temperature": 40,
    "utilization": 70,
    "memory_utilization": 35,
    "memory_used": GIB,
    "memory_reserved": GIB // 2,
    "vbios_version": "96.00.30.00.01",
    "pci_bus_id": "00000000:65:00.0",
    "power": 250_500,
    "power_limit": 400_000,
    "energy": 123_456_789,
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
    "encoder_utilization": 3,
    "decoder_utilization": 4,
    "pcie_generation": 4,
    "pcie_width": 16,
    "max_pcie_generation": 5,
    "max_pcie_width": 16,
    "pcie_replays": 7,
    "pcie_receive": 1000,
    "pcie_transmit": 2000,
    "event_types": XID_EVENTS,
}
_ECC: dict[str, Any] = {
    "ecc_corrected_volatile": 1,
    "ecc_corrected_aggregate": 2,
    "ecc_uncorrected_volatile": 3,
    "ecc_uncorrected_aggregate": 4,
}
_RETIRED: dict[str, Any] = {"retired_pages_single_bit": 5, "retired_pages_double_bit": 6}
_REMAPPED: dict[str, Any] = {"remapped_rows": (1, 2, 1, 0)}

_DETAILS = {
    "power_watts",
    "power_limit_watts",
    "energy_joules_total",
    "clock_hertz",
    "clock_max_hertz",
    "throttled",
    "performance_state",
    "encoder_utilization_ratio",
    "decoder_utilization_ratio",
    "pcie_link_generation",
    "pcie_link_width",
    "pcie_link_generation_max",
    "pcie_link_width_max",
    "pcie_replays_total",
}
BASICS = {
    "temperature",
    "utilization",
    "memory_used_bytes",
    "memory_total_bytes",
    "memory_free_bytes",
    "memory_reserved_bytes",
    "memory_bandwidth_utilization_ratio",
    "up",
    "info",
}
_HAS_ECC = {"ecc_errors_total"}
_HAS_RETIRED = {"retired_pages"}
_HAS_REMAPPED = {"remapped_rows", "remap_pending", "remap_failed"}
_HAS_NVLINK = {"nvlink_receive_bytes_total", "nvlink_transmit_bytes_total", "nvlink_errors_total"}
_HAS_XIDS = {"xid_errors_total"}
_OF_ENGINES = {"encoder_utilization_ratio", "decoder_utilization_ratio"}


def profile(name: str) -> tuple[Gpu, set[str]]:
    """Return a GPU and the metrics that it has, without ``genv_device_``."""
    values, metrics = _PROFILES[name]
    has = BASICS | _DETAILS | _HAS_XIDS | metrics
    return Gpu(f"GPU-{name}", **{**_COMMON, **values}), has - _WITHOUT.get(name, set())


def names() -> list[str]:
    """Return the names of all profiles."""
    return list(_PROFILES)


def _links(count: int, errors: dict[int, int] | None = None) -> dict[int, NvLink]:
    return {number: NvLink(errors=dict(errors or {})) for number in range(count)}


def _fields(links: int, *fields: int) -> dict[int | tuple[int, int], int | str]:
    return {(field, link): 1000 * field + link for link in range(links) for field in fields}


_COUNTERS = {0: 1, 1: 2, 2: 3, 3: 4}
_UP_TO_NVLINK_4 = (138, 139)
_NVLINK_5 = (202, 204, 206, 207, 208, 211, 212, 214, 215, 219, 221)
_HOT_MEMORY: dict[int | tuple[int, int], int | str] = {82: "61 1"}

_A100_PARTS = {
    0: Mig("MIG-a", "NVIDIA A100-SXM4-40GB MIG 3g.20gb", 1, 0, memory_total=20 * GIB, memory_used=3 * GIB),
    1: Mig("MIG-b", "NVIDIA A100-SXM4-40GB MIG 1c.3g.20gb", 2, 1, memory_total=20 * GIB, memory_used=0),
}

_PROFILES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "T4": (
        {"name": "Tesla T4", "architecture": 6, "memory_total": 15 * GIB, **_ECC, **_RETIRED, "fields": {82: "0 1"}},
        _HAS_ECC | _HAS_RETIRED,
    ),
    "V100": (
        {
            "name": "Tesla V100-SXM2-32GB",
            "architecture": 5,
            "memory_total": 32 * GIB,
            **_ECC,
            **_RETIRED,
            "nvlinks": _links(6, _COUNTERS),
            "fields": {**_HOT_MEMORY, **_fields(6, *_UP_TO_NVLINK_4)},
        },
        _HAS_ECC | _HAS_RETIRED | _HAS_NVLINK | {"memory_temperature_celsius"},
    ),
    "A100-MIG": (
        {
            "name": "NVIDIA A100-SXM4-40GB",
            "architecture": 7,
            "memory_total": 40 * GIB,
            "encoder_utilization": None,
            "decoder_utilization": None,
            "migs": _A100_PARTS,
            **_ECC,
            **_REMAPPED,
            "fields": _HOT_MEMORY,
        },
        _HAS_ECC | _HAS_REMAPPED | {"memory_temperature_celsius"},
    ),
    "H100": (
        {
            "name": "NVIDIA H100 80GB HBM3",
            "architecture": 9,
            "memory_total": 80 * GIB,
            "mig": False,
            **_ECC,
            **_REMAPPED,
            "nvlinks": _links(18),
            "fields": {**_HOT_MEMORY, **_fields(18, *_UP_TO_NVLINK_4, 161, 162, 163)},
        },
        _HAS_ECC | _HAS_REMAPPED | _HAS_NVLINK | {"memory_temperature_celsius"},
    ),
    "L40S": (
        {"name": "NVIDIA L40S", "architecture": 8, "memory_total": 45 * GIB, **_ECC, **_REMAPPED},
        _HAS_ECC | _HAS_REMAPPED,
    ),
    "RTX 4090": (
        {"name": "NVIDIA GeForce RTX 4090", "architecture": 8, "memory_total": 24 * GIB, "fan_speeds": [30, 31]},
        {"fan_speed_ratio"},
    ),
    "GB200": (
        {
            "name": "NVIDIA GB200",
            "architecture": 10,
            "memory_total": 185 * GIB,
            "mig": False,
            **_ECC,
            **_REMAPPED,
            "nvlinks": _links(18),
            "fields": {**_HOT_MEMORY, **_fields(18, *_NVLINK_5)},
        },
        _HAS_ECC | _HAS_REMAPPED | _HAS_NVLINK | {"memory_temperature_celsius"},
    ),
    "GB300": (
        {
            "name": "NVIDIA GB300",
            "architecture": 10,
            "memory_total": 278 * GIB,
            "mig": False,
            **_ECC,
            **_REMAPPED,
            "nvlinks": _links(18),
            "fields": {
                **_HOT_MEMORY,
                **_fields(18, *_NVLINK_5),
                74: 5 * 10**9,
                269: 10**9,
                270: 0,
                271: 0,
            },
            "extra": {"jpeg_utilization": "0", "ofa_utilization": "0", "persistence_mode": "1"},
        },
        _HAS_ECC
        | _HAS_REMAPPED
        | _HAS_NVLINK
        | {"memory_temperature_celsius", "throttled_seconds_total", "jpeg_utilization_ratio"}
        | {"ofa_utilization_ratio", "persistence_mode"},
    ),
}
_WITHOUT = {"A100-MIG": {"utilization", "memory_bandwidth_utilization_ratio", *_OF_ENGINES}}
"""What a profile lacks of what all others have: a device whose MIG mode is on tells no utilisation."""
