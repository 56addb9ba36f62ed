"""The NVLinks of a device: what went over them, and what went wrong on them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import pynvml

from genvd.device_model import ErrorCount, NvLink
from genvd.sources.nvml_fields import field_values

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from genvd.sources.nvml_asked import Asked
    from genvd.sources.nvml_fields import Field

_LINKS = {(link,): (link,) for link in range(36)}
"""All that there can be, ``NVML_NVLINK_MAX_LINKS``: nvidia-ml-py has had smaller ones."""

_KIB, _MB = 1024, 1_000_000

# Fields whose scopeId is the link (nvml.h). Bytes: those of NVLink 5, else KiB without the overhead of the protocol.
_TRANSMIT_BYTES, _RECEIVE_BYTES, _TRANSMIT_KIB, _RECEIVE_KIB = 202, 204, 138, 139
_ERROR_FIELDS = {
    "replay": 161,
    "recovery": 162,
    "crc": 163,
    "malformed_packet": 206,
    "buffer_overrun": 207,
    "receive": 208,
    "link_integrity": 211,
    "transmit_discard": 212,
    "recovery_failed": 214,
    "effective": 219,
    "symbol": 221,
}
_RECOVERY_OF_NVLINK_5 = 215
_SPEED, _COMMON_SPEED = 164, (90, 0)
"""``NVML_FI_DEV_NVLINK_GET_SPEED`` and, for drivers without it, ``..._SPEED_MBPS_COMMON``."""

_ERRORS = {*_ERROR_FIELDS.values(), _RECOVERY_OF_NVLINK_5}
_FIELDS = (
    *(_TRANSMIT_BYTES, _RECEIVE_BYTES, _TRANSMIT_KIB, _RECEIVE_KIB),
    *_ERROR_FIELDS.values(),
    _RECOVERY_OF_NVLINK_5,
    _SPEED,
)

_ERROR_COUNTERS = {"replay": 0, "recovery": 1, "crc_flit": 2, "crc_data": 3, "ecc_data": 4}
"""``nvmlNvLinkErrorCounter_t``, for drivers without such fields."""


def nvlinks(device: Asked) -> tuple[NvLink, ...]:
    """Return the links of the device; of those that are not active, only that.

    Raises:
        DeviceLostError: it does not answer any more.
    """
    states = device.of_each(pynvml.nvmlDeviceGetNvLinkState, _LINKS, "NVLink")
    active = tuple(link for (link,), state in states.items() if state == pynvml.NVML_FEATURE_ENABLED)
    working = {link.number: link for link in _working(device, active)} if active else {}
    return tuple(working.get(link, NvLink(link, active=False)) for (link,) in states)


def _working(device: Asked, active: tuple[int, ...]) -> Iterator[NvLink]:
    fields = device.constants.get("NVLink fields", lambda: _supported(device, active[0])) or ()
    values = field_values(device, _of_each(active, fields), "NVLink")
    speed = None if _SPEED in fields else field_values(device, (_COMMON_SPEED,), "NVLink")[0]
    kinds = tuple(_error_fields(fields))
    counters = () if _ERRORS & set(fields) else _counters(device, active[0])
    for place, link in enumerate(active):
        told = dict(zip(fields, values[place * len(fields) : (place + 1) * len(fields)], strict=True))
        yield NvLink(
            number=link,
            receive_bytes=_bytes(told, _RECEIVE_BYTES, _RECEIVE_KIB),
            transmit_bytes=_bytes(told, _TRANSMIT_BYTES, _TRANSMIT_KIB),
            errors=(*_errors(told, kinds), *_counted(device, link, counters)),
            bytes_per_second=_speed(told.get(_SPEED, speed)),
        )


@lru_cache(maxsize=64)
def _of_each(links: tuple[int, ...], fields: tuple[int, ...]) -> tuple[Field, ...]:
    return tuple((field, link) for link in links for field in fields)


def _supported(device: Asked, link: int) -> tuple[int, ...] | None:
    """Return the fields that the device has, so that the others are not asked for each link, each time."""
    values = field_values(device, ((field, link) for field in _FIELDS), "NVLink")
    return tuple(field for field, value in zip(_FIELDS, values, strict=True) if value is not None) or None


def _speed(megabytes: int | None) -> int | None:
    return megabytes * _MB if megabytes else None


def _bytes(told: Mapping[int, int | None], in_bytes: int, in_kib: int) -> int | None:
    amount, kib = told.get(in_bytes), told.get(in_kib)
    return amount if amount is not None or kib is None else kib * _KIB


def _error_fields(fields: Collection[int]) -> Iterator[tuple[str, int]]:
    """Return what is counted of errors, and in which of these fields."""
    for kind, field in _ERROR_FIELDS.items():
        if field in fields:
            yield kind, field
        elif kind == "recovery" and _RECOVERY_OF_NVLINK_5 in fields:
            yield kind, _RECOVERY_OF_NVLINK_5


def _errors(told: Mapping[int, int | None], kinds: Iterable[tuple[str, int]]) -> list[ErrorCount]:
    counts = ((kind, told[field]) for kind, field in kinds)
    return [ErrorCount(kind, count) for kind, count in counts if count is not None]


def _counters(device: Asked, link: int) -> tuple[str, ...]:
    """Return the error counters that the device has."""
    return tuple(errors.kind for errors in _counted(device, link, tuple(_ERROR_COUNTERS)))


def _counted(device: Asked, link: int, kinds: Iterable[str]) -> Iterable[ErrorCount]:
    for kind in kinds:
        about = f"NVLink {link} {kind}"
        count = device.number(pynvml.nvmlDeviceGetNvLinkErrorCounter, link, _ERROR_COUNTERS[kind], about=about)
        if count is not None:
            yield ErrorCount(kind, count)
