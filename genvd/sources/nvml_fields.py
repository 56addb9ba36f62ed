"""Field values: what NVML has no function of its own for. The numbers are ``NVML_FI_...`` of nvml.h."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pynvml

from genvd.sources.nvml_errors import NOT_SUPPORTED, known

if TYPE_CHECKING:
    from genvd.sources.nvml_asked import Asked

Field = tuple[int, int]
"""A field and its ``scopeId``: the number of an NVLink, or 0."""

_REFUSALS = NOT_SUPPORTED | {pynvml.NVML_ERROR_INVALID_ARGUMENT}
"""What is said of a field that device or driver does not have."""

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
    return _values(device, list(wanted), about, set())


def _values(device: Asked, fields: list[Field], about: str, refused: set[Field]) -> dict[Field, int | float]:
    if not fields:
        return {}
    answer = list(zip(fields, device.ask(pynvml.nvmlDeviceGetFieldValues, fields, about=about) or (), strict=False))
    refused.update(field for field, entry in answer if entry.nvmlReturn in _REFUSALS)
    values = ((field, _number(entry)) for field, entry in answer)
    return {field: value for field, value in values if value is not None}


def supported_values(device: Asked, wanted: Iterable[Field], about: str) -> dict[Field, int | float]:
    """Return the same; a field that the device has not is not asked for again."""
    refused = device.constants.get(f"{about} refused", set[Field])
    fields = [field for field in wanted if field not in (refused or ())]
    return _values(device, fields, about, set() if refused is None else refused)


def _number(entry: Any) -> int | float | None:
    """Return the value of an ``nvmlFieldValue_t``; what its type does not name is undefined."""
    if entry.nvmlReturn != pynvml.NVML_SUCCESS or entry.valueType >= len(_MEMBERS):
        return None
    value: int | float | None = getattr(entry.value, _MEMBERS[entry.valueType], None)
    return known(value) if isinstance(value, int) else value
