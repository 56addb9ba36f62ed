"""Writes the configuration as a monitor.yaml: the one in use, or the commented sample with the defaults."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from genvd.config.schema import SECTIONS, Config, settings

if TYPE_CHECKING:
    from genvd.config.values import Kind

_PLAIN = re.compile(r"[A-Za-z0-9/][A-Za-z0-9._/-]*(?::/{2}[A-Za-z0-9._/:-]*[A-Za-z0-9/])?")
"""Matches text, such as a path or a URL, that YAML reads as a string without quotes, unless it is in _WORDS."""

_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
"""Text that YAML does not read as a string unless it is quoted."""


def as_yaml(config: Config) -> str:
    """Return the configuration as a monitor.yaml with all keys, without comments."""
    return _lines(config, comments=False)


def sample() -> str:
    """Return the commented sample that the package installs beside monitor.yaml, with the default of each key."""
    header = (
        "# All keys of /etc/genv/monitor.yaml. Every key is optional; the values here are the defaults.\n"
        "# Copy only what you change, with its section. Durations: 10s, 1m30s, 500ms; a plain number is seconds.\n"
    )
    return header + "\n" + _lines(Config(), comments=True)


def _lines(config: Config, *, comments: bool) -> str:
    text, section = "", ""
    for setting in settings():
        if setting.section != section:
            text += "\n" if section and comments else ""
            section = setting.section
            text += f"# {SECTIONS[section]}\n" if comments else ""
            text += f"{section}:\n"
        if comments:
            text += f"  # {setting.description}\n"
        text += f"  {setting.key}: {_shown(setting.kind, getattr(config, setting.field))}\n"
    return text


def _shown(kind: Kind, value: Any) -> str:
    """Return a value as YAML on one line."""
    if kind.item:
        return json.dumps(value, ensure_ascii=False)
    shown = kind.show(value)
    return shown if isinstance(value, bool | int | float) else _quoted(shown)


def _quoted(text: str) -> str:
    """Return text as a YAML scalar, in quotes if YAML would not read it as a string otherwise."""
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)
