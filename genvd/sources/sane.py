"""What the values of a device can be. Drivers have been seen to return others, and nonsense is worse than nothing."""

from __future__ import annotations

from typing import TypeVar

N = TypeVar("N", int, float)

_COLDEST, _HOTTEST = -100, 250
_MOST_PERCENT = 100
_MOST_WATTS = 100_000
"""A hundred kilowatts: more than a rack draws for each of its devices."""


def within(value: N | None, least: float, most: float) -> N | None:
    """Return the value, or None where it cannot be."""
    return value if value is not None and least <= value <= most else None


def celsius(value: int | None) -> int | None:
    """Return a temperature."""
    return within(value, _COLDEST, _HOTTEST)


def percentage(value: int | None, most: int = _MOST_PERCENT) -> int | None:
    """Return a share of 100."""
    return within(value, 0, most)


def ratio(percent: int | None, most: int = _MOST_PERCENT) -> float | None:
    """Return a share of 1 instead of 100."""
    value = percentage(percent, most)
    return None if value is None else value / 100


def watts(value: float | None) -> float | None:
    """Return a power."""
    return within(value, 0, _MOST_WATTS)


def part_of(part: int | None, whole: int | None) -> int | None:
    """Return bytes that are some of others, or None where they are more; nothing has no part."""
    return None if part is None or whole == 0 or (whole is not None and part > whole) else part
