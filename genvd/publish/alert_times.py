"""Puts the times of the section ``alerts`` into the published alert rules.

In the rule files, ``# alerts.idle_after`` at the end of a line says that the line has the default of this key: as a
duration of Prometheus (``2h``), as seconds (``7200``) or in words (``2 hours``). So these files are valid rules, and
the published ones say which key changes a time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from genvd.config.schema import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARKED = re.compile(r"^(.*\S)(  # (alerts|notify)\.(\w+))$", re.MULTILINE)
"""Matches a line with a time: its text, the comment, and the section and key that the comment names."""

_DEFAULTS = Config()

_UNITS = (("d", "day", 86_400_000), ("h", "hour", 3_600_000), ("m", "minute", 60_000), ("s", "second", 1000))
"""Units of Prometheus, in words, in milliseconds."""


def with_times(rules: str, config: Config) -> str:
    """Return the text of a rule file with the times of a configuration."""
    return _MARKED.sub(lambda match: _line(match[1], f"{match[3]}_{match[4]}", config) + match[2], rules)


def _line(text: str, field: str, config: Config) -> str:
    """Return a line in which the default of a field is replaced by its value, if that is another one.

    Raises:
        ValueError: the line does not have the default.
    """
    if getattr(config, field) == getattr(_DEFAULTS, field):
        return text
    for old, new in zip(_forms(getattr(_DEFAULTS, field)), _forms(getattr(config, field)), strict=True):
        parts = re.split(rf"(?<![\w.]){re.escape(old)}(?!\w|[.]\d)", text)
        if len(parts) == 2:
            return new.join(parts)
    raise ValueError(f"a rule does not have the default of {field} once: {text.strip()}")


def _forms(seconds: float) -> tuple[str, str, str]:
    """Return seconds in all forms, the longest first."""
    return in_words(seconds), duration(seconds), f"{seconds:.3f}".rstrip("0").rstrip(".")


def duration(seconds: float) -> str:
    """Return seconds as a duration of Prometheus and Alertmanager, such as ``1h30m``, which has whole milliseconds."""
    return "".join(f"{count}{unit}" for unit, _, count in _parts(seconds)) or "0s"


def in_words(seconds: float) -> str:
    """Return seconds in words, such as "1 hour and 30 minutes"."""
    *names, last = [f"{count} {word}{'' if count == 1 else 's'}" for _, word, count in _parts(seconds)] or ["0 seconds"]
    return f"{', '.join(names)} and {last}" if names else last


def _parts(seconds: float) -> Iterator[tuple[str, str, int]]:
    """Yield the units of which there are any, with their names and numbers."""
    rest = round(seconds * 1000)
    for unit, word, milliseconds in (*_UNITS, ("ms", "millisecond", 1)):
        count, rest = divmod(rest, milliseconds)
        if count:
            yield unit, word, count
