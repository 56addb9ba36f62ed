"""The memory of a GPU or a MIG device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pynvml

from genvd.collectors.nvml.bounds import part_of
from genvd.collectors.nvml.errors import value_or_none

if TYPE_CHECKING:
    from genvd.collectors.nvml.query import DeviceQuery

_VERSION_2_FAILS = frozenset({pynvml.NVML_ERROR_INVALID_ARGUMENT, pynvml.NVML_ERROR_UNKNOWN})
"""Answers of some drivers that have version 2 of the call, but not for this GPU."""


class Memory(NamedTuple):
    """Amounts of memory in bytes; None if unknown."""

    total: int | None = None
    used: int | None = None
    free: int | None = None
    reserved: int | None = None
    shares_host_memory: bool = False
    """Whether the GPU uses host memory, as on chips with GPU and CPU. NVML does not support the call then."""


def read_memory(device: DeviceQuery) -> Memory:
    """Return the memory of the device.

    Version 2 of the call counts used memory as nvidia-smi does. Version 1, for drivers before 510, includes memory that
    the driver reserves. So it does not replace version 2 once that has worked.
    """
    version_2_works = device.cache.get("memory version 2 works")
    info = device.call_first(
        (memory_info, (device.handle,)),
        (pynvml.nvmlDeviceGetMemoryInfo, (device.handle,)),
        also=() if version_2_works else _VERSION_2_FAILS,
    )
    if info is None:
        return Memory(shares_host_memory=device.is_unsupported(memory_info, pynvml.nvmlDeviceGetMemoryInfo))
    if hasattr(info, "reserved"):
        device.cache.set("memory version 2 works", True)
    return Memory(
        total=value_or_none(info.total) or None,
        used=part_of(info.used, info.total),
        free=part_of(info.free, info.total),
        reserved=part_of(getattr(info, "reserved", None), info.total),
    )


def read_bar1(device: DeviceQuery) -> Memory:
    """Return used and total BAR1 memory, the window through which the host accesses GPU memory."""
    info = device.call(pynvml.nvmlDeviceGetBAR1MemoryInfo)
    return Memory(value_or_none(info.bar1Total) or None, part_of(info.bar1Used, info.bar1Total)) if info else Memory()


def memory_info(handle: Any) -> Any:
    """Call version 2 of the function. The log shows the name of this function."""
    return pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
