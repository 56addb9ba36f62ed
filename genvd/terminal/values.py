"""How values are written, styled and sorted in the tables, and when they are too old. An unknown value is a dash."""

from __future__ import annotations

from genvd.overview.summary import duration_text
from genvd.terminal.style import Style

UNKNOWN = "-"

_GIB = 2**30

_STALE_INTERVALS, _STALE_SECONDS = 3, 5
"""Data is stale if it is older than this many intervals plus this many seconds."""

_BUSY = 0.7
"""From this load on it is shown as high."""

LAST = "\U0010ffff"
"""Sorts behind all names."""


def gib(value: int | None) -> str:
    """Format bytes in GiB."""
    return UNKNOWN if value is None else f"{value / _GIB:.1f}"


def percent(ratio: float | None) -> str:
    """Format a ratio in percent."""
    return UNKNOWN if ratio is None else f"{ratio * 100:.0f}%"


def integer(value: float | None) -> str:
    """Format a number, rounded to an integer."""
    return UNKNOWN if value is None else f"{value:.0f}"


def hours(seconds: float | None) -> str:
    """Format a duration in hours, with fewer decimals the more there are."""
    if seconds is None:
        return UNKNOWN
    value = seconds / 3600
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def numbers(values: tuple[int, ...]) -> str:
    """Format a list of numbers, such as GPU indices."""
    return ",".join(map(str, values)) or UNKNOWN


def duration(seconds: float | None) -> str:
    """Format a duration with one or two units."""
    return UNKNOWN if seconds is None else duration_text(seconds)


def count(number: int, one: str, many: str) -> str:
    """Format the number of things, such as ``2 users``."""
    return f"{number} {one if number == 1 else many}"


def is_stale(collected: float, interval_seconds: float | None, now: float) -> bool:
    """Return whether data is too old.

    Args:
        collected: Unix time of the collection in seconds.
        interval_seconds: time between two collections; None if it is not known.
        now: Unix time in seconds.
    """
    return now - collected > _STALE_INTERVALS * (interval_seconds or 0) + _STALE_SECONDS


def load_style(ratio: float | None) -> Style:
    """Return the style of a load from 0 to 1."""
    if not ratio:
        return Style.DIM
    return Style.HIGH_LOAD if ratio >= _BUSY else Style.LOW_LOAD


def warn_if(wrong: bool) -> Style:
    """Return the style of a value that may be wrong."""
    return Style.WARNING if wrong else Style.PLAIN


def largest_first(value: float | None) -> float:
    """Return a sort key; what is not known comes last. Values are not negative."""
    return 1.0 if value is None else -value


def oldest_first(moment: float | None) -> float:
    """Return a sort key; what is not known comes last."""
    return float("inf") if moment is None else moment
