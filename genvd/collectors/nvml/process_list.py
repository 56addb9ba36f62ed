"""Lists the processes on a GPU, in each layout that drivers use.

nvidia-ml-py has these calls too, but it expects one layout. The first releases of driver 535 wrote entries of 32 bytes
instead of 24 for version 3 of the call, so that every second pid was wrong, and wrote past the end of the buffer. The
buffer here fits both, and its bytes show which layout the driver has used.

Layouts: ``nvmlProcessInfo_v1_t`` and ``nvmlProcessInfo_v2_t`` of nvml.h; the long one is ``nvmlProcessInfo_t`` of the
nvml.h of driver 535.43.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import pynvml

from genvd.collectors.host.procfs import MAX_PID
from genvd.collectors.nvml.errors import NOT_SUPPORTED
from genvd.collectors.nvml.extra_calls import call_with_growing_buffer, library_function
from genvd.model.facts import MigInstanceId

if TYPE_CHECKING:
    from genvd.common.error_log import ErrorLog

_SHORT = struct.Struct("=I4xQ")
_NORMAL = struct.Struct("=I4xQII")
_LONG = struct.Struct("=I4xQIIQ")

_VERSION_NOT_SUPPORTED = frozenset(
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
"""Entries of one list; a higher number is an error of the driver."""


class RunningProcess(NamedTuple):
    """A process on a GPU."""

    pid: int
    memory_bytes: int | None
    mig_instance: MigInstanceId | None = None
    """Its MIG device; None without MIG, or if unknown."""


class ProcessLists:
    """Lists processes by the newest version of the call that the driver has.

    Each method raises pynvml.NVMLError if the call fails; ``FUNCTION_NOT_FOUND`` if the driver has no version of it.
    """

    def __init__(self, errors: ErrorLog) -> None:
        """Create an object that logs impossible pids to ``errors``."""
        self._errors = errors

    def compute_processes(self, handle: Any) -> list[RunningProcess]:
        """Return the processes with a compute context."""
        return self._list("Compute", handle)

    def graphics_processes(self, handle: Any) -> list[RunningProcess]:
        """Return the processes with a graphics context; none if that is not supported."""
        return self._list_if_supported("Graphics", handle)

    def mps_processes(self, handle: Any) -> list[RunningProcess]:
        """Return the processes that compute through MPS; none if that is not supported."""
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
                if error.value in _VERSION_NOT_SUPPORTED:
                    continue
                if best is None:
                    raise
                break
            best = [entry for entry in entries if 0 < entry.pid <= MAX_PID]
            impossible = len(entries) - len(best)
            # Impossible pids in the newest version may come from an unknown layout, so an older version is tried.
            if not impossible or version != _VERSIONS[0]:
                break
        if best is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
        self._log_impossible(kind, impossible)
        return best

    def _read(self, handle: Any, kind: str, version: str) -> list[RunningProcess]:
        call = library_function(f"nvmlDeviceGet{kind}RunningProcesses{version}")
        raw, count = call_with_growing_buffer(
            lambda buffer, count: call(handle, count, buffer), _LONG.size, _FIRST_CAPACITY, _MAX_CAPACITY, _UNTOUCHED
        )
        return _decode(raw, count, version)

    def _log_impossible(self, kind: str, impossible: int) -> None:
        if impossible:
            text = (
                f"the driver lists {impossible} processes with impossible pids, which are left out;"
                " run a container with --pid=host, otherwise install another driver"
            )
            self._errors.report(kind, text, kind=kind)
        elif self._errors.active:
            self._errors.clear(kind, "the driver no longer lists processes with impossible pids")


def _decode(raw: bytes, count: int, version: str) -> list[RunningProcess]:
    layout = _layout(raw, count) if version else _SHORT
    return [
        RunningProcess(entry[0], None if entry[1] == _UNKNOWN_MEMORY else entry[1], _mig_instance(entry[2:4]))
        for entry in layout.iter_unpack(raw[: count * layout.size])
    ]


def _mig_instance(instances: tuple[int, ...]) -> MigInstanceId | None:
    return None if not instances or _NO_INSTANCE in instances else MigInstanceId(*instances)


def _layout(raw: bytes, count: int) -> struct.Struct:
    """Return the layout of the entries: the long one if the driver wrote beyond the end of the normal one."""
    beyond = raw[count * _NORMAL.size : count * _LONG.size]
    if beyond.count(_UNTOUCHED) == len(beyond):
        return _NORMAL
    return max((_NORMAL, _LONG), key=lambda layout: _count_possible_pids(layout, raw, count))


def _count_possible_pids(layout: struct.Struct, raw: bytes, count: int) -> int:
    return sum(0 < entry[0] <= MAX_PID for entry in layout.iter_unpack(raw[: count * layout.size]))
