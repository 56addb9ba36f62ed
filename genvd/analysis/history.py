"""Records the last hour of each GPU, for the small curves on the page."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genvd.model.identity import device_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genvd.model.device import Device
    from genvd.model.snapshot import Snapshot

SPAN_SECONDS = 3600.0
POINTS = 120
"""Maximum number of points of a curve. If there are more collections, each point is their average."""

POINT_SECONDS = SPAN_SECONDS / POINTS

MAX_DEVICES = 128
"""Maximum number of GPUs with curves. This many take 240 KiB, and the same again for the copy that requests read."""

QUANTITIES = ("utilization", "memory", "temperature", "power")
"""Units: utilization and memory in use as ratios, degrees Celsius, watts."""

Curves = tuple["array[float]", ...]
"""One for each of :data:`QUANTITIES`; NaN is unknown."""

_UNKNOWN = math.nan


@dataclass(frozen=True, slots=True)
class History:
    """The hour before one collection."""

    times: array[float]
    """Unix time in seconds of the first collection of each point."""
    curves: Mapping[str, Curves]
    """By device key; see :func:`genvd.model.identity.device_keys`."""


EMPTY_HISTORY = History(array("d"), {})


def values_of(device: Device) -> tuple[float, ...]:
    """Return the current value of each of :data:`QUANTITIES`; NaN is unknown."""
    used, total, percent = device.memory_used_bytes, device.memory_total_bytes, device.utilization_percent
    values = (
        None if percent is None else percent / 100,
        used / total if used is not None and total else None,
        device.temperature_celsius,
        device.details.power_watts,
    )
    return tuple(_UNKNOWN if value is None else float(value) for value in values)


class HistoryRecorder:
    """Records a point each half minute. Not thread-safe, but a returned History never changes."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._times: array[float] = array("d")
        self._curves: dict[str, Curves] = {}
        self._known: dict[str, list[int]] = {}  # number of known readings in the last point, of each curve

    def record(self, snapshot: Snapshot) -> History:
        """Add a collection; return the hour that ends with it."""
        now = snapshot.timestamp
        if self._times and now < self._times[-1]:
            self._clear()  # somebody set the clock back; times of a curve must increase
        devices = (snapshot.devices or ())[:MAX_DEVICES]
        keys = device_keys(devices)
        values = {keys[device.index]: values_of(device) for device in devices}
        if snapshot.devices is not None:
            self._curves = {key: self._curves.get(key) or self._empty() for key in values}
        if self._times and now // POINT_SECONDS == self._times[-1] // POINT_SECONDS:
            self._average(values)
        else:
            self._append(now, values)
        self._forget(now)
        return History(
            self._times[:], {key: tuple(curve[:] for curve in curves) for key, curves in self._curves.items()}
        )

    def _empty(self) -> Curves:
        return tuple(array("f", [_UNKNOWN]) * len(self._times) for _ in QUANTITIES)

    def _append(self, now: float, values: Mapping[str, tuple[float, ...]]) -> None:
        self._times.append(now)
        self._known.clear()
        unknown = (_UNKNOWN,) * len(QUANTITIES)
        for key, curves in self._curves.items():
            for curve, value in zip(curves, values.get(key, unknown), strict=True):
                curve.append(value)

    def _average(self, values: Mapping[str, tuple[float, ...]]) -> None:
        for key, new_values in values.items():
            known = self._known.setdefault(key, [1] * len(QUANTITIES))
            for number, (curve, value) in enumerate(zip(self._curves[key], new_values, strict=True)):
                if not math.isnan(value):
                    previous = curve[-1]
                    known[number] = 1 if math.isnan(previous) else known[number] + 1
                    curve[-1] = value if math.isnan(previous) else previous + (value - previous) / known[number]

    def _forget(self, now: float) -> None:
        """Drop points that are older than an hour, and the oldest if there are too many."""
        old = sum(1 for time in self._times if time <= now - SPAN_SECONDS)
        old = max(old, len(self._times) - POINTS)
        del self._times[:old]
        for curves in self._curves.values():
            for curve in curves:
                del curve[:old]
