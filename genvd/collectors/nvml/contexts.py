"""The processes that use a GPU: their context types, memory and utilization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genvd.collectors.nvml.process_list import ProcessLists, RunningProcess
from genvd.collectors.nvml.utilization import ProcessUtilization, ProcessWork
from genvd.model.facts import Context, ContextType, EngineShares

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from genvd.collectors.nvml.errors import NvmlCalls
    from genvd.common.error_log import ErrorLog


_UNKNOWN = ProcessWork(None, uses_other_engines=False, engines=EngineShares())
_IDLE = ProcessWork(0.0, uses_other_engines=False, engines=EngineShares(0.0, 0.0, 0.0))


class ContextReader:
    """Reads the contexts on one GPU and its MIG devices."""

    def __init__(self, name: str, index: int, calls: NvmlCalls, errors: ErrorLog) -> None:
        """Create a reader.

        Args:
            name: of the GPU, for the log.
            index: of the GPU.
            calls: makes the NVML calls.
            errors: where impossible process lists are logged.
        """
        self._name = name
        self._index = index
        self._calls = calls
        self._lists = ProcessLists(errors)
        self._utilization = ProcessUtilization()

    def read(self, handle: Any, instances: Iterable[tuple[str, Any]]) -> tuple[tuple[Context, ...] | None, bool]:
        """Return the contexts, and whether the list is complete.

        Args:
            handle: of the GPU.
            instances: names and handles of its MIG devices.

        Returns:
            The contexts, or None if the compute processes cannot be listed; and whether every type and MIG device
            was listed.
        """
        instances = list(instances)
        compute, complete = self._list(self._lists.compute_processes, handle, instances)
        if compute is None:
            return None, False
        graphics, graphics_complete = self._list(self._lists.graphics_processes, handle, instances)
        mps, mps_complete = self._list(self._lists.mps_processes, handle, instances)
        processes: dict[ContextType, list[RunningProcess]] = {
            "compute": compute,
            "graphics": graphics or [],
            "mps": mps or [],
        }
        work: Mapping[int, ProcessWork] | None = None
        if any(processes.values()):
            work = self._calls.call(self._name, self._utilization.process_utilization, handle)
        contexts = (
            Context(
                process.pid,
                self._index,
                process.memory_bytes,
                context_type,
                used.sm_ratio,
                used.uses_other_engines,
                process.mig_instance,
                used.engines,
            )
            for context_type, listed in processes.items()
            for process in listed
            for used in (_work(process.pid, context_type, work),)
        )
        return tuple(contexts), complete and graphics_complete and mps_complete

    def _list(
        self, call: Any, handle: Any, instances: list[tuple[str, Any]]
    ) -> tuple[list[RunningProcess] | None, bool]:
        """Return the processes on the GPU and its MIG devices, and whether all of these could be listed."""
        parent: list[RunningProcess] | None = self._calls.call(self._name, call, handle)
        lists: list[list[RunningProcess] | None] = [
            self._calls.call(name, call, instance) for name, instance in instances
        ]
        if parent is None and all(processes is None for processes in lists):
            return None, False
        # An unprivileged user gets the processes of MIG devices only from the MIG devices themselves.
        seen = {process.pid for process in parent or ()}
        running = [*(parent or ()), *(p for processes in lists for p in processes or () if p.pid not in seen)]
        return running, None not in (parent, *lists)


def _work(pid: int, context_type: ContextType, work: Mapping[int, ProcessWork] | None) -> ProcessWork:
    """Return the utilization of a process for which there may be no sample.

    A process without a sample was idle. The work of an MPS client may be counted for the MPS server, so that of a
    client without a sample is unknown.
    """
    if work is not None and pid in work:
        return work[pid]
    return _UNKNOWN if work is None or context_type == "mps" else _IDLE
