"""Numbers in the units of Grafana, as text and as colours."""

from __future__ import annotations

import math
import time
from typing import Any

Json = dict[str, Any]

COLOURS = {
    "green": "#73bf69",
    "yellow": "#fade2a",
    "orange": "#ff9830",
    "red": "#f2495c",
    "blue": "#5794f2",
    "purple": "#b877d9",
    "text": "#ccccdc",
    "transparent": "transparent",
}
PALETTE = (
    *("#73bf69", "#fade2a", "#8ab8ff", "#ff9830", "#f2495c", "#5794f2", "#b877d9", "#705da0", "#37872d", "#fadb14"),
    *("#c4162a", "#1f60c4", "#8f3bb8", "#96d98d", "#ffee52", "#ffb357", "#ff7383", "#ca95e5", "#3274d9", "#e02f44"),
)
_SUFFIXES = {"percent": "%", "celsius": " °C", "watt": " W", "cps": " c/s"}
_STEPS = {
    "bytes": (1024, ("B", "KiB", "MiB", "GiB", "TiB")),
    "binBps": (1024, ("B/s", "KiB/s", "MiB/s", "GiB/s", "TiB/s")),
    "hertz": (1000, ("Hz", "kHz", "MHz", "GHz")),
}
_TIMES = ((86400, "days"), (3600, "hours"), (60, "mins"))


def text(value: float, unit: str, decimals: int | None = None) -> str:
    """Return a number as Grafana writes it, nearly."""
    if math.isnan(value):
        return "NaN"
    if unit in _STEPS:
        base, names = _STEPS[unit]
        power = 0 if abs(value) < base else min(len(names) - 1, int(math.log(abs(value), base)))
        return f"{_number(value / base**power, decimals)} {names[power]}"
    if unit == "dateTimeFromNow":
        return f"{_seconds(max(0.0, time.time() - value / 1000), 0)} ago"
    if unit == "s":
        return _seconds(value, decimals)
    if unit == "percentunit":
        return f"{_number(100 * value, decimals)}%"
    if unit.startswith("suffix:"):
        return _number(value, decimals) + unit.removeprefix("suffix:")
    return _number(value, decimals) + _SUFFIXES.get(unit, "")


def _number(value: float, decimals: int | None) -> str:
    if decimals is None:
        decimals = 0 if value == int(value) else (1 if abs(value) >= 10 else 2)
    return f"{value:,.{decimals}f}"


def _seconds(value: float, decimals: int | None) -> str:
    for size, name in _TIMES:
        if value >= size:
            return f"{_number(value / size, decimals)} {name if round(value / size, decimals or 0) != 1 else name[:-1]}"
    return f"{_number(value, decimals)} s"


def colour(value: float, thresholds: Json) -> str:
    """Return the colour of the highest threshold that the value reaches."""
    reached = [step["color"] for step in thresholds["steps"] if step["value"] is None or value >= step["value"]]
    return COLOURS.get(reached[-1], reached[-1]) if reached else COLOURS["text"]


def in_words(value: float | str, mappings: list[Json]) -> tuple[str, str] | None:
    """Return text and colour for a value that has them."""
    key = value if isinstance(value, str) else f"{value:g}"
    for mapping in mappings:
        result = mapping["options"].get(key) if mapping["type"] == "value" else None
        if result:
            return result.get("text") or key, COLOURS.get(result.get("color", "text"), COLOURS["text"])
    return None
