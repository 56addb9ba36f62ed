"""The details of a GPU: power, clocks, fans, temperatures, video engines, PCI Express link."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pynvml

from genvd.collectors.nvml.bounds import celsius, joules, ratio, watts, within
from genvd.collectors.nvml.clocks import THROTTLING_FIELDS, read_clocks, read_performance_state, read_throttling
from genvd.collectors.nvml.errors import value_or_none
from genvd.collectors.nvml.extra_calls import fan_rpm, margin_temperature
from genvd.collectors.nvml.fields import supported_values
from genvd.collectors.nvml.memory import read_bar1
from genvd.model.device import DeviceDetails, Fan, Sessions

if TYPE_CHECKING:
    from genvd.collectors.nvml.fields import Field
    from genvd.collectors.nvml.query import DeviceQuery

_MEMORY_TEMPERATURE = (82, 0)
"""``NVML_FI_DEV_MEMORY_TEMP``."""

_POWER_INSTANT = (186, 0)
_MODULE_POWER, _MODULE_POWER_AVERAGE = (186, 1), (185, 1)
_MEMORY_POWER, _MEMORY_POWER_AVERAGE = (186, 2), (185, 2)
"""``NVML_FI_DEV_POWER_...`` by ``NVML_POWER_SCOPE_...``: of the GPU, its module and its memory."""

_FIELDS: tuple[Field, ...] = (
    _MEMORY_TEMPERATURE,
    *THROTTLING_FIELDS,
    *(_POWER_INSTANT, _MODULE_POWER, _MODULE_POWER_AVERAGE, _MEMORY_POWER, _MEMORY_POWER_AVERAGE),
)

_MICRO = 1e-6
"""NVML reports microseconds."""

_MAX_SESSIONS = 10_000

_MAX_FANS = 16
"""Of one GPU; current models have at most 4."""

_MAX_FAN_PERCENT = 200
"""The target speed of a fan may exceed 100 percent (nvml.h)."""

_MAX_RPM = 100_000
"""The fastest fans, in blade servers, stay below 40,000."""

_MAX_GENERATION, _MAX_LANES = 15, 64
"""Of PCI Express."""


def read_details(device: DeviceQuery, settings: DeviceDetails) -> DeviceDetails:
    """Return the details that the GPU reports.

    Args:
        device: the GPU.
        settings: those that hardly change, as :func:`genvd.collectors.nvml.settings.read_settings` returned them.
    """
    get, fields = device.cache.get_or_fetch, supported_values(device, _FIELDS, "details")
    bar1 = read_bar1(device)
    return settings._replace(
        power_watts=watts(device.call_int(pynvml.nvmlDeviceGetPowerUsage)),
        power_instant_watts=watts(fields.get(_POWER_INSTANT)),
        module_power_watts=watts(fields.get(_MODULE_POWER, fields.get(_MODULE_POWER_AVERAGE))),
        memory_power_watts=watts(fields.get(_MEMORY_POWER, fields.get(_MEMORY_POWER_AVERAGE))),
        energy_joules=joules(device.call_int(pynvml.nvmlDeviceGetTotalEnergyConsumption)),
        clocks=read_clocks(device),
        throttling=read_throttling(device, fields),
        performance_state=read_performance_state(device),
        fans=_fans(device),
        # Some GPUs without the sensor report 0.
        memory_temperature_celsius=celsius(fields.get(_MEMORY_TEMPERATURE)) or None,
        temperature_margin_celsius=celsius(device.call(margin_temperature)),
        encoder_sessions=_encoder_sessions(device),
        capture_sessions=_capture_sessions(device),
        encoder_utilization_ratio=_engine(device, pynvml.nvmlDeviceGetEncoderUtilization),
        decoder_utilization_ratio=_engine(device, pynvml.nvmlDeviceGetDecoderUtilization),
        jpeg_utilization_ratio=_engine(device, pynvml.nvmlDeviceGetJpgUtilization),
        ofa_utilization_ratio=_engine(device, pynvml.nvmlDeviceGetOfaUtilization),
        bar1_used_bytes=bar1.used,
        bar1_total_bytes=bar1.total,
        pcie_generation=_generation(device, pynvml.nvmlDeviceGetCurrPcieLinkGeneration),
        pcie_width=_lanes(device, pynvml.nvmlDeviceGetCurrPcieLinkWidth),
        pcie_generation_max=get(
            "PCIe generation", lambda: _generation(device, pynvml.nvmlDeviceGetMaxPcieLinkGeneration)
        ),
        pcie_width_max=get("PCIe width", lambda: _lanes(device, pynvml.nvmlDeviceGetMaxPcieLinkWidth)),
    )


def _engine(device: DeviceQuery, call: Any) -> float | None:
    """Return the share of time in which an engine was busy. The call returns it with its sampling period."""
    result = device.call(call)
    return ratio(result[0]) if result else None


def _encoder_sessions(device: DeviceQuery) -> Sessions:
    return _sessions(*(device.call(pynvml.nvmlDeviceGetEncoderStats) or (None, None, None)))


def _capture_sessions(device: DeviceQuery) -> Sessions:
    stats = device.call(pynvml.nvmlDeviceGetFBCStats)
    return _sessions(stats.sessionsCount, stats.averageFPS, stats.averageLatency) if stats else Sessions()


def _sessions(count: int | None, frames: int | None, microseconds: int | None) -> Sessions:
    count = within(value_or_none(count), 0, _MAX_SESSIONS)
    if not count:  # without sessions there is no mean
        return Sessions(count)
    latency = value_or_none(microseconds)
    return Sessions(count, value_or_none(frames), None if latency is None else latency * _MICRO)


def _generation(device: DeviceQuery, call: Any) -> int | None:
    return within(device.call_int(call), 1, _MAX_GENERATION)


def _lanes(device: DeviceQuery, call: Any) -> int | None:
    return within(device.call_int(call), 1, _MAX_LANES)


def _fans(device: DeviceQuery) -> tuple[Fan, ...]:
    count = device.call_int(pynvml.nvmlDeviceGetNumFans)
    if count is None:  # drivers before 465 report one fan and no count
        speeds = {0: device.call_int(pynvml.nvmlDeviceGetFanSpeed)}
    else:
        speeds = {
            number: device.call_int(pynvml.nvmlDeviceGetFanSpeed_v2, number, about=f"fan {number}")
            for number in range(min(count, _MAX_FANS))
        }
    fans = (Fan(number, ratio(speed, _MAX_FAN_PERCENT), _rpm(device, number)) for number, speed in speeds.items())
    return tuple(fan for fan in fans if fan.speed_ratio is not None or fan.rpm is not None)


def _rpm(device: DeviceQuery, fan: int) -> int | None:
    return within(device.call_int(fan_rpm, fan, about=f"fan {fan}"), 0, _MAX_RPM)
