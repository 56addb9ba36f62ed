"""Checks the values of a message. Each check returns a valid value, and raises ProtocolError for every other one."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from genvd.collectors.host.process_table import MAX_ANCESTORS
from genvd.collectors.host.procfs import MAX_PID
from genvd.common.text import MAX_TEXT, escape_unprintable
from genvd.helper.messages import ProtocolError

Check = Callable[[Any], Any]

MAX_UID = 2**32 - 1
_MAX_SECONDS = 1e12


def fields(value: object, checks: Mapping[str, Check]) -> list[Any]:
    """Return the checked values of an object that has exactly these keys, in the order of the checks."""
    if not isinstance(value, dict) or value.keys() != checks.keys():
        raise ProtocolError("not the expected keys")
    return [check(value[name]) for name, check in checks.items()]


def items(value: object, checks: Collection[Check]) -> tuple[Any, ...]:
    """Return the checked items of an array of exactly this length."""
    if not isinstance(value, list) or len(value) != len(checks):
        raise ProtocolError("not an array of the expected length")
    return tuple(check(item) for check, item in zip(checks, value, strict=True))


def list_of(check: Check) -> Check:
    """Return the check of an array whose items pass this check."""

    def check_list(value: object) -> list[Any]:
        if not isinstance(value, list):
            raise ProtocolError("not an array")
        return [check(item) for item in value]

    return check_list


def tuple_of(*checks: Check) -> Check:
    """Return the check of an array with one item for each of these checks."""
    return lambda value: items(value, checks)


def optional(check: Check) -> Check:
    """Return the check of a value that may be missing (null)."""
    return lambda value: None if value is None else check(value)


def one_of(texts: Collection[str]) -> Check:
    """Return the check of a text that has to be one of these."""

    def check_text(value: object) -> str:
        if not isinstance(value, str) or value not in texts:
            raise ProtocolError("not one of the expected texts")
        return value

    return check_text


def boolean(value: object) -> bool:
    """Return a truth value."""
    if not isinstance(value, bool):
        raise ProtocolError("not a truth value")
    return value


def _integer(value: object, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ProtocolError("not a number in the expected range")
    return value


def pid(value: object) -> int:
    """Return a pid."""
    return _integer(value, 1, MAX_PID)


def uid(value: object) -> int:
    """Return a uid."""
    return _integer(value, 0, MAX_UID)


def pids(value: object) -> frozenset[int]:
    """Return an array of pids."""
    return frozenset(pid_list(value))


def pid_list(value: object) -> list[int]:
    """Return an array of pids in its order. There can be many, so they are checked together."""
    if not isinstance(value, list) or not set(map(type, value)) <= {int}:
        raise ProtocolError("not an array of pids")
    if value and not 1 <= min(value) <= max(value) <= MAX_PID:
        raise ProtocolError("not a pid")
    return value


def ancestors(value: object) -> frozenset[int]:
    """Return the pids of the ancestors of one process."""
    found = pids(value)
    if len(found) > MAX_ANCESTORS:
        raise ProtocolError("too many ancestors")
    return found


def seconds(value: object) -> float:
    """Return a time."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ProtocolError("not a time")
    if not math.isfinite(value) or abs(value) > _MAX_SECONDS:
        raise ProtocolError("not a possible time")
    return float(value)


def text(value: object) -> str:
    """Return a text as :func:`genvd.common.text.clean` makes it."""
    if not isinstance(value, str) or len(value) > MAX_TEXT or escape_unprintable(value) != value:
        raise ProtocolError("not a clean text")
    return value
