"""The memory health of a GPU: ECC errors, remapped rows, retired pages, pending repairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pynvml

from genvd.collectors.nvml.bounds import flag, within
from genvd.collectors.nvml.errors import value_or_none
from genvd.collectors.nvml.extra_calls import repair_status, retired_pages, sram_errors, unrepairable_memory
from genvd.model.device import Banks, EccErrors, ErrorCount, LocationErrors, MemoryHealth

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from genvd.collectors.nvml.query import DeviceQuery

_SEVERITIES = {
    "corrected": pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED,
    "uncorrected": pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
}
_SCOPES = {"volatile": pynvml.NVML_VOLATILE_ECC, "aggregate": pynvml.NVML_AGGREGATE_ECC}

_LOCATIONS = {
    "l1_cache": 0,
    "l2_cache": 1,
    "dram": 2,
    "register_file": 3,
    "texture_memory": 4,
    "shared_memory": 5,
    "cbu": 6,
    "sram": 7,
}
"""``nvmlMemoryLocation_t``. Turing and later GPUs have ``dram`` and ``sram``."""

_TOTALS = {(severity, scope): (_SEVERITIES[severity], _SCOPES[scope]) for severity in _SEVERITIES for scope in _SCOPES}
_PLACES = {(*total, place): (*_TOTALS[total], _LOCATIONS[place]) for total in _TOTALS for place in _LOCATIONS}
"""The arguments of the call for each error counter."""

_SRAM_SOURCES = ("l2", "sm", "pcie", "microcontroller", "other")
_AVAILABILITIES = ("max", "high", "partial", "low", "none")

_MAX_PAGES = 100_000
"""Retired pages; a GPU with 64 of them should be replaced."""


def read_memory_health(device: DeviceQuery) -> MemoryHealth:
    """Return the memory health of the GPU."""
    mode = device.call(pynvml.nvmlDeviceGetEccMode)
    enabled = flag(mode[0]) if mode else None
    sram = device.call(sram_errors)
    banks = device.call(pynvml.nvmlDeviceGetRowRemapperHistogram)
    rows = device.call(pynvml.nvmlDeviceGetRemappedRows) or (None, None, None, None)
    repairs = device.call(repair_status)
    return MemoryHealth(
        ecc_enabled=enabled,
        ecc_pending=flag(mode[1]) if mode else None,
        ecc_errors=_ecc_errors(device) if enabled is not False else (),
        placed_errors=read_placed_errors(device, _PLACES) if enabled else (),
        sram_errors=tuple(ErrorCount(*one) for one in _counts(sram, _SRAM_SOURCES)) if enabled else (),
        sram_threshold_exceeded=bool(sram.threshold_exceeded) if sram and enabled else None,
        remapped_rows_corrected=value_or_none(rows[0]),
        remapped_rows_uncorrected=value_or_none(rows[1]),
        remap_pending=flag(rows[2]),
        remap_failed=flag(rows[3]),
        remap_banks=tuple(Banks(*one) for one in _counts(banks, _AVAILABILITIES)),
        retired_pages_single_bit=_retired_pages(
            device, pynvml.NVML_PAGE_RETIREMENT_CAUSE_MULTIPLE_SINGLE_BIT_ECC_ERRORS, "single bit"
        ),
        retired_pages_double_bit=_retired_pages(
            device, pynvml.NVML_PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR, "double bit"
        ),
        retirement_pending=flag(device.call_int(pynvml.nvmlDeviceGetRetiredPagesPendingStatus)),
        channel_repair_pending=_strict_flag(repairs.channel) if repairs else None,
        tpc_repair_pending=_strict_flag(repairs.tpc) if repairs else None,
        unrepairable_memory=_strict_flag(device.call(unrepairable_memory)),
    )


def _ecc_errors(device: DeviceQuery) -> tuple[EccErrors, ...]:
    counts = device.call_each(pynvml.nvmlDeviceGetTotalEccErrors, _TOTALS, "errors")
    return tuple(EccErrors(*which, count) for which, count in counts.items())


def read_placed_errors(device: DeviceQuery, wanted: Iterable[tuple[str, str, str]]) -> tuple[LocationErrors, ...]:
    """Return error counts by memory location. GPU generations differ in their locations.

    Args:
        device: a GPU or a MIG device.
        wanted: severity, scope and location of each.
    """
    counts = device.call_each(pynvml.nvmlDeviceGetMemoryErrorCounter, {one: _PLACES[one] for one in wanted}, "errors")
    return tuple(LocationErrors(*which, count) for which, count in counts.items())


def _retired_pages(device: DeviceQuery, cause: int, about: str) -> int | None:
    return within(device.call_int(retired_pages, cause, about=about), 0, _MAX_PAGES)


def _counts(structure: Any, names: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Return the members of a structure that are available; none if it is None."""
    for name in names if structure else ():
        count = value_or_none(getattr(structure, name))
        if count is not None:
            yield name, count


def _strict_flag(value: int | None) -> bool | None:
    """Return a flag that is 0 or 1; None for any other value."""
    return bool(value) if value in (0, 1) else None
