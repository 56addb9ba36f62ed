"""Converts YAML scalars by the rules of go-yaml v2, with which Prometheus' exporters read a web configuration.

The rules: resolve.go and decode.go of https://github.com/go-yaml/yaml/tree/v2.
"""

from __future__ import annotations

import base64
import math
import re
from contextlib import suppress
from datetime import datetime

import yaml

from genvd.config.values import parse_units

_CORE = "tag:yaml.org,2002:"

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9][0-9A-Fa-fxXoObB]*")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
"""Infinity, and not-a-number, which no setting accepts either."""

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
"""Seconds in each unit of Go's time.ParseDuration."""
_MAX_SECONDS = 2**63 / 1e9
"""The longest time.Duration of Go."""

Scalar = str | bool | int | float | None

_TYPES: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
}
"""The types that the text of a scalar with this tag may have."""


def text(node: yaml.Node) -> str:
    """Return the text of a scalar as it is written in the file; null is empty.

    Raises:
        ValueError: the node is not a scalar, or its text does not match its tag.
    """
    value = _resolve(node)
    return "" if value is None else value if isinstance(value, str) else str(node.value)


def boolean(node: yaml.Node) -> bool:
    """Return a boolean; raise ValueError if the node is not one."""
    value = _resolve(node)
    if not isinstance(value, bool):
        raise ValueError("not a boolean")
    return value


def integer(node: yaml.Node) -> int:
    """Return a signed 64-bit integer, without a fraction as in Go; raise ValueError if the node is not a number."""
    value = _resolve(node)
    if isinstance(value, bool | str) or value is None or not -(2**63) <= value < 2**63:
        raise ValueError("not a number")
    return int(value)


def duration(node: yaml.Node) -> float:
    """Return the seconds of a duration such as ``1.5s`` or ``0``; raise ValueError if the node is not one."""
    value = text(node).removeprefix("+")
    seconds = 0.0 if value == "0" else parse_units(value, _UNITS)
    if seconds > _MAX_SECONDS:
        raise ValueError("too long")
    return seconds


def _resolve(node: yaml.Node) -> Scalar:
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError("not a scalar")
    tag, value = str(node.tag).removeprefix(_CORE), str(node.value)
    if tag == "str":
        return value if node.style else _guess(value)
    if tag == "binary":
        return base64.b64decode(re.sub("[\r\n]", "", value), validate=True).decode()
    if tag == "timestamp":
        datetime.strptime(value, "%Y-%m-%d")  # go-yaml also takes a time of day; nothing here needs that
        return value
    if tag not in _TYPES:
        return value
    resolved = _guess(value)
    if type(resolved) not in _TYPES[tag]:
        raise ValueError(f"not of type {tag}")
    return resolved


def _guess(value: str) -> Scalar:
    """Return the value of text that has neither a tag nor quotes."""
    if value in _WORDS:
        return _WORDS[value]
    digits = value if value.startswith((".", "_")) else value.replace("_", "")
    if _INTEGER.fullmatch(digits):
        with suppress(ValueError):  # such as 08, which is a float in Go
            number = int(re.sub(r"^([-+]?)0(?=[0-7]+$)", r"\g<1>0o", digits), 0)  # 010 is octal
            if -(2**63) <= number < 2**64:
                return number
    if _INFINITY.fullmatch(value):
        return math.inf
    return float(digits) if _FLOAT.fullmatch(digits) else value
