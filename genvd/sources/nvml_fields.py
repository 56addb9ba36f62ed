"""Field values: what NVML has no function of its own for. The numbers are ``NVML_FI_...`` of nvml.h."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pynvml

from genvd.sources.nvml_errors import known

if TYPE_CHECKING:
    from genvd.sources.nvml_asked import Asked

Field = tuple[int, int]
"""A field and its ``scopeId``: the number of an NVLink, or 0."""

_MEMBERS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
"""Of the union ``nvmlValue_t``, by ``nvmlValueType_t``."""


def field_values(device: Asked, wanted: Iterable[Field], about: str) -> dict[Field, int | float]:
    """Return those of the fields that the device has, by one call.

    Args:
        device: the device.
        wanted: the fields.
        about: what they are about, for the log.

    Raises:
        DeviceLostError: the device does not answer any more.
    """
    fields = list(wanted)
    if not fields:
        return {}
    answer = device.ask(pynvml.nvmlDeviceGetFieldValues, fields, about=about) or ()
    values = ((field, _number(entry)) for field, entry in zip(fields, answer, strict=False))
    return {field: value for field, value in values if value is not None}


def _number(entry: Any) -> int | float | None:
    """Return the value of an ``nvmlFieldValue_t``; what its type does not name is undefined."""
    if entry.nvmlReturn != pynvml.NVML_SUCCESS or entry.valueType >= len(_MEMBERS):
        return None
    value: int | float | None = getattr(entry.value, _MEMBERS[entry.valueType], None)
    return known(value) if isinstance(value, int) else value
