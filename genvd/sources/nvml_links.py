"""The NVLinks of a device: what went over them, and what went wrong on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pynvml

from genvd.device_model import ErrorCount, NvLink
from genvd.sources.nvml_errors import NOT_SUPPORTED
from genvd.sources.nvml_fields import field_values

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from genvd.sources.nvml_asked import Asked
    from genvd.sources.nvml_fields import Field

_MOST_LINKS = 36
"""``NVML_NVLINK_MAX_LINKS``; nvidia-ml-py has had smaller ones."""

_NO_LINK = -1
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
    """Return the active links of the device.

    Raises:
        DeviceLostError: it does not answer any more.
    """
    states = _states(device)
    active = tuple(link for link, state in states.items() if state == pynvml.NVML_FEATURE_ENABLED)
    working = {link.number: link for link in _working(device, active)} if active else {}
    return tuple(working.get(link, NvLink(link, active=False)) for link in states)


def _working(device: Asked, active: tuple[int, ...]) -> tuple[NvLink, ...]:
    fields = device.constants.get("NVLink fields", lambda: _supported(device, active[0])) or ()
    common = () if _SPEED in fields else (_COMMON_SPEED,)
    values = field_values(device, (*common, *((field, link) for link in active for field in fields)), "NVLink")
    counters = () if _ERRORS & set(fields) else _counters(device, active[0])
    kinds = tuple(_error_fields(fields))
    return tuple(
        NvLink(
            number=link,
            receive_bytes=_bytes(values, link, _RECEIVE_BYTES, _RECEIVE_KIB),
            transmit_bytes=_bytes(values, link, _TRANSMIT_BYTES, _TRANSMIT_KIB),
            errors=(*_errors(values, link, kinds), *_counted(device, link, counters)),
            bytes_per_second=_speed(values, link),
        )
        for link in active
    )


def _states(device: Asked) -> dict[int, int]:
    """Return the links that there are and tell. Which ones there are is asked once: most devices have none."""
    there: tuple[int, ...] | None = device.constants.get("NVLinks", lambda: None)
    states = {link: _ask_state(device, link) for link in (range(_MOST_LINKS) if there is None else there)}
    if None not in states.values():
        device.constants.get("NVLinks", lambda: tuple(link for link, state in states.items() if state != _NO_LINK))
    return {link: state for link, state in states.items() if state is not None and state != _NO_LINK}


def _ask_state(device: Asked, link: int) -> int | None:
    return device.number(link_state, link, about=f"NVLink {link}")


def link_state(handle: Any, link: int) -> int:
    """Return whether a link is active, or that there is none. The name stands in the log."""
    try:
        state: int = pynvml.nvmlDeviceGetNvLinkState(handle, link)
    except pynvml.NVMLError as error:
        if error.value in NOT_SUPPORTED or error.value == pynvml.NVML_ERROR_INVALID_ARGUMENT:
            return _NO_LINK
        raise
    return state


def _supported(device: Asked, link: int) -> tuple[int, ...] | None:
    """Return the fields that the device has, so that the others are not asked for each link, each time."""
    found = field_values(device, ((field, link) for field in _FIELDS), "NVLink")
    return tuple(field for field, _ in found) or None


def _speed(values: Mapping[Field, int], link: int) -> int | None:
    megabytes = values.get((_SPEED, link), values.get(_COMMON_SPEED, 0))
    return megabytes * _MB or None


def _bytes(values: Mapping[Field, int], link: int, in_bytes: int, in_kib: int) -> int | None:
    if (in_bytes, link) in values:
        return values[in_bytes, link]
    return values[in_kib, link] * _KIB if (in_kib, link) in values else None


def _error_fields(fields: Collection[int]) -> Iterator[tuple[str, int]]:
    """Return what is counted of errors, and in which of these fields."""
    for kind, field in _ERROR_FIELDS.items():
        if field in fields:
            yield kind, field
        elif kind == "recovery" and _RECOVERY_OF_NVLINK_5 in fields:
            yield kind, _RECOVERY_OF_NVLINK_5


def _errors(values: Mapping[Field, int], link: int, kinds: Iterable[tuple[str, int]]) -> Iterable[ErrorCount]:
    return [ErrorCount(kind, values[field, link]) for kind, field in kinds if (field, link) in values]


def _counters(device: Asked, link: int) -> tuple[str, ...]:
    """Return the error counters that the device has."""
    return tuple(errors.kind for errors in _counted(device, link, tuple(_ERROR_COUNTERS)))


def _counted(device: Asked, link: int, kinds: Iterable[str]) -> Iterable[ErrorCount]:
    for kind in kinds:
        about = f"NVLink {link} {kind}"
        count = device.number(pynvml.nvmlDeviceGetNvLinkErrorCounter, link, _ERROR_COUNTERS[kind], about=about)
        if count is not None:
            yield ErrorCount(kind, count)
