"""The memory of a device, or of a MIG device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pynvml

from genvd.collectors.nvml.bounds import part_of
from genvd.collectors.nvml.errors import value_or_none

if TYPE_CHECKING:
    from genvd.collectors.nvml.query import DeviceQuery

_WILL_NOT_DO = frozenset({pynvml.NVML_ERROR_INVALID_ARGUMENT, pynvml.NVML_ERROR_UNKNOWN})
"""What drivers have been seen to answer that have the second version of the call, but not for this device."""


class Memory(NamedTuple):
    """Bytes; None: not known."""

    total: int | None = None
    used: int | None = None
    free: int | None = None
    reserved: int | None = None
    shares_host_memory: bool = False
    """Whether the device has none of its own, as where GPU and CPU are one chip: NVML does not support the question."""


def read_memory(device: DeviceQuery) -> Memory:
    """Return what the device tells.

    The second version of the call counts as used what nvidia-smi does. The first, for drivers before 510, adds the
    driver's own reserve, so it does not stand in for a second one that worked before and fails for once.

    Raises:
        DeviceLostError: it does not answer any more.
    """
    works = device.cache.get("memory by the second version")
    told = device.call_first(
        (memory_info, (device.handle,)),
        (pynvml.nvmlDeviceGetMemoryInfo, (device.handle,)),
        also=() if works else _WILL_NOT_DO,
    )
    if told is None:
        return Memory(shares_host_memory=device.is_unsupported(memory_info, pynvml.nvmlDeviceGetMemoryInfo))
    if hasattr(told, "reserved"):
        device.cache.set("memory by the second version", True)
    return Memory(
        total=value_or_none(told.total) or None,
        used=part_of(told.used, told.total),
        free=part_of(told.free, told.total),
        reserved=part_of(getattr(told, "reserved", None), told.total),
    )


def read_bar1(device: DeviceQuery) -> Memory:
    """Return what is in use, and all there is, of the window through which the host reaches the memory.

    Raises:
        DeviceLostError: it does not answer any more.
    """
    told = device.call(pynvml.nvmlDeviceGetBAR1MemoryInfo)
    return Memory(value_or_none(told.bar1Total) or None, part_of(told.bar1Used, told.bar1Total)) if told else Memory()


def memory_info(handle: Any) -> Any:
    """Ask for memory with the second version of the call. The name stands in the log."""
    return pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
