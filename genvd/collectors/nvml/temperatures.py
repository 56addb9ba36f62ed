"""The temperature thresholds of a GPU. They do not change while the driver is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pynvml

from genvd.collectors.nvml.bounds import celsius
from genvd.collectors.nvml.fields import supported_values
from genvd.model.device import Threshold

if TYPE_CHECKING:
    from genvd.collectors.nvml.fields import Field
    from genvd.collectors.nvml.query import DeviceQuery

_THRESHOLDS = {"shutdown": 0, "slowdown": 1, "memory_max": 2, "gpu_max": 3}
"""``nvmlTemperatureThresholds_t``."""

_MARGINS: dict[str, Field] = {"shutdown": (193, 0), "slowdown": (194, 0), "memory_max": (195, 0), "gpu_max": (196, 0)}
"""``NVML_FI_DEV_TEMPERATURE_..._TLIMIT``."""


def read_thresholds(device: DeviceQuery) -> tuple[Threshold, ...]:
    """Return the thresholds as temperatures. NVML deprecates these for Ada and later GPUs."""
    values = ((name, _threshold(device, name, kind)) for name, kind in _THRESHOLDS.items())
    return tuple(Threshold(name, celsius) for name, celsius in values if celsius is not None)


def _threshold(device: DeviceQuery, name: str, kind: int) -> int | None:
    about = f"{name} temperature"
    return device.cache.get_or_fetch(
        about, lambda: celsius(device.call_int(pynvml.nvmlDeviceGetTemperatureThreshold, kind, about=about))
    )


def read_margin_thresholds(device: DeviceQuery) -> tuple[Threshold, ...]:
    """Return the thresholds of Ada and later as margins (T.Limit), which are 0 or negative.

    Each field is read until the GPU returns it or reports it as unsupported.
    """
    thresholds = device.cache.get_or_fetch("margin thresholds", dict[str, int])
    if thresholds is None:
        return ()
    missing = {name: field for name, field in _MARGINS.items() if name not in thresholds}
    if missing:
        values = supported_values(device, missing.values(), "margin thresholds")
        found = {name: celsius(values.get(field)) for name, field in missing.items()}
        thresholds.update((name, value) for name, value in found.items() if value is not None)
    return tuple(Threshold(name, thresholds[name]) for name in _MARGINS if name in thresholds)
