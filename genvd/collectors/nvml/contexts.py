"""Who has contexts on a device, of which type, and which share of its time they take, through NVML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genvd.collectors.nvml.process_list import ProcessLists, RunningProcess
from genvd.collectors.nvml.utilization import ProcessUtilization, ProcessWork
from genvd.model.facts import Context, ContextType, EngineShares

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from genvd.collectors.nvml.errors import NvmlCalls
    from genvd.common.error_log import ErrorLog


_UNKNOWN = ProcessWork(None, beside=False, engines=EngineShares())
_NOTHING = ProcessWork(0.0, beside=False, engines=EngineShares(0.0, 0.0, 0.0))


class ContextReader:
    """The contexts on one device and its MIG instances."""

    def __init__(self, name: str, index: int, calls: NvmlCalls, errors: ErrorLog) -> None:
        """Make it ready to ask.

        Args:
            name: of the device, for the log.
            index: of the device.
            calls: through which it is asked.
            errors: where impossible process lists are logged.
        """
        self._name = name
        self._index = index
        self._calls = calls
        self._lists = ProcessLists(errors)
        self._utilization = ProcessUtilization()

    def read(self, handle: Any, instances: Iterable[tuple[str, Any]]) -> tuple[tuple[Context, ...] | None, bool]:
        """Return the contexts, and whether these are all.

        Args:
            handle: of the device.
            instances: names and handles of its MIG instances.

        Returns:
            The contexts, None if the device does not tell who computes on it; and whether it answered for each type
            and instance.
        """
        instances = list(instances)
        compute, all_of_it = self._all(self._lists.compute_processes, handle, instances)
        if compute is None:
            return None, False
        found = {"compute": compute}
        kinds: tuple[tuple[ContextType, Any], ...] = (
            ("graphics", self._lists.graphics_processes),
            ("mps", self._lists.mps_processes),
        )
        for kind, call in kinds:
            processes, complete = self._all(call, handle, instances)
            found[kind] = processes or []
            all_of_it = all_of_it and complete
        work: Mapping[int, ProcessWork] | None = None
        if any(found.values()):
            work = self._calls.call(self._name, self._utilization.process_utilization, handle)
        contexts = (
            Context(
                process.pid,
                self._index,
                process.memory_bytes,
                kind,
                done.share,
                done.beside,
                process.mig_place,
                done.engines,
            )
            for kind in ("compute", "graphics", "mps")
            for process in found[kind]
            for done in (_work(process.pid, kind, work),)
        )
        return tuple(contexts), all_of_it

    def _all(
        self, call: Any, handle: Any, instances: list[tuple[str, Any]]
    ) -> tuple[list[RunningProcess] | None, bool]:
        of_parent: list[RunningProcess] | None = self._calls.call(self._name, call, handle)
        of_instances: list[list[RunningProcess] | None] = [
            self._calls.call(name, call, instance) for name, instance in instances
        ]
        told = [processes for processes in (of_parent, *of_instances) if processes is not None]
        if not told:
            return None, False
        # Without privileges a parent shows none of its instances' processes: those then tell themselves.
        seen = {process.pid for process in of_parent or ()}
        running = [*(of_parent or ()), *(p for ps in of_instances for p in ps or () if p.pid not in seen)]
        return running, len(told) == 1 + len(of_instances)


def _work(pid: int, kind: ContextType, work: Mapping[int, ProcessWork] | None) -> ProcessWork:
    """Return what a process did of which there may be no sample.

    The driver has samples of those only that did something. What clients of the Multi-Process Service do may be
    counted for its server: without a sample of their own nothing is known of them.
    """
    if work is not None and pid in work:
        return work[pid]
    return _UNKNOWN if work is None or kind == "mps" else _NOTHING
