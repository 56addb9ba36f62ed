"""NVML calls that are missing or wrong in some supported versions of nvidia-ml-py. The layouts are those of nvml.h.

Each function raises pynvml.NVMLError if the call fails. The log shows the names of these functions.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import pynvml

_GSP_VERSION_SIZE = 0x40

_MAX_ATTEMPTS = 12
_MIN_GROWN_CAPACITY = 32

_UNTOUCHED = 0xA5A5A5A5
"""Content of the buffer before the call: a value that no flag has."""


def struct_version(layout: type[ctypes.Structure], number: int) -> int:
    """Return the version number of a structure, as ``NVML_STRUCT_VERSION`` computes it."""
    return ctypes.sizeof(layout) | number << 24


class Margin(ctypes.Structure):
    """``nvmlMarginTemperature_v1_t``."""

    _fields_ = (("version", ctypes.c_uint), ("celsius", ctypes.c_int))


class SramErrors(ctypes.Structure):
    """``nvmlEccSramErrorStatus_v1_t``."""

    _fields_ = (
        ("version", ctypes.c_uint),
        ("totals", ctypes.c_ulonglong * 6),
        ("l2", ctypes.c_ulonglong),
        ("sm", ctypes.c_ulonglong),
        ("pcie", ctypes.c_ulonglong),
        ("microcontroller", ctypes.c_ulonglong),
        ("other", ctypes.c_ulonglong),
        ("threshold_exceeded", ctypes.c_uint),
    )


class FabricInfo(ctypes.Structure):
    """``nvmlGpuFabricInfo_v2_t``."""

    _fields_ = (
        ("version", ctypes.c_uint),
        ("cluster", ctypes.c_ubyte * 16),
        ("status", ctypes.c_uint),
        ("clique", ctypes.c_uint),
        ("state", ctypes.c_ubyte),
        ("health", ctypes.c_uint),
    )


class FabricInfo3(ctypes.Structure):
    """``nvmlGpuFabricInfo_v3_t``."""

    _fields_ = (*FabricInfo._fields_, ("summary", ctypes.c_ubyte))


class FanSpeed(ctypes.Structure):
    """``nvmlFanSpeedInfo_v1_t``."""

    _fields_ = (("version", ctypes.c_uint), ("fan", ctypes.c_uint), ("rpm", ctypes.c_uint))


class RepairStatus(ctypes.Structure):
    """``nvmlRepairStatus_v1_t``."""

    _fields_ = (("version", ctypes.c_uint), ("channel", ctypes.c_uint), ("tpc", ctypes.c_uint))


def margin_temperature(handle: Any) -> int:
    """Return how many degrees Celsius the GPU is below its slowdown temperature."""
    margin = Margin(version=struct_version(Margin, 1))
    _check(library_function("nvmlDeviceGetMarginTemperature")(handle, ctypes.byref(margin)))
    return int(margin.celsius)


def sram_errors(handle: Any) -> SramErrors:
    """Return the uncorrected SRAM errors in the lifetime of the GPU, by location."""
    errors = SramErrors(version=struct_version(SramErrors, 1))
    _check(library_function("nvmlDeviceGetSramEccErrorStatus")(handle, ctypes.byref(errors)))
    return errors


def fabric_info(handle: Any) -> FabricInfo:
    """Return the state of the GPU in the NVLink fabric."""
    info = FabricInfo(version=struct_version(FabricInfo, 2))
    _check(library_function("nvmlDeviceGetGpuFabricInfoV")(handle, ctypes.byref(info)))
    return info


def fabric_info_3(handle: Any) -> FabricInfo3:
    """Return the same as :func:`fabric_info` with version 3 of the call, for drivers without version 2."""
    info = FabricInfo3(version=struct_version(FabricInfo3, 3))
    _check(library_function("nvmlDeviceGetGpuFabricInfoV")(handle, ctypes.byref(info)))
    return info


def gsp_firmware_version(handle: Any) -> bytes:
    """Return the version of the GSP firmware."""
    version = ctypes.create_string_buffer(_GSP_VERSION_SIZE)
    _check(library_function("nvmlDeviceGetGspFirmwareVersion")(handle, version))
    return version.value


def retired_pages(handle: Any, cause: int) -> int:
    """Return how many pages are retired for a cause (``nvmlPageRetirementCause_t``).

    nvidia-ml-py has this call too, but it allocates a buffer for twice as many addresses as there are.
    """
    count = ctypes.c_uint(0)
    result = library_function("nvmlDeviceGetRetiredPages")(handle, cause, ctypes.byref(count), None)
    if result != pynvml.NVML_ERROR_INSUFFICIENT_SIZE or not count.value:  # the answer if there are pages
        _check(result)
    return count.value


def fan_rpm(handle: Any, fan: int) -> int:
    """Return the target speed of the fan in rotations per minute (driver 565 and later)."""
    speed = FanSpeed(version=struct_version(FanSpeed, 1), fan=fan)
    _check(library_function("nvmlDeviceGetFanSpeedRPM")(handle, ctypes.byref(speed)))
    return int(speed.rpm)


def repair_status(handle: Any) -> RepairStatus:
    """Return which repairs are pending until a reset (driver 580 and later)."""
    status = RepairStatus(version=struct_version(RepairStatus, 1))
    _check(library_function("nvmlDeviceGetRepairStatus")(handle, ctypes.byref(status)))
    return status


def unrepairable_memory(handle: Any) -> int:
    """Return 1 if the GPU has memory that cannot be repaired, else 0 (driver 590 and later).

    The structure is the flag alone in nvml.h, and a version and the flag in nvidia-ml-py. This buffer fits both, and
    the field that the driver writes shows its layout.
    """
    layout = ctypes.c_uint * 2
    status = layout(ctypes.sizeof(layout) | 1 << 24, _UNTOUCHED)
    _check(library_function("nvmlDeviceGetUnrepairableMemoryFlag_v1")(handle, ctypes.byref(status)))
    return int(status[0] if status[1] == _UNTOUCHED else status[1])


def inforom_corrupted(handle: Any) -> bool:
    """Return whether the checksums of the InfoROM are wrong."""
    try:
        pynvml.nvmlDeviceValidateInforom(handle)
    except pynvml.NVMLError as error:
        if error.value == pynvml.NVML_ERROR_CORRUPTED_INFOROM:
            return True
        raise
    return False


def call_with_growing_buffer(
    call: Callable[[Any, Any], int], entry_size: int, capacity: int, max_capacity: int, fill: int = 0
) -> tuple[bytes, int]:
    """Make a call that fills a list, with larger buffers until it fits; return the bytes and the number of entries.

    Args:
        call: gets a buffer, or None for a capacity of 0, and a pointer to the number of entries.
        entry_size: bytes of one entry.
        capacity: entries in the first buffer.
        max_capacity: entries in the largest buffer.
        fill: the value of each byte in the buffer before the call.
    """
    for _ in range(_MAX_ATTEMPTS):
        size = capacity * entry_size
        buffer = ctypes.create_string_buffer(bytes([fill]) * size, size) if size else None
        count = ctypes.c_uint(capacity)
        result = call(buffer, ctypes.byref(count))
        if result == pynvml.NVML_SUCCESS:
            return buffer.raw if buffer else b"", min(count.value, capacity)
        if result != pynvml.NVML_ERROR_INSUFFICIENT_SIZE:
            raise pynvml.NVMLError(result)
        capacity = min(max(2 * capacity, count.value + count.value // 2, _MIN_GROWN_CAPACITY), max_capacity)
    raise pynvml.NVMLError(pynvml.NVML_ERROR_INSUFFICIENT_SIZE)


def _check(result: int) -> None:
    if result != pynvml.NVML_SUCCESS:
        raise pynvml.NVMLError(result)


def library_function(name: str) -> Any:
    """Return a function of the NVML library.

    Raises:
        pynvml.NVMLError: the library is not loaded, or it does not have the function.
    """
    library = pynvml.nvmlLib
    if library is None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)
    try:
        return getattr(library, name)
    except AttributeError:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND) from None
