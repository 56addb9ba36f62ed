"""Parses the times that users give to ``report --since`` and ``--until``."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from genvd.config.values import SECONDS, parse_units

EXPECTED = (
    "expected how long ago (7d, 12h), a day (today, yesterday, 2026-11-23) or a time (2026-11-23T08:00,"
    " 2026-11-23T08:00+01:00)"
)
_MAX_SECONDS = 100 * 366 * 86400
_UNITS = {**SECONDS, "w": 7 * SECONDS["d"]}


def parse_time(text: str, now: datetime) -> datetime:
    """Return the time that the text means. Without a time zone it is local time; a day means its beginning.

    Args:
        text: the user's input.
        now: the current time, with a time zone.

    Raises:
        ValueError: the text has none of the expected forms.
    """
    text = text.strip()
    today = now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    if text == "now":
        return now
    if text in ("today", "yesterday"):
        return (today - timedelta(days=text == "yesterday")).astimezone()
    try:
        seconds = parse_units(text, _UNITS)
    except ValueError:
        return _parse_iso(text)
    if seconds > _MAX_SECONDS:
        raise ValueError(EXPECTED)
    return now - timedelta(seconds=seconds)


def _parse_iso(text: str) -> datetime:
    # fromisoformat() of Python 3.10 rejects Z, and later ones accept dates without dashes: allow one form everywhere.
    if not re.fullmatch(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:?[0-9]{2})?)?", text
    ):
        raise ValueError(EXPECTED)
    text = re.sub(r"([+-][0-9]{2})([0-9]{2})$", r"\1:\2", text.replace("Z", "+00:00")) if len(text) > 10 else text
    try:
        parsed = datetime.fromisoformat(text)
        return parsed if parsed.tzinfo else parsed.astimezone()
    except (ValueError, OverflowError, OSError):  # no such day, or a year that has no Unix time
        raise ValueError(EXPECTED) from None
