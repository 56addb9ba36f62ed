"""Records the last hour and the last day of each GPU, for the curves on the page."""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING, NamedTuple

from genvd.model.identity import device_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genvd.model.device import Device
    from genvd.model.snapshot import Snapshot

SPAN_SECONDS = 3600.0
POINTS = 120
"""Maximum number of points of a curve of the last hour. If there are more collections, each point is their average."""

POINT_SECONDS = SPAN_SECONDS / POINTS

DAY_SECONDS = 86_400.0
DAY_POINTS = 720
"""The same for the last day: a point each two minutes."""

MAX_DEVICES = 128
"""Maximum number of GPUs with curves. This many take 3.7 MiB, with the copy that requests read; eight take 0.4 MiB."""

QUANTITIES = ("utilization", "memory", "temperature", "power")
"""Units: utilization and memory in use as ratios, degrees Celsius, watts."""

Curves = tuple["array[float]", ...]
"""One for each of :data:`QUANTITIES`; NaN is unknown."""

_UNKNOWN = math.nan


class Period(NamedTuple):
    """The time before one collection."""

    times: array[float]
    """Unix time in seconds of the first collection of each point."""
    curves: Mapping[str, Curves]
    """By device key; see :func:`genvd.model.identity.device_keys`."""


EMPTY_PERIOD = Period(array("d"), {})


class History(NamedTuple):
    """What is remembered of the time before one collection."""

    hour: Period = EMPTY_PERIOD
    """Its last point is the average so far."""
    day: Period = EMPTY_PERIOD
    """Complete points only."""


EMPTY_HISTORY = History()


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
    """Records the hour and the day. Not thread-safe, but a returned History never changes."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._hour = _Recorder(SPAN_SECONDS, POINTS)
        self._day = _Recorder(DAY_SECONDS, DAY_POINTS)
        self._last = -math.inf
        self._complete = EMPTY_PERIOD

    def record(self, snapshot: Snapshot) -> History:
        """Add a collection; return the time that ends with it."""
        now = snapshot.timestamp
        if now < self._last:
            self._clear()  # somebody set the clock back; times of a curve must increase
        self._last = now
        devices = (snapshot.devices or ())[:MAX_DEVICES]
        keys = device_keys(devices)
        values = {keys[device.index]: values_of(device) for device in devices}
        known = snapshot.devices is not None
        self._hour.add(now, values, known=known)
        if self._day.add(now, values, known=known):
            self._complete = self._day.copied(complete=True)
        return History(self._hour.copied(), self._complete)


class _Recorder:
    """Records the curves of one span of time."""

    def __init__(self, span: float, points: int) -> None:
        self._span, self._points, self._point_seconds = span, points, span / points
        self._times: array[float] = array("d")
        self._curves: dict[str, Curves] = {}
        self._known: dict[str, list[int]] = {}  # number of known readings in the last point, of each curve

    def add(self, now: float, values: Mapping[str, tuple[float, ...]], *, known: bool) -> bool:
        """Add a collection; return whether it begins a new point.

        Args:
            now: Unix time in seconds.
            values: those of each GPU, by device key.
            known: whether these are all GPUs. The curves of others are then dropped.
        """
        if known:
            self._curves = {key: self._curves.get(key) or self._empty() for key in values}
        begins = not self._times or now // self._point_seconds != self._times[-1] // self._point_seconds
        if begins:
            self._append(now, values)
        else:
            self._average(values)
        self._forget(now)
        return begins

    def copied(self, *, complete: bool = False) -> Period:
        """Return a copy of the curves; of complete points only if wanted."""
        end = len(self._times) - 1 if complete else None
        return Period(
            self._times[:end], {key: tuple(curve[:end] for curve in curves) for key, curves in self._curves.items()}
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
        """Drop points that are too old, and the oldest if there are too many."""
        begin = now - self._span
        old = next((place for place, time in enumerate(self._times) if time > begin), len(self._times))
        old = max(old, len(self._times) - self._points)
        if not old:
            return
        del self._times[:old]
        for curves in self._curves.values():
            for curve in curves:
                del curve[:old]
