"""Serialises the Snapshot to JSON, as served at ``/api/v1/snapshot``, and parses it."""

from __future__ import annotations

import json
import types
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from genvd.model.snapshot import Snapshot


class InvalidSnapshotError(ValueError):
    """A JSON document is not a Snapshot. The message names the wrong field."""


def dump(snapshot: Snapshot) -> bytes:
    """Return the Snapshot as a JSON document of one line."""
    return json.dumps(as_document(snapshot)).encode() + b"\n"


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


def as_document(value: Any) -> Any:
    """Return what JSON has for a value: objects for named tuples, and arrays for other tuples."""
    if not isinstance(value, tuple):
        return value
    items = map(as_document, value)
    return dict(zip(value._fields, items, strict=True)) if hasattr(value, "_fields") else list(items)


def _object(kind: Any, value: object, path: str) -> Any:
    """Return an instance of the class ``kind``; raise ValueError if the value does not match.

    Args:
        kind: a named tuple.
        value: the decoded JSON.
        path: where it is in the document, such as ``devices[0].board``; empty for the document itself.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{path or 'the document'} is not an object")
    given = {
        name: _value(hint, value[name], f"{path}.{name}" if path else name)
        for name, hint in _fields(kind).items()
        if name in value
    }
    try:
        return kind(**given)
    except TypeError:
        missing = next(name for name in _fields(kind) if name not in given)
        raise ValueError(f"{path or 'the document'} has no {missing}") from None


@cache
def _fields(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _value(hint: Any, value: object, path: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return None if value is None else _value(next(a for a in get_args(hint) if a is not type(None)), value, path)
    if origin is tuple:
        return _items(get_args(hint), value, path)
    if hasattr(hint, "_fields"):
        return _object(hint, value, path)
    if not (value in get_args(hint) if origin is Literal else _is_a(hint, value)):
        raise ValueError(f"{path} has a wrong type or value")
    return value


def _is_a(kind: type, value: object) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _items(kinds: tuple[Any, ...], value: object, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{path} is not a list")
    return tuple(_value(kinds[0], one, f"{path}[{number}]") for number, one in enumerate(value))
