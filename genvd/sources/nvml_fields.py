"""Field values: what NVML has no function of its own for. The numbers are ``NVML_FI_...`` of nvml.h."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pynvml

from genvd.sources.nvml_errors import NOT_SUPPORTED
from genvd.sources.nvml_field_list import field_list
from genvd.sources.nvml_sane import whole

if TYPE_CHECKING:
    from genvd.sources.nvml_asked import Asked

Field = tuple[int, int]
"""A field and its ``scopeId``: the number of an NVLink, or 0."""

_REFUSALS = NOT_SUPPORTED | {pynvml.NVML_ERROR_INVALID_ARGUMENT}
"""What is said of a field that device or driver does not have."""

_SIGNED = frozenset({pynvml.NVML_FI_DEV_MEMORY_TEMP})
"""The fields that may be below 0; of all others nvml.h makes counts and amounts."""


def field_values(device: Asked, wanted: Iterable[Field], about: str) -> dict[Field, int]:
    """Return those of the fields that the device has, by one call.

    Args:
        device: the device.
        wanted: the fields.
        about: what they are about, for the log.

    Raises:
        DeviceLostError: the device does not answer any more.
    """
    return _values(device, tuple(wanted), about, set())


def _values(device: Asked, fields: tuple[Field, ...], about: str, refused: set[Field]) -> dict[Field, int]:
    if not fields:
        return {}
    answers = list(zip(fields, device.ask(field_list, fields, about=about) or (), strict=False))
    refused.update(field for field, (result, _) in answers if result in _REFUSALS)
    told = ((field, whole(value)) for field, (_, value) in answers)
    return {field: value for field, value in told if value is not None and (value >= 0 or field[0] in _SIGNED)}


def supported_values(device: Asked, wanted: Iterable[Field], about: str) -> dict[Field, int]:
    """Return the same; a field that the device has not is not asked for again."""
    refused = device.constants.get(f"{about} refused", set[Field])
    fields = tuple(field for field in wanted if field not in (refused or ()))
    return _values(device, fields, about, set() if refused is None else refused)
