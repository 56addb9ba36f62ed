"""The content of genv's state files, of version 1 and of those up to 0.9, as records.

One entry that makes no sense costs only itself: it is left out.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from genvd.model import Attachment, EnvironmentRecord
from genvd.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_PID = 2**22
"""PID_MAX_LIMIT of the Linux kernel (include/linux/threads.h)."""

MAX_DEVICE_INDEX = 4095
_MAX_INTEGER = 2**63

_TIME_FORMAT = "%d/%m/%Y %H:%M:%S"
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


def environments(document: Any) -> tuple[EnvironmentRecord, ...]:
    """Return the environments of the content of envs.json."""
    return tuple(
        _environment(eid, entry)
        for entry in _entries(document, "envs")
        if (eid := _identifier(entry.get("eid"))) is not None
    )


def attachments(document: Any) -> tuple[Attachment, ...]:
    """Return the attachments of the content of devices.json."""
    return tuple(
        attachment for index, device in _indexed_devices(document) for attachment in _attachments_of(index, device)
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


def _environment(eid: str, entry: dict[str, Any]) -> EnvironmentRecord:
    config = entry.get("config")
    config = config if isinstance(config, dict) else {}
    return EnvironmentRecord(
        eid=eid,
        uid=_integer(entry.get("uid"), 2**32 - 1),
        username=_text(entry.get("username")),
        name=_text(config.get("name")),
        gpu_memory_bytes=memory_bytes(config.get("gpu_memory")),
        gpus=_integer(config.get("gpus"), MAX_DEVICE_INDEX),
        created=_timestamp(entry.get("creation")),
        pids=tuple(pid for value in _list(entry.get("pids")) if (pid := _integer(value, MAX_PID))),
        kernel_ids=tuple(name for value in _list(entry.get("kernel_ids")) if (name := _identifier(value))),
    )


def _attachments_of(index: int, device: dict[str, Any]) -> Iterator[Attachment]:
    old = device.get("eids")  # up to 0.9: a mapping, with the time under another name
    entries = old.values() if isinstance(old, dict) else _list(device.get("attachments"))
    for entry in entries:
        eid = _identifier(entry.get("eid")) if isinstance(entry, dict) else None
        if eid is not None:
            yield Attachment(
                eid=eid,
                device_index=index,
                gpu_memory_bytes=memory_bytes(entry.get("gpu_memory")),
                attached=_timestamp(entry.get("time", entry.get("attached"))),
            )


def _indexed_devices(document: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    devices = document.get("devices") if isinstance(document, dict) else None
    if isinstance(devices, dict):  # up to 0.9: the index is the key
        pairs: Iterable[tuple[Any, Any]] = (
            (int(key) if key.isascii() and key.isdigit() and len(key) < 5 else None, value)
            for key, value in devices.items()
        )
    else:
        pairs = ((value.get("index"), value) for value in _list(devices) if isinstance(value, dict))
    for key, value in pairs:
        index = _integer(key, MAX_DEVICE_INDEX)
        if index is not None and isinstance(value, dict):
            yield index, value


def _entries(document: Any, key: str) -> Iterator[dict[str, Any]]:
    entries = document.get(key) if isinstance(document, dict) else None
    values = entries.values() if isinstance(entries, dict) else _list(entries)
    return (value for value in values if isinstance(value, dict))


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
    if not isinstance(value, str) or len(value) > 32:
        return None
    try:
        return time.mktime(time.strptime(value, _TIME_FORMAT))
    except (ValueError, OverflowError):
        return None
