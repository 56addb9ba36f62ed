"""What the values of a device can be, of those that NVML gives: it has numbers of its own for what is not known."""

from __future__ import annotations

import math

from genvd.sources import sane
from genvd.sources.nvml.errors import known

_SIGN = 2**31
_BEYOND = 2**64
"""What no integer of NVML holds; its way to say that there is none becomes this as a double."""

_MOST_PERCENT = 100

MILLI = 1e-3
"""NVML counts milliwatts and millijoules."""


def whole(value: float | None) -> int | None:
    """Return a number as NVML means all that it counts and measures; None where it is none, or has no end."""
    if value is None or not math.isfinite(value) or abs(value) >= _BEYOND:
        return None
    return known(int(value))


def celsius(value: float | None) -> int | None:
    """Return a temperature: NVML's older calls give what is below 0 as an unsigned number of 32 bits."""
    number = whole(value)
    if number is not None and _SIGN <= number < 2 * _SIGN:
        number -= 2 * _SIGN
    return sane.celsius(number)


def ratio(percent: int | None, most: int = _MOST_PERCENT) -> float | None:
    """Return a share of 1 instead of 100."""
    return sane.ratio(known(percent), most)


def percentage(value: int | None, most: int = _MOST_PERCENT) -> int | None:
    """Return a share of 100."""
    return sane.percentage(known(value), most)


def watts(milliwatts: float | None) -> float | None:
    """Return a power."""
    value = whole(milliwatts)
    return None if value is None else sane.watts(value * MILLI)


def part_of(part: int | None, whole: int | None) -> int | None:
    """Return bytes that are some of others, or None where they are more; nothing has no part."""
    return sane.part_of(known(part), known(whole))
