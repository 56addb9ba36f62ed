"""What the values of a GPU can be: what NVML says instead of *not known* is None, and so is what cannot be.

Drivers have been seen to return impossible values, and nonsense is worse than nothing.
"""

from __future__ import annotations

import math
from typing import TypeVar

from genvd.collectors.nvml.errors import value_or_none

N = TypeVar("N", int, float)

_SIGN = 2**31
_INTEGER_LIMIT = 2**64
"""What no integer of NVML holds; its way to say that there is none becomes this as a double."""

_MIN_CELSIUS, _MAX_CELSIUS = -100, 250
_MAX_PERCENT = 100
_MAX_WATTS = 100_000
"""A hundred kilowatts: more than a rack draws for each of its GPUs."""

MILLI = 1e-3
"""NVML counts milliwatts and millijoules."""


def within(value: N | None, least: float, most: float) -> N | None:
    """Return the value, or None where it cannot be."""
    return value if value is not None and least <= value <= most else None


def integer(value: float | None) -> int | None:
    """Return a number as NVML means all that it counts and measures; None where it is none, or has no end."""
    if value is None or not math.isfinite(value) or abs(value) >= _INTEGER_LIMIT:
        return None
    return value_or_none(int(value))


def celsius(value: float | None) -> int | None:
    """Return a temperature: NVML's older calls give what is below 0 as an unsigned number of 32 bits."""
    number = integer(value)
    if number is not None and _SIGN <= number < 2 * _SIGN:
        number -= 2 * _SIGN
    return within(number, _MIN_CELSIUS, _MAX_CELSIUS)


def percentage(value: int | None, most: int = _MAX_PERCENT) -> int | None:
    """Return a share of 100."""
    return within(value_or_none(value), 0, most)


def ratio(percent: int | None, most: int = _MAX_PERCENT) -> float | None:
    """Return a share of 1 instead of 100."""
    value = percentage(percent, most)
    return None if value is None else value / 100


def watts(milliwatts: float | None) -> float | None:
    """Return a power."""
    value = integer(milliwatts)
    return None if value is None else within(value * MILLI, 0, _MAX_WATTS)


def part_of(part: int | None, total: int | None) -> int | None:
    """Return bytes that are some of others, or None where they are more; nothing has no part."""
    part, total = value_or_none(part), value_or_none(total)
    return None if part is None or total == 0 or (total is not None and part > total) else part
