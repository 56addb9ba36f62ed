"""Errors of a device's memory, and what was put out of use for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pynvml

from genvd.device_model import EccErrors, MemoryHealth
from genvd.sources.nvml_errors import known

if TYPE_CHECKING:
    from genvd.sources.nvml_asked import Asked

_SEVERITIES = {
    "corrected": pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED,
    "uncorrected": pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
}
_SCOPES = {"volatile": pynvml.NVML_VOLATILE_ECC, "aggregate": pynvml.NVML_AGGREGATE_ECC}


def memory_health(device: Asked) -> MemoryHealth:
    """Return what the device tells.

    Raises:
        DeviceLostError: it does not answer any more.
    """
    mode = device.ask(pynvml.nvmlDeviceGetEccMode)
    rows = device.ask(pynvml.nvmlDeviceGetRemappedRows) or (None, None, None, None)
    return MemoryHealth(
        ecc_enabled=_flag(mode[0]) if mode else None,
        ecc_errors=_ecc_errors(device),
        remapped_rows_corrected=known(rows[0]),
        remapped_rows_uncorrected=known(rows[1]),
        remap_pending=_flag(rows[2]),
        remap_failed=_flag(rows[3]),
        retired_pages_single_bit=_retired_pages(
            device, pynvml.NVML_PAGE_RETIREMENT_CAUSE_MULTIPLE_SINGLE_BIT_ECC_ERRORS, "single bit"
        ),
        retired_pages_double_bit=_retired_pages(
            device, pynvml.NVML_PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR, "double bit"
        ),
        retirement_pending=_flag(device.number(pynvml.nvmlDeviceGetRetiredPagesPendingStatus)),
    )


def _ecc_errors(device: Asked) -> tuple[EccErrors, ...]:
    counts = (
        (severity, scope, device.number(pynvml.nvmlDeviceGetTotalEccErrors, kind, counter, about=f"{severity} {scope}"))
        for severity, kind in _SEVERITIES.items()
        for scope, counter in _SCOPES.items()
    )
    return tuple(EccErrors(severity, scope, count) for severity, scope, count in counts if count is not None)


def _retired_pages(device: Asked, cause: int, about: str) -> int | None:
    pages = device.ask(pynvml.nvmlDeviceGetRetiredPages, cause, about=about)
    return None if pages is None else len(pages)


def _flag(value: int | None) -> bool | None:
    value = known(value)
    return None if value is None else bool(value)
