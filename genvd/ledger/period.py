"""From when and until when, as people say it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from genvd.config.values import SECONDS, parse_units

EXPECTED = (
    "expected how long ago (7d, 12h), a day (today, yesterday, 2026-11-23) or a time (2026-11-23T08:00,"
    " 2026-11-23T08:00+01:00)"
)
_MOST_SECONDS = 100 * 366 * 86400
_UNITS = {**SECONDS, "w": 7 * SECONDS["d"]}


def parse_moment(text: str, now: datetime) -> datetime:
    """Return a moment as people write it. Without a zone, local time is meant; a day is its beginning.

    Args:
        text: what they wrote.
        now: the present, with a zone.

    Raises:
        ValueError: it is none of that.
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
        return _written_out(text)
    if seconds > _MOST_SECONDS:
        raise ValueError(EXPECTED)
    return now - timedelta(seconds=seconds)


def _written_out(text: str) -> datetime:
    # Python 3.10 knows no Z; a number alone would be a date without dashes to later ones.
    if not re.fullmatch(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:?[0-9]{2})?)?", text
    ):
        raise ValueError(EXPECTED)
    text = re.sub(r"([+-][0-9]{2})([0-9]{2})$", r"\1:\2", text.replace("Z", "+00:00")) if len(text) > 10 else text
    try:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.astimezone()
    except (ValueError, OverflowError, OSError):  # no such day, or before anything that a clock can say
        raise ValueError(EXPECTED) from None
