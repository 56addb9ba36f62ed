"""Field values: what NVML has no function of its own for. The numbers are ``NVML_FI_...`` of nvml.h."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from genvd.sources.nvml_errors import known
from genvd.sources.nvml_field_list import field_list

if TYPE_CHECKING:
    from genvd.sources.nvml_asked import Asked

Field = tuple[int, int]
"""A field and its ``scopeId``: the number of an NVLink, or 0."""


def field_values(device: Asked, wanted: Iterable[Field], about: str) -> dict[Field, int | float]:
    """Return those of the fields that the device has, by one call.

    Args:
        device: the device.
        wanted: the fields.
        about: what they are about, for the log.

    Raises:
        DeviceLostError: the device does not answer any more.
    """
    fields = tuple(wanted)
    if not fields:
        return {}
    answers = device.ask(field_list, fields, about=about) or ()
    told = ((field, known(value)) for field, (_, value) in zip(fields, answers, strict=False))
    return {field: value for field, value in told if value is not None}
