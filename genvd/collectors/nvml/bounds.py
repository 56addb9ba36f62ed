"""Bounds for the values of a GPU. Placeholders for *not available* and impossible values become None.

Some drivers return impossible values, and a wrong value is worse than none.
"""

from __future__ import annotations

import math
from typing import TypeVar

from genvd.collectors.nvml.errors import value_or_none

N = TypeVar("N", int, float)

_SIGN = 2**31
_INTEGER_LIMIT = 2**64
"""Larger than any integer of NVML. NVML's placeholder for *not available* becomes this when read as a double."""

_MIN_CELSIUS, _MAX_CELSIUS = -100, 250
_MAX_PERCENT = 100
_MAX_WATTS = 100_000
"""More than a whole rack draws."""

_MILLI = 1e-3
"""NVML reports milliwatts and millijoules."""


def within(value: N | None, minimum: float, maximum: float) -> N | None:
    """Return the value, or None if it is out of bounds."""
    return value if value is not None and minimum <= value <= maximum else None


def integer(value: float | None) -> int | None:
    """Return the value as an integer, or None if it is not available or not finite."""
    if value is None or not math.isfinite(value) or abs(value) >= _INTEGER_LIMIT:
        return None
    return value_or_none(int(value))


def celsius(value: float | None) -> int | None:
    """Return a temperature. NVML's older calls return values below 0 as unsigned 32-bit numbers."""
    number = integer(value)
    if number is not None and _SIGN <= number < 2 * _SIGN:
        number -= 2 * _SIGN
    return within(number, _MIN_CELSIUS, _MAX_CELSIUS)


def percentage(value: int | None, maximum: int = _MAX_PERCENT) -> int | None:
    """Return a percentage."""
    return within(value_or_none(value), 0, maximum)


def ratio(percent: int | None, maximum: int = _MAX_PERCENT) -> float | None:
    """Return a percentage as a ratio from 0 to 1."""
    value = percentage(percent, maximum)
    return None if value is None else value / 100


def watts(milliwatts: float | None) -> float | None:
    """Return a power in watts."""
    value = integer(milliwatts)
    return None if value is None else within(value * _MILLI, 0, _MAX_WATTS)


def flag(value: int | None) -> bool | None:
    """Return a flag, or None if it is not available."""
    value = value_or_none(value)
    return None if value is None else bool(value)


def joules(millijoules: int | None) -> float | None:
    """Return an energy in joules."""
    return None if millijoules is None else millijoules * _MILLI


def part_of(part: int | None, total: int | None) -> int | None:
    """Return the bytes that are a part of a total, or None if they exceed the total or the total is 0."""
    part, total = value_or_none(part), value_or_none(total)
    return None if part is None or total == 0 or (total is not None and part > total) else part
