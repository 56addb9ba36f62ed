"""Styles and sort keys that several tables share."""

from __future__ import annotations

from genvd.terminal.style import Style

_BUSY = 0.7
"""From this load on it is shown as high."""

LAST = "\U0010ffff"
"""Sorts behind all names."""


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
