"""Clocks, performance state and throttling reasons of a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pynvml

from genvd.collectors.nvml.bounds import within
from genvd.collectors.nvml.errors import value_or_none
from genvd.model.device import Clock, Throttling

if TYPE_CHECKING:
    from genvd.collectors.nvml.fields import Field
    from genvd.collectors.nvml.query import DeviceQuery

_HERTZ_PER_MHZ = 1_000_000
_NANOSECOND = 1e-9

_CLOCKS = {
    "graphics": pynvml.NVML_CLOCK_GRAPHICS,
    "sm": pynvml.NVML_CLOCK_SM,
    "memory": pynvml.NVML_CLOCK_MEM,
    "video": pynvml.NVML_CLOCK_VIDEO,
}

_REASONS = {
    "power_cap": 0x4,
    "hw_slowdown": 0x8,
    "hw_thermal": 0x40,
    "hw_power_brake": 0x80,
    "sw_thermal": 0x20,
    "sync_boost": 0x10,
    "display": 0x100,
    "application_clocks": 0x2,
    "board_limit": 0x200,
    "reliability": 0x400,
}
"""``nvmlClocksEventReason...`` of nvml.h, without 0x1: that the GPU is idle is no throttling."""

_TIME_FIELDS: dict[str, Field] = {
    "power_cap": (74, 0),
    "thermal": (75, 0),
    "sync_boost": (76, 0),
    "board_limit": (77, 0),
    "reliability": (79, 0),
    "sw_thermal": (269, 0),
    "hw_thermal": (270, 0),
    "hw_power_brake": (271, 0),
}
"""The fields with the total nanoseconds of each reason: ``NVML_FI_DEV_PERF_POLICY_...`` and, from 269,
``NVML_FI_DEV_CLOCKS_EVENT_REASON_...`` of nvml.h. Later drivers split the older ``thermal`` into two."""

THROTTLING_FIELDS = tuple(_TIME_FIELDS.values())

_SEPARATE_COUNTERS = "thermal differs from sw_thermal"

_SAME_NANOSECONDS = 100_000_000
"""Two fields of the same counter may differ by the time between their two readings within one call."""

_MAX_PERFORMANCE_STATE = 15
"""``NVML_PSTATE_15``; ``NVML_PSTATE_UNKNOWN`` is 32."""

_MAX_MHZ = 100_000


def read_clocks(device: DeviceQuery) -> tuple[Clock, ...]:
    """Return the clocks that the GPU reports."""
    clocks = (_clock(device, name, kind) for name, kind in _CLOCKS.items())
    return tuple(clock for clock in clocks if clock.hertz is not None or clock.max_hertz is not None)


def _clock(device: DeviceQuery, name: str, kind: int) -> Clock:
    about = f"{name} clock"
    hertz = _hertz(device.call_int(pynvml.nvmlDeviceGetClockInfo, kind, about=about))

    def fetch_maximum() -> int | None:
        return _hertz(device.call_int(pynvml.nvmlDeviceGetMaxClockInfo, kind, about=about)) or None

    return Clock(name, hertz, device.cache.get_or_fetch(about, fetch_maximum))


def _hertz(megahertz: int | None) -> int | None:
    value = within(megahertz, 0, _MAX_MHZ)
    return None if value is None else value * _HERTZ_PER_MHZ


def read_performance_state(device: DeviceQuery) -> int | None:
    """Return the performance state, from 0 (fastest) to 15 (slowest)."""
    return within(device.call_int(pynvml.nvmlDeviceGetPerformanceState), 0, _MAX_PERFORMANCE_STATE)


def read_throttling(device: DeviceQuery, fields: Mapping[Field, int]) -> tuple[Throttling, ...]:
    """Return the throttling reasons that the GPU can report.

    Args:
        device: the GPU.
        fields: its values of :data:`THROTTLING_FIELDS`.
    """
    active = value_or_none(_mask(device, "Current"))
    supported = device.cache.get_or_fetch("throttle reasons", lambda: value_or_none(_mask(device, "Supported")))
    can_report = (active or 0) if supported is None else supported
    nanoseconds = {reason: fields[field] for reason, field in _TIME_FIELDS.items() if field in fields}
    seconds = {reason: value * _NANOSECOND for reason, value in _without_repeated(device, nanoseconds).items()}
    return tuple(
        Throttling(
            reason,
            bool(active & bit) if active is not None and can_report & bit else None,
            seconds.get(reason),
        )
        for reason, bit in {**_REASONS, "thermal": 0}.items()
        if (active is not None and can_report & bit) or reason in seconds
    )


def _without_repeated(device: DeviceQuery, nanoseconds: Mapping[str, int]) -> Mapping[str, int]:
    """Return the times, without ``thermal`` if it is the same counter as ``sw_thermal``.

    nvml.h names ``sw_thermal`` as the successor of ``thermal``, and drivers answer both from one counter. Once the two
    have differed on a GPU, they are taken for separate counters.
    """
    if "thermal" not in nanoseconds or "sw_thermal" not in nanoseconds or device.cache.get(_SEPARATE_COUNTERS):
        return nanoseconds
    if abs(nanoseconds["thermal"] - nanoseconds["sw_thermal"]) > _SAME_NANOSECONDS:
        device.cache.set(_SEPARATE_COUNTERS, True)
        return nanoseconds
    return {reason: value for reason, value in nanoseconds.items() if reason != "thermal"}


def _mask(device: DeviceQuery, which: str) -> int | None:
    """Call the function by its name since driver 535, else by its older name."""
    names = (f"nvmlDeviceGet{which}Clocks{kind}Reasons" for kind in ("Event", "Throttle"))
    mask: int | None = device.call_first(*((getattr(pynvml, name), (device.handle,)) for name in names))
    return mask
