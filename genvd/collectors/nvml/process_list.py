"""The lists of a device's processes, whatever the driver's idea of its layout.

nvidia-ml-py has these calls too, but it trusts the driver to use the layout that the module was written for.
The first releases of driver 535 filled version 3 of the list with entries of 32 bytes where all others have 24,
so that every second pid was garbage, and they wrote past the end of a buffer made for 24. Here the buffer is
large enough for either, and what the driver wrote tells which it was.

Layouts: ``nvmlProcessInfo_v1_t`` and ``nvmlProcessInfo_v2_t`` of nvml.h; the long one is
``nvmlProcessInfo_t`` as the nvml.h of driver 535.43 had it.
"""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import pynvml

from genvd.collectors.host.procfs import MAX_PID
from genvd.collectors.nvml.errors import NOT_SUPPORTED
from genvd.collectors.nvml.extra_calls import function
from genvd.model.facts import MigPlace

if TYPE_CHECKING:
    from genvd.common.error_log import ErrorLog

_SHORT = struct.Struct("=I4xQ")
_NORMAL = struct.Struct("=I4xQII")
_LONG = struct.Struct("=I4xQIIQ")

_VERSION_REFUSED = frozenset(
    {
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
        pynvml.NVML_ERROR_DEPRECATED,
    }
)
"""The driver does not have this version of the call; it may have an older one."""

_VERSIONS = ("_v3", "_v2", "")
"""Suffixes of the function, the newest first."""

_UNKNOWN_MEMORY = 2**64 - 1
_NO_INSTANCE = 2**32 - 1
_UNTOUCHED = 0xA5
_FIRST_CAPACITY = 64
_MAX_CAPACITY = 2**14
"""Of one list; a driver that says that there are more tells nonsense, or has programs that no monitor helps."""

_MAX_ATTEMPTS = 12


class RunningProcess(NamedTuple):
    """One entry of the list."""

    pid: int
    memory_bytes: int | None
    mig_place: MigPlace | None = None
    """Where on a device in MIG mode it is; None elsewhere, and where the driver does not tell."""


class ProcessLists:
    """Asks for processes in every version of the calls that there is, the newest first."""

    def __init__(self, errors: ErrorLog) -> None:
        """Create it; impossible pids are logged to ``errors``."""
        self._errors = errors

    def compute_processes(self, handle: Any) -> list[RunningProcess]:
        """Return the processes with a compute context on the device.

        Raises:
            pynvml.NVMLError: NVML does not tell; with ``FUNCTION_NOT_FOUND`` if it has no such call at all.
        """
        return self._list("Compute", handle)

    def graphics_processes(self, handle: Any) -> list[RunningProcess]:
        """Return the processes with a graphics context on the device; none where it can have none.

        Raises:
            pynvml.NVMLError: NVML does not tell.
        """
        return self._list_if_supported("Graphics", handle)

    def mps_processes(self, handle: Any) -> list[RunningProcess]:
        """Return the processes that compute through the Multi-Process Service; none where there is no such service.

        Raises:
            pynvml.NVMLError: NVML does not tell.
        """
        return self._list_if_supported("MPSCompute", handle)

    def _list_if_supported(self, kind: str, handle: Any) -> list[RunningProcess]:
        try:
            return self._list(kind, handle)
        except pynvml.NVMLError as error:
            if error.value in NOT_SUPPORTED:
                return []
            raise

    def _list(self, kind: str, handle: Any) -> list[RunningProcess]:
        best: list[RunningProcess] | None = None
        impossible = 0
        for version in _VERSIONS:
            try:
                entries = self._read(handle, kind, version)
            except pynvml.NVMLError as error:
                if error.value in _VERSION_REFUSED:
                    continue
                if best is None:
                    raise
                break
            best = [entry for entry in entries if 0 < entry.pid <= MAX_PID]
            impossible = len(entries) - len(best)
            if not impossible or version != _VERSIONS[0]:  # else its layout may be one that nobody knows
                break
        if best is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
        self._warn_of(kind, impossible)
        return best

    def _read(self, handle: Any, kind: str, version: str) -> list[RunningProcess]:
        call = function(f"nvmlDeviceGet{kind}RunningProcesses{version}")
        capacity = _FIRST_CAPACITY
        for _ in range(_MAX_ATTEMPTS):
            buffer = ctypes.create_string_buffer(capacity * _LONG.size)
            ctypes.memset(buffer, _UNTOUCHED, len(buffer))
            count = ctypes.c_uint(capacity)
            result = call(handle, ctypes.byref(count), buffer)
            if result == pynvml.NVML_SUCCESS:
                return _decode(buffer.raw, min(count.value, capacity), version)
            if result != pynvml.NVML_ERROR_INSUFFICIENT_SIZE:
                raise pynvml.NVMLError(result)
            capacity = min(max(2 * capacity, count.value + count.value // 2), _MAX_CAPACITY)
        raise pynvml.NVMLError(pynvml.NVML_ERROR_INSUFFICIENT_SIZE)

    def _warn_of(self, kind: str, implausible: int) -> None:
        if implausible:
            text = (
                f"the driver lists {implausible} processes with impossible pids, which are left out;"
                " give a monitor in a container the host's pids (--pid=host), else install another driver"
            )
            self._errors.report(kind, text, kind=kind)
        elif self._errors.active:
            self._errors.clear(kind, "the driver lists no processes with impossible pids any more")


def _decode(raw: bytes, count: int, version: str) -> list[RunningProcess]:
    layout = _layout(raw, count) if version else _SHORT
    return [
        RunningProcess(entry[0], None if entry[1] == _UNKNOWN_MEMORY else entry[1], _place(entry[2:4]))
        for entry in layout.iter_unpack(raw[: count * layout.size])
    ]


def _place(instances: tuple[int, ...]) -> MigPlace | None:
    return None if not instances or _NO_INSTANCE in instances else MigPlace(*instances)


def _layout(raw: bytes, count: int) -> struct.Struct:
    """Return the layout of the entries: the long one if the driver wrote where the normal one does not reach."""
    beyond = raw[count * _NORMAL.size : count * _LONG.size]
    if beyond.count(_UNTOUCHED) == len(beyond):
        return _NORMAL
    return max((_NORMAL, _LONG), key=lambda layout: _plausible(layout, raw, count))


def _plausible(layout: struct.Struct, raw: bytes, count: int) -> int:
    return sum(0 < entry[0] <= MAX_PID for entry in layout.iter_unpack(raw[: count * layout.size]))
