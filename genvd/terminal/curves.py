"""The last hour of each GPU, as a line of small bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genvd.analysis.history import POINT_SECONDS, QUANTITIES, SPAN_SECONDS
from genvd.model.identity import device_keys

if TYPE_CHECKING:
    from genvd.analysis.history import Period
    from genvd.model.snapshot import Snapshot

HISTORY_SECONDS = POINT_SECONDS
"""The history has a new point this often, so there is no use in asking for it more often."""

LEVELS = " ▁▂▃▄▅▆▇█"
"""Characters of a curve, from 0 to 1."""

SIMPLE_LEVELS = " ░▒▓█"
"""The same for fonts without the lower blocks, such as that of the Linux console."""

_UNKNOWN = " "
_SHOWN = ("utilization", "memory")
_MAX_POINTS = 10_000


@dataclass(frozen=True, slots=True)
class Curve:
    """The history of a GPU: the Unix time of each point in seconds, and its values from 0 to 1; NaN is unknown."""

    times: Sequence[float]
    utilization: Sequence[float]
    memory: Sequence[float]


Curves = Mapping[int, Curve]
"""By GPU index."""


def curves_of(snapshot: Snapshot, hour: Period) -> Curves:
    """Return the curves of an hour that was recorded in this process."""
    keys = device_keys(snapshot.devices or ())
    places = [QUANTITIES.index(name) for name in _SHOWN]
    return {
        index: Curve(hour.times, *(hour.curves[key][place] for place in places))
        for index, key in keys.items()
        if key in hour.curves
    }


def parse_curves(document: Any) -> Curves:
    """Return the curves in the data of the page, /page/data.json; none if another version wrote it differently."""
    try:
        history = document["history"]
        times = _numbers(history["times"])
        return {
            row["index"]: Curve(times, *(_numbers(curves[name]) for name in _SHOWN))
            for row, curves in zip(document["devices"], history["devices"], strict=True)
            if isinstance(row["index"], int) and all(len(curves.get(name) or ()) == len(times) for name in _SHOWN)
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}


def _numbers(values: Any) -> list[float]:
    return [math.nan if value is None else float(value) for value in values[-_MAX_POINTS:]]


def sparkline(times: Sequence[float], values: Sequence[float], now: float, width: int, levels: str) -> str:
    """Return the hour before ``now`` in this many characters; each is the mean of its time.

    Args:
        times: Unix time of each value in seconds.
        values: from 0 to 1; NaN is unknown.
        now: the end of the hour.
        width: number of characters.
        levels: the characters from 0 to 1.
    """
    sums, counts = [0.0] * width, [0] * width
    for time, value in zip(times, values, strict=False):
        place = int((time - now + SPAN_SECONDS) / SPAN_SECONDS * width)
        place = width - 1 if place == width else place  # a point at this moment
        if 0 <= place < width and not math.isnan(value):
            sums[place] += value
            counts[place] += 1
    return "".join(_level(sums[n] / counts[n], levels) if counts[n] else _UNKNOWN for n in range(width))


def _level(ratio: float, levels: str) -> str:
    """Return the character of a value. Only 0 is empty: a little is shown as the lowest bar."""
    top = len(levels) - 1
    return levels[min(top, max(0, math.ceil(ratio * top - 0.001)))]
