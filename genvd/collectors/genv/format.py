"""The content of genv's state files, of version 1 and of those up to 0.9, as records.

One entry that makes no sense costs only itself: it is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from genvd.collectors.host.procfs import MAX_PID
from genvd.common.text import clean
from genvd.model.facts import Attachment, EnvironmentRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
class Oddities:
    """What was left out of files."""

    malformed: int = 0
    """Entries and values that make no sense."""
    devices: int = 0
    """Devices with a number that none can have."""


def environments(document: Any, oddities: Oddities | None = None) -> tuple[EnvironmentRecord, ...]:
    """Return the environments of the content of envs.json.

    Args:
        document: the parsed content.
        oddities: told what is left out.
    """
    oddities = oddities or Oddities()
    found = []
    for entry in _entries(document, "envs"):
        eid = _identifier(entry.get("eid")) if isinstance(entry, dict) else None
        if eid is None:
            oddities.malformed += 1
        else:
            found.append(_environment(eid, entry, oddities))
    return tuple(found)


def attachments(document: Any, oddities: Oddities | None = None) -> tuple[Attachment, ...]:
    """Return the attachments of the content of devices.json.

    Args:
        document: the parsed content.
        oddities: told what is left out.
    """
    oddities = oddities or Oddities()
    return tuple(
        attachment
        for index, device in _indexed_devices(document, oddities)
        for attachment in _attachments_of(index, device, oddities)
    )


def memory_bytes(value: Any) -> int | None:
    """Return an amount of memory such as ``4g`` or ``15258mi`` in bytes; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value < _MAX_INTEGER else None
    match = _MEMORY.fullmatch(value.lower()) if isinstance(value, str) and len(value) < 64 else None
    if match is None or match[2] not in _MEMORY_UNITS:
        return None
    number, unit = match[1], _MEMORY_UNITS[match[2]]
    return int(float(number) * unit) if "." in number else int(number) * unit


def _environment(eid: str, entry: dict[str, Any], oddities: Oddities) -> EnvironmentRecord:
    config = entry.get("config")
    config = config if isinstance(config, dict) else {}
    listed = _list(entry.get("pids"))
    pids = [pid for value in listed if (pid := _integer(value, MAX_PID))]
    oddities.malformed += len(listed) - len(pids)
    return EnvironmentRecord(
        eid=eid,
        uid=_integer(entry.get("uid"), 2**32 - 1),
        username=_text(entry.get("username")),
        name=_text(config.get("name")),
        gpu_memory_bytes=_limit(memory_bytes(config.get("gpu_memory")), config.get("gpu_memory"), oddities),
        gpus=_limit(_integer(config.get("gpus"), MAX_DEVICE_INDEX), config.get("gpus"), oddities),
        created=_timestamp(entry.get("creation")),
        pids=tuple(dict.fromkeys(pids)),  # each once: a list can have hundreds of thousands
        kernel_ids=tuple(name for value in _list(entry.get("kernel_ids")) if (name := _identifier(value))),
    )


def _attachments_of(index: int, device: dict[str, Any], oddities: Oddities) -> Iterator[Attachment]:
    old = device.get("eids")  # up to 0.9: a mapping, with the time under another name
    entries = old.values() if isinstance(old, dict) else _list(device.get("attachments"))
    for entry in entries:
        eid = _identifier(entry.get("eid")) if isinstance(entry, dict) else None
        if eid is None:
            oddities.malformed += 1
        else:
            yield Attachment(
                eid=eid,
                device_index=index,
                gpu_memory_bytes=_limit(memory_bytes(entry.get("gpu_memory")), entry.get("gpu_memory"), oddities),
                attached=_timestamp(entry.get("time", entry.get("attached"))),
            )


def _limit(limit: int | None, said: Any, oddities: Oddities) -> int | None:
    """Return a limit; one that is said and makes no sense is none."""
    if limit is None and said is not None:
        oddities.malformed += 1
    return limit


def _indexed_devices(document: Any, oddities: Oddities) -> Iterator[tuple[int, dict[str, Any]]]:
    devices = document.get("devices") if isinstance(document, dict) else None
    if isinstance(devices, dict):  # up to 0.9: the index is the key
        pairs: Iterable[tuple[Any, Any]] = ((_number(key), value) for key, value in devices.items())
    else:
        pairs = ((value.get("index") if isinstance(value, dict) else None, value) for value in _list(devices))
    for key, value in pairs:
        index = _integer(key, MAX_DEVICE_INDEX)
        if index is not None and isinstance(value, dict):
            yield index, value
        elif isinstance(key, int) and not isinstance(key, bool) and isinstance(value, dict):
            oddities.devices += 1
        else:
            oddities.malformed += 1


def _number(key: str) -> int | None:
    return int(key) if key.isascii() and key.isdigit() and len(key) < _MAX_DIGITS else None


def _entries(document: Any, key: str) -> Iterable[Any]:
    entries = document.get(key) if isinstance(document, dict) else None
    return entries.values() if isinstance(entries, dict) else _list(entries)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _integer(value: Any, largest: int) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= largest:
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
