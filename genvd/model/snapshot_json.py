"""Serialises the Snapshot to JSON, as served at ``/api/v1/snapshot``, and parses it."""

from __future__ import annotations

import dataclasses
import json
import types
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from genvd.model.snapshot import Snapshot


class InvalidSnapshotError(ValueError):
    """A JSON document is not a Snapshot. The message names the place."""


def dump(snapshot: Snapshot) -> bytes:
    """Return the Snapshot as a JSON document of one line."""
    return json.dumps(dataclasses.asdict(snapshot)).encode() + b"\n"


def load(document: bytes) -> Snapshot:
    """Return the Snapshot of a JSON document.

    Unknown fields are ignored and missing ones get their defaults, so that documents of somewhat older or newer
    versions can be read.

    Raises:
        InvalidSnapshotError: the document is not a Snapshot.
    """
    try:
        snapshot: Snapshot = _object(Snapshot, json.loads(document), "")
    except (ValueError, RecursionError) as error:
        raise InvalidSnapshotError(str(error)) from None
    return snapshot


def _object(kind: Any, value: object, place: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{place or 'the document'} is not an object")
    given = {
        name: _value(hint, value[name], f"{place}.{name}" if place else name)
        for name, hint in _fields(kind).items()
        if name in value
    }
    try:
        return kind(**given)
    except TypeError:
        missing = next(name for name in _fields(kind) if name not in given)
        raise ValueError(f"{place or 'the document'} has no {missing}") from None


@cache
def _fields(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _value(hint: Any, value: object, place: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return None if value is None else _value(next(a for a in get_args(hint) if a is not type(None)), value, place)
    if origin is tuple:
        return _items(get_args(hint), value, place)
    if dataclasses.is_dataclass(hint):
        return _object(hint, value, place)
    if not (value in get_args(hint) if origin is Literal else _is_a(hint, value)):
        raise ValueError(f"{place} has a wrong type or value")
    return value


def _is_a(kind: type, value: object) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _items(kinds: tuple[Any, ...], value: object, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{place} is not a list")
    return tuple(_value(kinds[0], one, f"{place}[{number}]") for number, one in enumerate(value))
