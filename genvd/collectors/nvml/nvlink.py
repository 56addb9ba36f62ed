"""The NVLinks of a GPU: state, traffic and errors."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import pynvml

from genvd.collectors.nvml.fields import field_values
from genvd.model.device import ErrorCount, NvLink

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from genvd.collectors.nvml.fields import Field
    from genvd.collectors.nvml.query import DeviceQuery

_LINKS = {(link,): (link,) for link in range(36)}
"""All possible links. ``NVML_NVLINK_MAX_LINKS`` is smaller in older versions of nvidia-ml-py."""

_KIB, _MB = 1024, 1_000_000

# Fields whose scopeId is the link (nvml.h). NVLink 5 counts bytes, older ones KiB without the protocol overhead.
_TRANSMIT_BYTES, _RECEIVE_BYTES, _TRANSMIT_KIB, _RECEIVE_KIB = 202, 204, 138, 139
_SPEED, _COMMON_SPEED = 164, (90, 0)
"""``NVML_FI_DEV_NVLINK_GET_SPEED`` and, for drivers without it, ``..._SPEED_MBPS_COMMON``."""

_TRAFFIC = (_TRANSMIT_BYTES, _RECEIVE_BYTES, _TRANSMIT_KIB, _RECEIVE_KIB)
_RECOVERY, _RECOVERY_OF_NVLINK_5 = 162, 215
_ERRORS = {
    161: "replay",
    _RECOVERY: "recovery",
    163: "crc",
    206: "malformed_packet",
    207: "buffer_overrun",
    208: "receive",
    211: "link_integrity",
    212: "transmit_discard",
    214: "recovery_failed",
    _RECOVERY_OF_NVLINK_5: "recovery",
    219: "effective",
    221: "symbol",
}

_ERROR_COUNTERS = {"replay": 0, "recovery": 1, "crc_flit": 2, "crc_data": 3, "ecc_data": 4}
"""``nvmlNvLinkErrorCounter_t``, for drivers without error fields."""


_FIELDS_KEY = "NVLink fields"
"""Key of the cache for the :class:`_Fields` of a GPU."""


class _Fields(NamedTuple):
    """The fields that a GPU has; the others are not read."""

    traffic: tuple[int, ...] = ()
    errors: tuple[int, ...] = ()
    """Those with error counts."""
    has_speed: bool = False


def read_nvlinks(device: DeviceQuery) -> tuple[NvLink, ...]:
    """Return the NVLinks of the GPU without their traffic. Inactive links have no values."""
    states = device.call_each(pynvml.nvmlDeviceGetNvLinkState, _LINKS, "NVLink")
    active = tuple(link for (link,), state in states.items() if state == pynvml.NVML_FEATURE_ENABLED)
    working = {link.number: link for link in _active_links(device, active)} if active else {}
    return tuple(working[link] if link in working else NvLink(link, active=False) for (link,) in states)


def with_traffic(device: DeviceQuery, links: tuple[NvLink, ...]) -> tuple[NvLink, ...]:
    """Return the NVLinks of the GPU with the bytes that the active ones have carried until now."""
    fields: _Fields = device.cache.get(_FIELDS_KEY) or _Fields()
    active, size = tuple(link.number for link in links if link.active), len(fields.traffic)
    if not size or not active:
        return links
    values = field_values(device, _fields_of_links(active, fields.traffic), "NVLink")
    rows = {link: values[place * size : (place + 1) * size] for place, link in enumerate(active)}
    return tuple(
        _with_bytes(link, dict(zip(fields.traffic, rows[link.number], strict=True))) if link.active else link
        for link in links
    )


def _with_bytes(link: NvLink, values: Mapping[int, int | None]) -> NvLink:
    return NvLink(
        number=link.number,
        receive_bytes=_bytes(values, _RECEIVE_BYTES, _RECEIVE_KIB),
        transmit_bytes=_bytes(values, _TRANSMIT_BYTES, _TRANSMIT_KIB),
        errors=link.errors,
        bytes_per_second=link.bytes_per_second,
    )


def _active_links(device: DeviceQuery, active: tuple[int, ...]) -> Iterator[NvLink]:
    fields = device.cache.get_or_fetch(_FIELDS_KEY, lambda: _supported(device, active[0])) or _Fields()
    wanted = (*fields.errors, _SPEED) if fields.has_speed else fields.errors
    values = field_values(device, _fields_of_links(active, wanted), "NVLink")
    speed = None if fields.has_speed else field_values(device, (_COMMON_SPEED,), "NVLink")[0]
    counters = () if fields.errors else _supported_counters(device, active[0])
    for position, link in enumerate(active):
        row = values[position * len(wanted) : (position + 1) * len(wanted)]
        yield NvLink(
            number=link,
            errors=_errors(fields.errors, tuple(row[: len(fields.errors)]))
            or tuple(_read_counters(device, link, counters)),
            bytes_per_second=_speed(row[-1] if fields.has_speed else speed),
        )


def _supported(device: DeviceQuery, link: int) -> _Fields | None:
    """Return the fields that the GPU has, judged by one active link; None if no field has a value."""
    wanted = (*_TRAFFIC, *_ERRORS, _SPEED)
    values = field_values(device, [(field, link) for field in wanted], "NVLink")
    present = {field for field, value in zip(wanted, values, strict=True) if value is not None}
    if _RECOVERY in present:
        present.discard(_RECOVERY_OF_NVLINK_5)
    traffic, errors = (tuple(field for field in some if field in present) for some in (_TRAFFIC, _ERRORS))
    return _Fields(traffic, errors, _SPEED in present) if present else None


@lru_cache(maxsize=64)
def _fields_of_links(links: tuple[int, ...], fields: tuple[int, ...]) -> tuple[Field, ...]:
    return tuple((field, link) for link in links for field in fields)


def _speed(megabytes: int | None) -> int | None:
    return megabytes * _MB if megabytes else None


def _bytes(values: Mapping[int, int | None], bytes_field: int, kib_field: int) -> int | None:
    amount, kib = values.get(bytes_field), values.get(kib_field)
    return amount if amount is not None or kib is None else kib * _KIB


@lru_cache(maxsize=1024)
def _errors(fields: tuple[int, ...], counts: tuple[int | None, ...]) -> tuple[ErrorCount, ...]:
    """Return the errors of a link. It is cached, as the counts of most links are the same and stay the same."""
    return tuple(
        ErrorCount(_ERRORS[field], count) for field, count in zip(fields, counts, strict=True) if count is not None
    )


def _supported_counters(device: DeviceQuery, link: int) -> tuple[str, ...]:
    """Return the error counters that the GPU has."""
    return tuple(errors.kind for errors in _read_counters(device, link, tuple(_ERROR_COUNTERS)))


def _read_counters(device: DeviceQuery, link: int, kinds: Iterable[str]) -> Iterable[ErrorCount]:
    for kind in kinds:
        about = f"NVLink {link} {kind}"
        count = device.call_int(pynvml.nvmlDeviceGetNvLinkErrorCounter, link, _ERROR_COUNTERS[kind], about=about)
        if count is not None:
            yield ErrorCount(kind, count)
