"""Types of configuration values: how each one is parsed, checked, written and described in JSON Schema."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
"""Seconds in each unit of a duration."""

_PLAIN = r"(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
"""A number alone; a number before a unit, in the syntax of Go's time.ParseDuration, which Prometheus uses."""


class Kind(NamedTuple):
    """A type of value."""

    parse: Callable[[str], Any]
    """Converts text from the file to the value; raises ValueError with what was expected."""
    schema: dict[str, Any]
    """The JSON Schema of the type."""
    show: Callable[[Any], str] = str
    """Converts the value to text that :attr:`parse` accepts."""
    item: Callable[[str], Any] | None = None
    """Parses one item, if the value is a tuple, which may also be written as a YAML list."""


def duration(minimum: float, maximum: float) -> Kind:
    """Return the type of seconds, written as ``10s``, ``1m30s``, ``500ms`` or a plain number."""
    expected = f"a duration from {show_duration(minimum)} to {show_duration(maximum)}, such as 10s or 1m30s"

    def parse(text: str) -> float:
        try:
            seconds = parse_duration(text)
        except ValueError:
            raise ValueError(f"expected {expected}") from None
        if not minimum <= seconds <= maximum:
            raise ValueError(f"expected {expected}")
        return seconds

    schema = {
        "anyOf": [
            {"type": "number", "minimum": minimum, "maximum": maximum},
            {"type": "string", "pattern": rf"^(?:{_PLAIN}|(?:{_NUMBER}(?:{'|'.join(SECONDS)}))+)$"},
        ]
    }
    return Kind(parse, schema, show_duration)


def integer(minimum: int, maximum: int) -> Kind:
    """Return the type of integers from ``minimum`` to ``maximum``."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text.strip()) or not minimum <= int(text) <= maximum:
            raise ValueError(f"expected a whole number from {minimum} to {maximum}")
        return int(text)

    return Kind(parse, {"type": "integer", "minimum": minimum, "maximum": maximum})


def boolean() -> Kind:
    """Return the type of booleans."""
    words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}

    def parse(text: str) -> bool:
        try:
            return words[text.strip().lower()]
        except KeyError:
            raise ValueError("expected true or false") from None

    return Kind(parse, {"type": "boolean"}, lambda value: "true" if value else "false")


def choice(*words: str) -> Kind:
    """Return the type of one of a few words, in lower case."""

    def parse(text: str) -> str:
        if text.strip().lower() not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return text.strip().lower()

    return Kind(parse, {"enum": list(words)})


def text(expected: str, pattern: str) -> Kind:
    """Return the type of printable text that matches a pattern.

    Args:
        expected: the pattern in words, with an article.
        pattern: a regular expression that must match the complete text.
    """

    def parse(value: str) -> str:
        if not re.fullmatch(pattern, value) or not value.isprintable():  # also excludes lone surrogates
            raise ValueError(f"expected {expected}")
        return value

    return Kind(parse, {"type": "string", "pattern": f"^{pattern}$"})


def host_names() -> Kind:
    """Return the type of a list of host names, separated by commas; it may be empty."""
    name = r"[0-9A-Za-z_](?:[0-9A-Za-z_.-]{0,252})"
    pattern = rf"(?: *{name} *(?:, *{name} *)*)?"

    def parse(value: str) -> tuple[str, ...]:
        if not re.fullmatch(pattern, value):
            raise ValueError("expected host names, separated by commas")
        return tuple(part.strip() for part in value.split(",") if part.strip())

    return Kind(parse, {"type": "string", "pattern": f"^{pattern}$"}, ", ".join)


_PORT = "(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_ADDRESS = re.compile(rf"(\[[0-9A-Fa-f:.]{{2,45}}\]|[0-9A-Za-z_][0-9A-Za-z_.-]{{0,252}}):{_PORT}")
_TARGETS_FILE = re.compile(r"/[^*?\[\]\\,]*(?:\*[^/*?\[\]\\,]*)?\.(?:json|yml|yaml)")
"""The paths that Prometheus accepts (patFileSDName in its discovery/file), without glob characters in directories."""


def targets() -> Kind:
    """Return the type of scrape targets: ``host:port`` of machines, and absolute paths of file_sd files.

    Host names are converted to lower case and addresses to their short form, so that duplicates are found.
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

    return listed(item, f"(?:{_ADDRESS.pattern}|{_TARGETS_FILE.pattern})")


def listed(item: Callable[[str], str], pattern: str) -> Kind:
    """Return the type of a list of strings, each once. It may be empty, and be one string with commas.

    Args:
        item: returns an item in its normal form; raises ValueError if it is none.
        pattern: matches an item, for the JSON Schema.
    """

    def parse(text: str) -> tuple[str, ...]:
        found = tuple(map(item, text.split(","))) if text.strip(" ") else ()
        if len(set(found)) < len(found):
            raise ValueError("expected each once")
        return found

    schema = {
        "anyOf": [
            {"type": "array", "items": {"type": "string", "pattern": f"^ *{pattern} *$"}, "uniqueItems": True},
            {"type": "string", "pattern": f"^ *(?:{pattern} *(?:, *{pattern} *)*)?$"},
        ]
    }
    return Kind(parse, schema, ", ".join, item)


def _host(host: str) -> str:
    """Return a host name or address in its normal form; raise ValueError if it is neither."""
    try:
        if host.startswith("["):
            return f"[{ipaddress.IPv6Address(host[1:-1])}]"
        if re.fullmatch("[0-9.]+", host):
            return str(ipaddress.IPv4Address(host))
    except ValueError:
        raise ValueError(f"expected a host name or an address before the port, not {host}") from None
    return host.lower()


def absolute_path() -> Kind:
    """Return the type of an absolute path of a file or directory; empty text is None."""

    def parse(value: str) -> Path | None:
        if not value:
            return None
        if not value.startswith("/") or not value.isprintable():
            raise ValueError("expected an absolute path of printable characters")
        return Path(value)

    return Kind(parse, {"type": "string", "pattern": "^(/.*)?$"}, lambda value: str(value) if value else "")


def parse_duration(value: str) -> float:
    """Return the seconds of a duration such as ``1m30s`` or a plain number; raise ValueError if it is invalid."""
    value = value.strip()
    return float(value) if re.fullmatch(_PLAIN, value) else parse_units(value)


def parse_units(value: str, seconds: Mapping[str, float] = SECONDS) -> float:
    """Return the seconds of numbers with units, such as ``1m30s``.

    Args:
        value: one or more numbers, each with a unit.
        seconds: the seconds in each unit.

    Raises:
        ValueError: the value has another form.
    """
    part = re.compile(rf"({_NUMBER})({'|'.join(seconds)})")
    parts = part.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise ValueError(f"{value!r} is not a duration")
    return sum(float(number) * seconds[unit] for number, unit in parts)


def show_duration(seconds: float) -> str:
    """Return seconds as a duration such as ``1m30s``, which :func:`parse_duration` converts to the same number."""
    shown, rest = "", seconds
    for unit in ("d", "h", "m"):
        count, rest = divmod(rest, SECONDS[unit])
        shown += f"{int(count)}{unit}" if count else ""
    shown += f"{rest:g}s" if rest or not shown else ""
    if seconds < 1:
        shown = f"{round(seconds * 1000)}ms"
    with suppress(ValueError):
        if parse_duration(shown) == seconds:
            return shown
    from decimal import Decimal  # rarely needed

    return f"{Decimal(repr(seconds)):f}"
