"""Parses the content of genv's state files, as written by genv 1 and by versions up to 0.9, into records.

An invalid entry is skipped and counted. It does not affect the others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from genvd.collectors.host.procfs import MAX_PID
from genvd.common.text import clean
from genvd.model.facts import Attachment, EnvironmentRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")

MAX_DEVICE_INDEX = 4095
_MAX_INTEGER = 2**63
_MAX_DIGITS = 18

_TIME = re.compile(r"(\d\d)/(\d\d)/(\d{4}) (\d\d):(\d\d):(\d\d)", re.ASCII)
_MEMORY = re.compile(r"\s*(\d{1,18}(?:\.\d{1,9})?)\s*([a-z]{0,2})\s*", re.ASCII)
_MEMORY_UNITS = {
    "": 1,
    "b": 1,
    "k": 1000,
    "m": 1000**2,
    "g": 1000**3,
    "ki": 1024,
    "mi": 1024**2,
    "gi": 1024**3,
}


@dataclass(slots=True)
class Skipped:
    """Counts what was skipped in a file."""

    malformed: int = 0
    """Invalid entries and values."""
    impossible_devices: int = 0
    """GPUs with an index that no machine can have."""
    members: set[str] = field(default_factory=set)
    """Environments with invalid lists of processes or kernels."""
    holders: set[int] = field(default_factory=set)
    """GPUs with invalid attachments."""


def parse_environments(document: Any, skipped: Skipped | None = None) -> tuple[EnvironmentRecord, ...]:
    """Return the environments in envs.json.

    Args:
        document: the decoded JSON.
        skipped: counts what is skipped.
    """
    skipped = skipped or Skipped()
    found = []
    for entry in _entries(document, "envs"):
        eid = _identifier(entry.get("eid")) if isinstance(entry, dict) else None
        if eid is None:
            skipped.malformed += 1
        else:
            found.append(_environment(eid, entry, skipped))
    return tuple(found)


def parse_attachments(document: Any, skipped: Skipped | None = None) -> tuple[Attachment, ...]:
    """Return the attachments in devices.json.

    Args:
        document: the decoded JSON.
        skipped: counts what is skipped.
    """
    skipped = skipped or Skipped()
    return tuple(
        attachment
        for index, device in _indexed_devices(document, skipped)
        for attachment in _attachments(index, device, skipped)
    )


def parse_memory(value: Any) -> int | None:
    """Return an amount of memory, such as ``4g`` or ``15258mi``, in bytes; None if it is invalid."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value < _MAX_INTEGER else None
    match = _MEMORY.fullmatch(value.lower()) if isinstance(value, str) and len(value) < 64 else None
    if match is None or match[2] not in _MEMORY_UNITS:
        return None
    number, unit = match[1], _MEMORY_UNITS[match[2]]
    return int(float(number) * unit) if "." in number else int(number) * unit


def _environment(eid: str, entry: dict[str, Any], skipped: Skipped) -> EnvironmentRecord:
    config = entry.get("config")
    config = config if isinstance(config, dict) else {}
    pids, invalid_pids = _valid(entry.get("pids"), lambda value: _integer(value, MAX_PID))
    kernel_ids, invalid_kernels = _valid(entry.get("kernel_ids"), _identifier)
    skipped.malformed += invalid_pids + invalid_kernels
    if invalid_pids or invalid_kernels:
        skipped.members.add(eid)
    return EnvironmentRecord(
        eid=eid,
        uid=_integer(entry.get("uid"), 2**32 - 1),
        username=_text(entry.get("username")),
        name=_text(config.get("name")),
        gpu_memory_bytes=_counted(parse_memory(config.get("gpu_memory")), config.get("gpu_memory"), skipped),
        gpus=_counted(_integer(config.get("gpus"), MAX_DEVICE_INDEX), config.get("gpus"), skipped),
        created=_timestamp(entry.get("creation")),
        pids=tuple(dict.fromkeys(pids)),  # unique: a list can have hundreds of thousands
        kernel_ids=tuple(kernel_ids),
    )


def _attachments(index: int, device: dict[str, Any], skipped: Skipped) -> Iterator[Attachment]:
    old = device.get("eids")  # up to genv 0.9: a mapping, in which the key of the time is "attached"
    entries = old.values() if isinstance(old, dict) else _list(device.get("attachments"), [None])
    for entry in entries:
        eid = _identifier(entry.get("eid")) if isinstance(entry, dict) else None
        if eid is None:
            skipped.malformed += 1
            skipped.holders.add(index)
        else:
            yield Attachment(
                eid=eid,
                device_index=index,
                gpu_memory_bytes=_counted(parse_memory(entry.get("gpu_memory")), entry.get("gpu_memory"), skipped),
                attached=_timestamp(entry.get("time", entry.get("attached"))),
            )


def _counted(parsed: int | None, raw: Any, skipped: Skipped) -> int | None:
    """Return the parsed value; count it as malformed if the raw value is set but could not be parsed."""
    if parsed is None and raw is not None:
        skipped.malformed += 1
    return parsed


def _indexed_devices(document: Any, skipped: Skipped) -> Iterator[tuple[int, dict[str, Any]]]:
    devices = document.get("devices") if isinstance(document, dict) else None
    if isinstance(devices, dict):  # up to genv 0.9: the index is the key
        pairs: Iterable[tuple[Any, Any]] = ((_number(key), value) for key, value in devices.items())
    else:
        pairs = ((value.get("index") if isinstance(value, dict) else None, value) for value in _list(devices))
    for key, value in pairs:
        index = _integer(key, MAX_DEVICE_INDEX)
        if index is not None and isinstance(value, dict):
            yield index, value
        elif isinstance(key, int) and not isinstance(key, bool) and isinstance(value, dict):
            skipped.impossible_devices += 1
        else:
            skipped.malformed += 1


def _number(key: str) -> int | None:
    return int(key) if key.isascii() and key.isdigit() and len(key) < _MAX_DIGITS else None


def _entries(document: Any, key: str) -> Iterable[Any]:
    entries = document.get(key) if isinstance(document, dict) else None
    return entries.values() if isinstance(entries, dict) else _list(entries)


def _list(value: Any, other: list[Any] | None = None) -> list[Any]:
    """Return a list as it is, an empty one if there is no value, and the other list for any other value."""
    if isinstance(value, list):
        return value
    return [] if value is None else other or []


def _valid(value: Any, parse: Callable[[Any], T | None]) -> tuple[list[T], int]:
    """Return the valid items of a list, and the number of the others. What is no list is one invalid item."""
    listed = _list(value, [None])
    valid = [parsed for item in listed if (parsed := parse(item))]
    return valid, len(listed) - len(valid)


def _integer(value: Any, maximum: int) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= maximum:
        return value
    return None


def _identifier(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_INTEGER:
        value = str(value)
    return _text(value)


def _text(value: Any) -> str | None:
    return clean(value) if isinstance(value, str) and value else None


def _timestamp(value: Any) -> float | None:
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    day, month, year, hour, minute, second = map(int, match.groups())
    try:
        return datetime(year, month, day, hour, minute, second).timestamp()  # local time, as genv writes it
    except (ValueError, OverflowError, OSError):
        return None
