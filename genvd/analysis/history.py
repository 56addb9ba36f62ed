"""What the devices did in the last hour, for the small curves on the page; bounded, whatever the interval."""

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
"""Of each curve at the most. Collections that come more often than the points are averaged."""

POINT_SECONDS = SPAN_SECONDS / POINTS

MAX_DEVICES = 128
"""That have curves. With all of them it is 240 KiB, and as much again for the copy that requests read."""

QUANTITIES = ("utilization", "memory", "temperature", "power")
"""Of a device: its utilisation and the share of its memory in use, 0 to 1, degrees Celsius, and watts."""

Curves = tuple["array[float]", ...]
"""One for each of :data:`QUANTITIES`, NaN where it is not known."""

_UNKNOWN = math.nan


@dataclass(frozen=True, slots=True)
class History:
    """The last hour as it was after one tick."""

    times: array[float]
    """Unix time in seconds of the first collection of each point."""
    curves: Mapping[str, Curves]
    """By device: see :func:`genvd.model.identity.device_keys`."""


EMPTY_HISTORY = History(array("d"), {})


def values_of(device: Device) -> tuple[float, ...]:
    """Return each of :data:`QUANTITIES` as it is now, NaN where it is not known."""
    used, total, percent = device.memory_used_bytes, device.memory_total_bytes, device.utilization_percent
    told = (
        None if percent is None else percent / 100,
        used / total if used is not None and total else None,
        device.temperature_celsius,
        device.details.power_watts,
    )
    return tuple(_UNKNOWN if value is None else float(value) for value in told)


class HistoryRecorder:
    """The last hour, a point for each half minute. One thread feeds it; what it returns is for all."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._times: array[float] = array("d")
        self._curves: dict[str, Curves] = {}
        self._known: dict[str, list[int]] = {}  # readings in the last point that told something, of each curve

    def record(self, snapshot: Snapshot) -> History:
        """Take a collection in, and return the hour that ends with it."""
        now = snapshot.timestamp
        if self._times and now < self._times[-1]:
            self._begin()  # the clock was set back, and no curve goes back in time
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
        nothing = (_UNKNOWN,) * len(QUANTITIES)
        for key, curves in self._curves.items():
            for curve, value in zip(curves, values.get(key, nothing), strict=True):
                curve.append(value)

    def _average(self, values: Mapping[str, tuple[float, ...]]) -> None:
        for key, news in values.items():
            known = self._known.setdefault(key, [1] * len(QUANTITIES))
            for number, (curve, value) in enumerate(zip(self._curves[key], news, strict=True)):
                if not math.isnan(value):
                    before = curve[-1]
                    known[number] = 1 if math.isnan(before) else known[number] + 1
                    curve[-1] = value if math.isnan(before) else before + (value - before) / known[number]

    def _forget(self, now: float) -> None:
        """Drop what is older than an hour, or more than there may be."""
        old = sum(1 for time in self._times if time <= now - SPAN_SECONDS)
        old = max(old, len(self._times) - POINTS)
        del self._times[:old]
        for curves in self._curves.values():
            for curve in curves:
                del curve[:old]
