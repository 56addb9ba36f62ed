"""Field values: what NVML has no function of its own for, by one call. The numbers are ``NVML_FI_...`` of nvml.h.

nvidia-ml-py has this call too, but looks up each member of each entry by name, which is most of what a tick costs on
devices with many NVLinks. The layout is ``nvmlFieldValue_t`` of nvml.h, and of the union in it ``nvmlValue_t``.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pynvml

from genvd.collectors.nvml.bounds import integer
from genvd.collectors.nvml.errors import NOT_AVAILABLE, PART_NOT_SUPPORTED
from genvd.collectors.nvml.extra_calls import function

if TYPE_CHECKING:
    from genvd.collectors.nvml.query import DeviceQuery


Field = tuple[int, int]
"""A field and its ``scopeId``: the number of an NVLink, or 0."""


def field_values(device: DeviceQuery, fields: Iterable[Field], about: str) -> list[int | None]:
    """Return the values of the fields by one call, in their order; None for each that the device has not.

    Args:
        device: the device.
        fields: what is wanted.
        about: what they are about, for the log.

    Raises:
        DeviceLostError: the device does not answer any more.
    """
    return [value for _, value in _answers(device, tuple(fields), about)]


def supported_values(device: DeviceQuery, wanted: Iterable[Field], about: str) -> dict[Field, int]:
    """Return those of the fields that the device has; one that it has not is not asked for again."""
    refused = device.cache.get_or_fetch(f"{about} refused", set[Field])
    fields = tuple(field for field in wanted if field not in (refused or ()))
    answers = list(zip(fields, _answers(device, fields, about), strict=True))
    if refused is not None:
        refused.update(field for field, (result, _) in answers if result in PART_NOT_SUPPORTED)
    return {field: value for field, (_, value) in answers if value is not None}


def _answers(device: DeviceQuery, fields: tuple[Field, ...], about: str) -> Sequence[Answer]:
    told: list[Answer] | None = device.call(field_list, fields, about=about) if fields else []
    return [(pynvml.NVML_ERROR_UNKNOWN, None)] * len(fields) if told is None else told


_ENTRY = struct.Struct("=IIqqIIQ")
"""Field, ``scopeId``, timestamp, latency, ``nvmlValueType_t``, ``nvmlReturn_t``, value."""

_BYTES = struct.Struct("=Q")
_UNSIGNED_LONG_LONG = 3
_TYPES = tuple(map(struct.Struct, ("=d", "=I", "=Q", "=Q", "=q", "=i", "=H")))
"""By ``nvmlValueType_t``."""

_SIGNED = frozenset({pynvml.NVML_FI_DEV_MEMORY_TEMP, 193, 194, 195, 196})
"""The fields that may be below 0; of all others nvml.h makes counts and amounts."""

Answer = tuple[int, int | None]
"""An ``nvmlReturn_t``, and the value if there is one that can be."""


def field_list(handle: Any, fields: tuple[tuple[int, int], ...]) -> list[Answer]:
    """Return what the device says of these fields and ``scopeId``. The name stands in the log.

    Raises:
        pynvml.NVMLError: NVML does not tell.
    """
    buffer = ctypes.create_string_buffer(_question(fields), len(fields) * _ENTRY.size)
    result = function("nvmlDeviceGetFieldValues")(handle, len(fields), buffer)
    if result != pynvml.NVML_SUCCESS:
        raise pynvml.NVMLError(result)
    return [
        (said, value if kind == _UNSIGNED_LONG_LONG and value not in NOT_AVAILABLE else _converted(field, value, kind))
        if said == pynvml.NVML_SUCCESS
        else (said, None)
        for field, _, _, _, kind, said, value in _ENTRY.iter_unpack(buffer.raw)
    ]


def _converted(field: int, value: int, kind: int) -> int | None:
    """Return what the bytes of a value are in another type; what the type does not name is undefined."""
    if kind >= len(_TYPES):
        return None
    number = integer(_TYPES[kind].unpack_from(_BYTES.pack(value))[0])
    return number if number is None or number >= 0 or field in _SIGNED else None


@lru_cache(maxsize=64)
def _question(fields: tuple[tuple[int, int], ...]) -> bytes:
    return b"".join(_ENTRY.pack(field, scope, 0, 0, 0, 0, 0) for field, scope in fields)
