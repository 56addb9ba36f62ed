"""How fast a device runs, and why not faster."""

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
"""``nvmlClocksEventReason...`` of nvml.h. Without 0x1: an idle device has no reason to run fast."""

_SECONDS: dict[str, Field] = {
    "power_cap": (74, 0),
    "thermal": (75, 0),
    "sync_boost": (76, 0),
    "board_limit": (77, 0),
    "reliability": (79, 0),
    "sw_thermal": (269, 0),
    "hw_thermal": (270, 0),
    "hw_power_brake": (271, 0),
}
"""``NVML_FI_DEV_PERF_POLICY_...`` and, from 269, ``NVML_FI_DEV_CLOCKS_EVENT_REASON_...`` of nvml.h: nanoseconds. What
the older ``thermal`` counts, later drivers tell apart."""

THROTTLING_FIELDS = tuple(_SECONDS.values())

_TWO_COUNTERS = "thermal beside sw_thermal"

_SAME_NANOSECONDS = 100_000_000
"""Two fields that are one counter may differ by the time between their readings, in one call."""

_MAX_PERFORMANCE_STATE = 15
"""``NVML_PSTATE_15``; one that is not known is 32."""

_MAX_MHZ = 100_000


def read_clocks(device: DeviceQuery) -> tuple[Clock, ...]:
    """Return the clocks that the device has."""
    told = (_clock(device, name, kind) for name, kind in _CLOCKS.items())
    return tuple(clock for clock in told if clock.hertz is not None or clock.max_hertz is not None)


def _clock(device: DeviceQuery, name: str, kind: int) -> Clock:
    about = f"{name} clock"
    hertz = _hertz(device.call_int(pynvml.nvmlDeviceGetClockInfo, kind, about=about))

    def ask_maximum() -> int | None:
        return _hertz(device.call_int(pynvml.nvmlDeviceGetMaxClockInfo, kind, about=about)) or None

    return Clock(name, hertz, device.cache.get_or_fetch(about, ask_maximum))


def _hertz(megahertz: int | None) -> int | None:
    value = within(megahertz, 0, _MAX_MHZ)
    return None if value is None else value * _HERTZ_PER_MHZ


def read_performance_state(device: DeviceQuery) -> int | None:
    """Return 0 for the fastest state to 15 for the slowest."""
    return within(device.call_int(pynvml.nvmlDeviceGetPerformanceState), 0, _MAX_PERFORMANCE_STATE)


def read_throttling(device: DeviceQuery, fields: Mapping[Field, int]) -> tuple[Throttling, ...]:
    """Return the reasons for low clocks that the device can report.

    Args:
        device: the device.
        fields: its values of :data:`THROTTLING_FIELDS`.
    """
    active = value_or_none(_mask(device, "Current"))
    supported = device.cache.get_or_fetch("throttle reasons", lambda: value_or_none(_mask(device, "Supported")))
    can_report = (active or 0) if supported is None else supported  # what is active now, it can at least report
    nanoseconds = {reason: fields[field] for reason, field in _SECONDS.items() if field in fields}
    seconds = {reason: value * _NANOSECOND for reason, value in _each_once(device, nanoseconds).items()}
    return tuple(
        Throttling(
            reason,
            bool(active & bit) if active is not None and can_report & bit else None,
            seconds.get(reason),
        )
        for reason, bit in {**_REASONS, "thermal": 0}.items()
        if (active is not None and can_report & bit) or reason in seconds
    )


def _each_once(device: DeviceQuery, nanoseconds: Mapping[str, int]) -> Mapping[str, int]:
    """Return the times without ``thermal`` where it repeats ``sw_thermal``.

    nvml.h names the second field as the successor of the first, and drivers answer both from one counter. Where the two
    were once apart, they are two.
    """
    if "thermal" not in nanoseconds or "sw_thermal" not in nanoseconds or device.cache.get(_TWO_COUNTERS):
        return nanoseconds
    if abs(nanoseconds["thermal"] - nanoseconds["sw_thermal"]) > _SAME_NANOSECONDS:
        device.cache.set(_TWO_COUNTERS, True)
        return nanoseconds
    return {reason: value for reason, value in nanoseconds.items() if reason != "thermal"}


def _mask(device: DeviceQuery, which: str) -> int | None:
    """Ask by the name that the call has had since driver 535, then by its older one."""
    names = (f"nvmlDeviceGet{which}Clocks{kind}Reasons" for kind in ("Event", "Throttle"))
    mask: int | None = device.call_first(*((getattr(pynvml, name), (device.handle,)) for name in names))
    return mask
