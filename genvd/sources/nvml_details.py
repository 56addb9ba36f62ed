"""How a device is doing: power, clocks, fans, engines, its place on the bus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pynvml

from genvd.device_model import DeviceDetails, Fan, Threshold
from genvd.sources.nvml_clocks import THROTTLING_FIELDS, clocks, performance_state, throttling
from genvd.sources.nvml_errors import known
from genvd.sources.nvml_fields import field_values
from genvd.sources.nvml_sane import celsius, part_of, ratio, watts, within

if TYPE_CHECKING:
    from genvd.sources.nvml_asked import Asked

_MILLI = 1e-3
"""NVML counts milliwatts and millijoules."""

_MEMORY_TEMPERATURE = (82, 0)
"""``NVML_FI_DEV_MEMORY_TEMP``."""

_MOST_FANS = 16
"""Of one device; today's have at most 4."""

_MOST_FAN_PERCENT = 200
"""A fan may be meant to run faster than the full speed of its product (nvml.h)."""

_MOST_GENERATION, _MOST_LANES = 15, 64
"""Of PCI Express."""

_COMPUTE_MODES = ("default", "exclusive_thread", "prohibited", "exclusive_process")
"""By ``nvmlComputeMode_t``."""

_THRESHOLDS = {"shutdown": 0, "slowdown": 1, "memory_max": 2, "gpu_max": 3}
"""``nvmlTemperatureThresholds_t``."""


def details(device: Asked) -> DeviceDetails:
    """Return what the device tells.

    Raises:
        DeviceLostError: it does not answer any more.
    """
    get, fields = device.constants.get, field_values(device, (_MEMORY_TEMPERATURE, *THROTTLING_FIELDS), "details")
    bar1 = device.ask(pynvml.nvmlDeviceGetBAR1MemoryInfo)
    limits = get("power limits", lambda: device.ask(pynvml.nvmlDeviceGetPowerManagementLimitConstraints)) or (
        None,
        None,
    )
    return DeviceDetails(
        power_watts=watts(device.number(pynvml.nvmlDeviceGetPowerUsage)),
        power_limit_watts=watts(device.number(pynvml.nvmlDeviceGetEnforcedPowerLimit)),
        power_limit_default_watts=get(
            "default power limit", lambda: watts(device.number(pynvml.nvmlDeviceGetPowerManagementDefaultLimit))
        ),
        power_limit_min_watts=watts(limits[0]),
        power_limit_max_watts=watts(limits[1]),
        energy_joules=device.scaled(_MILLI, pynvml.nvmlDeviceGetTotalEnergyConsumption),
        clocks=clocks(device),
        throttling=throttling(device, fields),
        performance_state=performance_state(device),
        fans=_fans(device),
        # Devices without the sensor have been seen to say 0.
        memory_temperature_celsius=celsius(fields.get(_MEMORY_TEMPERATURE)) or None,
        thresholds=_thresholds(device),
        encoder_utilization_ratio=_engine(device, pynvml.nvmlDeviceGetEncoderUtilization),
        decoder_utilization_ratio=_engine(device, pynvml.nvmlDeviceGetDecoderUtilization),
        jpeg_utilization_ratio=_engine(device, pynvml.nvmlDeviceGetJpgUtilization),
        ofa_utilization_ratio=_engine(device, pynvml.nvmlDeviceGetOfaUtilization),
        bar1_used_bytes=part_of(bar1.bar1Used, bar1.bar1Total) if bar1 else None,
        bar1_total_bytes=(known(bar1.bar1Total) or None) if bar1 else None,
        persistence_enabled=_persistence(device),
        compute_mode=_compute_mode(device),
        pcie_generation=_generation(device, pynvml.nvmlDeviceGetCurrPcieLinkGeneration),
        pcie_width=_lanes(device, pynvml.nvmlDeviceGetCurrPcieLinkWidth),
        pcie_generation_max=get(
            "PCIe generation", lambda: _generation(device, pynvml.nvmlDeviceGetMaxPcieLinkGeneration)
        ),
        pcie_width_max=get("PCIe width", lambda: _lanes(device, pynvml.nvmlDeviceGetMaxPcieLinkWidth)),
        pcie_replays=device.number(pynvml.nvmlDeviceGetPcieReplayCounter),
    )


def _engine(device: Asked, call: Any) -> float | None:
    """Return the share of time in which an engine worked; the call tells its sampling period too."""
    answer = device.ask(call)
    return ratio(answer[0]) if answer else None


def _generation(device: Asked, call: Any) -> int | None:
    return within(device.number(call), 1, _MOST_GENERATION)


def _lanes(device: Asked, call: Any) -> int | None:
    return within(device.number(call), 1, _MOST_LANES)


def _fans(device: Asked) -> tuple[Fan, ...]:
    count = device.number(pynvml.nvmlDeviceGetNumFans)
    if count is None:  # drivers before 465 know of one fan, and not whether there are more
        speeds = {0: device.number(pynvml.nvmlDeviceGetFanSpeed)}
    else:
        speeds = {
            number: device.number(pynvml.nvmlDeviceGetFanSpeed_v2, number, about=f"fan {number}")
            for number in range(min(count, _MOST_FANS))
        }
    told = ((number, ratio(speed, _MOST_FAN_PERCENT)) for number, speed in speeds.items())
    return tuple(Fan(number, speed) for number, speed in told if speed is not None)


def _thresholds(device: Asked) -> tuple[Threshold, ...]:
    told = ((name, _threshold(device, name, kind)) for name, kind in _THRESHOLDS.items())
    return tuple(Threshold(name, celsius) for name, celsius in told if celsius is not None)


def _threshold(device: Asked, name: str, kind: int) -> int | None:
    about = f"{name} temperature"
    return device.constants.get(
        about, lambda: celsius(device.number(pynvml.nvmlDeviceGetTemperatureThreshold, kind, about=about))
    )


def _persistence(device: Asked) -> bool | None:
    mode = device.number(pynvml.nvmlDeviceGetPersistenceMode)
    return None if mode is None else bool(mode)


def _compute_mode(device: Asked) -> str | None:
    mode = device.number(pynvml.nvmlDeviceGetComputeMode)
    return None if mode is None or mode >= len(_COMPUTE_MODES) else _COMPUTE_MODES[mode]
