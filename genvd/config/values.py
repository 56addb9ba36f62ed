"""Kinds of configuration values: how each is read from text, checked, written, and described to an editor."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
"""In each unit of a duration."""
_PLAIN = r"(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
"""Before a unit: as Go has it, whose durations Prometheus' own files have."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value."""

    parse: Callable[[str], Any]
    """From text as people write it to the value; raises ValueError with what was expected."""
    schema: dict[str, Any]
    """The kind in JSON Schema."""
    show: Callable[[Any], str] = field(default=str)
    """From the value to text that :attr:`parse` reads."""
    item: Callable[[str], Any] | None = None
    """Reads one of several, where the value is a tuple that may be written as a list too; raises as :attr:`parse`."""


def duration(least: float, most: float) -> Kind:
    """Seconds, written as ``10s``, ``1m30s``, ``500ms`` or a plain number."""
    expected = f"a duration from {show_duration(least)} to {show_duration(most)}, such as 10s or 1m30s"

    def parse(text: str) -> float:
        try:
            seconds = parse_duration(text)
        except ValueError:
            raise ValueError(f"expected {expected}") from None
        if not least <= seconds <= most:
            raise ValueError(f"expected {expected}")
        return seconds

    schema = {
        "anyOf": [
            {"type": "number", "minimum": least, "maximum": most},
            {"type": "string", "pattern": rf"^(?:{_PLAIN}|(?:{_NUMBER}(?:{'|'.join(SECONDS)}))+)$"},
        ]
    }
    return Kind(parse, schema, show_duration)


def integer(least: int, most: int) -> Kind:
    """A whole number."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text.strip()) or not least <= int(text) <= most:
            raise ValueError(f"expected a whole number from {least} to {most}")
        return int(text)

    return Kind(parse, {"type": "integer", "minimum": least, "maximum": most})


def boolean() -> Kind:
    """True or false."""
    words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}

    def parse(text: str) -> bool:
        try:
            return words[text.strip().lower()]
        except KeyError:
            raise ValueError("expected true or false") from None

    return Kind(parse, {"type": "boolean"}, lambda value: "true" if value else "false")


def choice(*words: str) -> Kind:
    """One of a few words."""

    def parse(text: str) -> str:
        if text.strip().lower() not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return text.strip().lower()

    return Kind(parse, {"enum": list(words)})


def text(expected: str, pattern: str) -> Kind:
    """Text of a certain form.

    Args:
        expected: the form in words, with an article.
        pattern: the form as a regular expression for the whole text.
    """

    def parse(value: str) -> str:
        if not re.fullmatch(pattern, value) or not value.isprintable():  # lone surrogates are not, they fit in no file
            raise ValueError(f"expected {expected}")
        return value

    return Kind(parse, {"type": "string", "pattern": f"^{pattern}$"})


def host_names() -> Kind:
    """Names of hosts, separated by commas; empty for none."""
    name = r"[0-9A-Za-z_](?:[0-9A-Za-z_.-]{0,252})"
    pattern = rf"(?: *{name} *(?:, *{name} *)*)?"

    def parse(value: str) -> tuple[str, ...]:
        if not re.fullmatch(pattern, value):
            raise ValueError("expected names of hosts, separated by commas")
        return tuple(part.strip() for part in value.split(",") if part.strip())

    return Kind(parse, {"type": "string", "pattern": f"^{pattern}$"}, ", ".join)


_PORT = "(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_ADDRESS = re.compile(rf"(\[[0-9A-Fa-f:.]{{2,45}}\]|[0-9A-Za-z_][0-9A-Za-z_.-]{{0,252}}):{_PORT}")
_TARGETS_FILE = re.compile(r"/[^*?\[\]\\,]*(?:\*[^/*?\[\]\\,]*)?\.(?:json|yml|yaml)")
"""What Prometheus takes (patFileSDName of its discovery/file), less what it would take for a pattern of names."""


def targets() -> Kind:
    """What Prometheus is to scrape: ``host:port`` of machines, and absolute paths of file_sd files.

    Names of hosts come out in lower case and addresses in their short form, so that what is the same looks the same.
    """

    def item(text: str) -> str:
        value = text.strip(" ")
        if _TARGETS_FILE.fullmatch(value) and value.isprintable():
            return value
        match = _ADDRESS.fullmatch(value)
        if not match:
            raise ValueError(
                'expected host:port, such as gpu1.example.org:8000 or "[2001:db8::1]:8000", or the absolute path of a'
                " .json, .yml or .yaml file"
            )
        return f"{_host(match[1])}{value[match.end(1) :]}"

    def parse(text: str) -> tuple[str, ...]:
        found = tuple(map(item, text.split(","))) if text.strip(" ") else ()
        if len(set(found)) < len(found):
            raise ValueError("expected each once")
        return found

    one = f"{_ADDRESS.pattern}|{_TARGETS_FILE.pattern}"
    schema = {
        "anyOf": [
            {"type": "array", "items": {"type": "string", "pattern": f"^ *(?:{one}) *$"}, "uniqueItems": True},
            {"type": "string", "pattern": f"^ *(?:(?:{one}) *(?:, *(?:{one}) *)*)?$"},
        ]
    }
    return Kind(parse, schema, ", ".join, item)


def _host(host: str) -> str:
    """Return a name or address in the form in which it is compared; raise ValueError for what can be neither."""
    try:
        if host.startswith("["):
            return f"[{ipaddress.IPv6Address(host[1:-1])}]"
        if re.fullmatch("[0-9.]+", host):
            return str(ipaddress.IPv4Address(host))
    except ValueError:
        raise ValueError(f"expected a name or an address before the port, and {host} is none") from None
    return host.lower()


def absolute_path() -> Kind:
    """The absolute path of a file or directory; empty for none."""

    def parse(value: str) -> Path | None:
        if not value:
            return None
        if not value.startswith("/") or not value.isprintable():
            raise ValueError("expected an absolute path of printable characters")
        return Path(value)

    return Kind(parse, {"type": "string", "pattern": "^(/.*)?$"}, lambda value: str(value) if value else "")


def parse_duration(value: str) -> float:
    """Return a duration such as ``1m30s``, or a plain number of seconds, in seconds; raise ValueError if it is none."""
    value = value.strip()
    return float(value) if re.fullmatch(_PLAIN, value) else parse_units(value)


def parse_units(value: str, seconds: Mapping[str, float] = SECONDS) -> float:
    """Return numbers with units, such as ``1m30s``, in seconds.

    Args:
        value: one number with its unit, or several.
        seconds: how many seconds there are in each unit.

    Raises:
        ValueError: it is none of that.
    """
    part = re.compile(rf"({_NUMBER})({'|'.join(seconds)})")
    parts = part.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise ValueError(f"{value!r} is no duration")
    return sum(float(number) * seconds[unit] for number, unit in parts)


def show_duration(seconds: float) -> str:
    """Return seconds as people write them, such as ``1m30s``; :func:`parse_duration` gives the same number."""
    shown, rest = "", seconds
    for unit in ("d", "h", "m"):
        whole, rest = divmod(rest, SECONDS[unit])
        shown += f"{int(whole)}{unit}" if whole else ""
    shown += f"{rest:g}s" if rest or not shown else ""
    if seconds < 1:
        shown = f"{round(seconds * 1000)}ms"
    if _reads_as(shown, seconds):
        return shown
    from decimal import Decimal  # hardly anybody has such a number

    return f"{Decimal(repr(seconds)):f}"


def _reads_as(text: str, seconds: float) -> bool:
    try:
        return parse_duration(text) == seconds
    except ValueError:
        return False
