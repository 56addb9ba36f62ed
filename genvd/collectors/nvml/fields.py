"""Reads many NVML field values in one call. The field numbers are ``NVML_FI_...`` of nvml.h.

nvidia-ml-py has this call too, but it looks up each member by name. On GPUs with many NVLinks that would take most of
the time of a collection. The layouts are ``nvmlFieldValue_t`` and ``nvmlValue_t`` of nvml.h.
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
from genvd.collectors.nvml.extra_calls import library_function

if TYPE_CHECKING:
    from genvd.collectors.nvml.query import DeviceQuery


Field = tuple[int, int]
"""A field and its ``scopeId``: the number of an NVLink, or 0."""


def field_values(device: DeviceQuery, fields: Iterable[Field], about: str) -> list[int | None]:
    """Return the values of the fields in the same order; None for a field that the GPU does not have.

    Args:
        device: the GPU.
        fields: the fields to read.
        about: what the fields are about, for the log.
    """
    return [value for _, value in _answers(device, tuple(fields), about)]


def supported_values(device: DeviceQuery, wanted: Iterable[Field], about: str) -> dict[Field, int]:
    """Return the values of the fields that the GPU has; unsupported fields are not read again."""
    unsupported = device.cache.get_or_fetch(f"{about} unsupported fields", set[Field])
    fields = tuple(field for field in wanted if field not in (unsupported or ()))
    answers = list(zip(fields, _answers(device, fields, about), strict=True))
    if unsupported is not None:
        unsupported.update(field for field, (result, _) in answers if result in PART_NOT_SUPPORTED)
    return {field: value for field, (_, value) in answers if value is not None}


def _answers(device: DeviceQuery, fields: tuple[Field, ...], about: str) -> Sequence[Answer]:
    """Return one answer for each field, without values if the call fails."""
    answers: list[Answer] | None = device.call(field_list, fields, about=about) if fields else []
    return [(pynvml.NVML_ERROR_UNKNOWN, None)] * len(fields) if answers is None else answers


_ENTRY = struct.Struct("=IIqqIIQ")
"""Field, ``scopeId``, timestamp, latency, ``nvmlValueType_t``, ``nvmlReturn_t``, value."""

_BYTES = struct.Struct("=Q")
_UNSIGNED_LONG_LONG = 3
_TYPES = tuple(map(struct.Struct, ("=d", "=I", "=Q", "=Q", "=q", "=i", "=H")))
"""By ``nvmlValueType_t``."""

_SIGNED = frozenset({pynvml.NVML_FI_DEV_MEMORY_TEMP, 193, 194, 195, 196})
"""The fields that may be below 0, all of them temperatures; the others are counts and amounts."""

Answer = tuple[int, int | None]
"""An ``nvmlReturn_t``, and the value if it is valid."""


def field_list(handle: Any, fields: tuple[Field, ...]) -> list[Answer]:
    """Return the answers for these fields. The log shows the name of this function.

    Raises:
        pynvml.NVMLError: the call fails.
    """
    buffer = ctypes.create_string_buffer(_request(fields), len(fields) * _ENTRY.size)
    result = library_function("nvmlDeviceGetFieldValues")(handle, len(fields), buffer)
    if result != pynvml.NVML_SUCCESS:
        raise pynvml.NVMLError(result)
    return [
        (code, value if kind == _UNSIGNED_LONG_LONG and value not in NOT_AVAILABLE else _converted(field, value, kind))
        if code == pynvml.NVML_SUCCESS
        else (code, None)
        for field, _, _, _, kind, code, value in _ENTRY.iter_unpack(buffer.raw)
    ]


def _converted(field: int, value: int, kind: int) -> int | None:
    """Return a value as an integer, or None if it is impossible.

    Args:
        field: the number of the field.
        value: the 8 bytes of the value, read as an unsigned long long.
        kind: the real type of the value, an ``nvmlValueType_t``.
    """
    if kind >= len(_TYPES):
        return None
    number = integer(_TYPES[kind].unpack_from(_BYTES.pack(value))[0])
    return number if number is None or number >= 0 or field in _SIGNED else None


@lru_cache(maxsize=64)
def _request(fields: tuple[Field, ...]) -> bytes:
    return b"".join(_ENTRY.pack(field, scope, 0, 0, 0, 0, 0) for field, scope in fields)
