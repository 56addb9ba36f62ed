"""The NVLink-C2C links of a GPU to the Grace CPU of the same module."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from genvd.collectors.nvml.bounds import within
from genvd.collectors.nvml.fields import supported_values
from genvd.model.device import C2cLink, ErrorCount

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genvd.collectors.nvml.fields import Field
    from genvd.collectors.nvml.query import DeviceQuery

_COUNT = (170, 0)
"""``NVML_FI_DEV_C2C_LINK_COUNT``."""

# Fields whose scopeId is the link, ``NVML_FI_DEV_C2C_LINK_...`` of nvml.h.
_STATUS, _MEGABYTES_PER_SECOND = 171, 172
_ERRORS = {231: "crc", 232: "replay", 233: "replay_back_to_back"}

_MB = 1_000_000
_MAX_LINKS = 64
"""Of one GPU; GH200 has 10."""

_ACTIVE = {0: False, 1: True}


def read_c2c_links(device: DeviceQuery) -> tuple[C2cLink, ...]:
    """Return the C2C links of the GPU. Inactive links have no bandwidth."""
    count = device.cache.get_or_fetch("C2C links", lambda: _count(device))
    if not count:
        return ()
    values = supported_values(device, _fields(count), "C2C")
    return tuple(_link(number, values) for number in range(count))


def _count(device: DeviceQuery) -> int | None:
    return within(supported_values(device, (_COUNT,), "C2C").get(_COUNT), 0, _MAX_LINKS)


@lru_cache(maxsize=8)
def _fields(links: int) -> tuple[Field, ...]:
    return tuple((field, link) for link in range(links) for field in (_STATUS, _MEGABYTES_PER_SECOND, *_ERRORS))


def _link(number: int, values: Mapping[Field, int]) -> C2cLink:
    active = _ACTIVE.get(values.get((_STATUS, number), -1))
    bandwidth = values.get((_MEGABYTES_PER_SECOND, number)) if active else None
    return C2cLink(
        number,
        active=active,
        bytes_per_second=bandwidth * _MB if bandwidth else None,
        errors=tuple(
            ErrorCount(kind, values[field, number]) for field, kind in _ERRORS.items() if (field, number) in values
        ),
    )
