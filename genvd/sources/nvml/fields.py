"""Field values: what NVML has no function of its own for. The numbers are ``NVML_FI_...`` of nvml.h."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pynvml

from genvd.sources.nvml.errors import REFUSED
from genvd.sources.nvml.field_list import field_list

if TYPE_CHECKING:
    from genvd.sources.nvml.asked import Asked
    from genvd.sources.nvml.field_list import Answer

Field = tuple[int, int]
"""A field and its ``scopeId``: the number of an NVLink, or 0."""


def field_values(device: Asked, fields: Iterable[Field], about: str) -> list[int | None]:
    """Return the values of the fields by one call, in their order; None for each that the device has not.

    Args:
        device: the device.
        fields: what is wanted.
        about: what they are about, for the log.

    Raises:
        DeviceLostError: the device does not answer any more.
    """
    return [value for _, value in _answers(device, tuple(fields), about)]


def supported_values(device: Asked, wanted: Iterable[Field], about: str) -> dict[Field, int]:
    """Return those of the fields that the device has; one that it has not is not asked for again."""
    refused = device.constants.get(f"{about} refused", set[Field])
    fields = tuple(field for field in wanted if field not in (refused or ()))
    answers = list(zip(fields, _answers(device, fields, about), strict=True))
    if refused is not None:
        refused.update(field for field, (result, _) in answers if result in REFUSED)
    return {field: value for field, (_, value) in answers if value is not None}


def _answers(device: Asked, fields: tuple[Field, ...], about: str) -> Sequence[Answer]:
    told: list[Answer] | None = device.ask(field_list, fields, about=about) if fields else []
    return [(pynvml.NVML_ERROR_UNKNOWN, None)] * len(fields) if told is None else told
