"""Computes the peak memory of each process and environment on each GPU.

The driver reports a peak only in its accounting mode, which only root can enable. So the peak is the highest value of
all collections since the process started, the environment was activated, or the monitor started, whichever is latest.
Peaks between two collections are missed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from genvd.collectors.runner import STEADY_TICKS
from genvd.model.identity import device_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from genvd.model.device import Device
    from genvd.model.snapshot import DeviceUse, Environment, EnvironmentUse, Process

_ProcessKey = tuple[str, int, float]
"""Device key, pid, and start time of the process."""

_EnvironmentKey = tuple[str, float | None]
"""eid, and the time of activation, because a later environment may have the same eid."""


@dataclass(slots=True)
class _Peak:
    """The peak memory of a process on a GPU."""

    bytes: int = 0
    missed: int = 0
    """Number of consecutive collections in which the GPU did not list this process."""


class MemoryPeaks:
    """Remembers the peaks of the current processes and environments. Not thread-safe."""

    def __init__(self) -> None:
        self._processes: dict[_ProcessKey, _Peak] = {}
        self._environments: dict[_EnvironmentKey, dict[str, int]] = {}

    def add_process_peaks(
        self, processes: tuple[Process, ...] | None, devices: tuple[Device, ...] | None
    ) -> tuple[Process, ...] | None:
        """Return the processes with their peaks.

        A process has no peak if its start time is unknown, because an earlier process may have had the same pid. It has
        none either while its memory is unknown.

        Args:
            processes: all GPU processes; None if unknown, then nothing is forgotten.
            devices: all GPUs; None if unknown, then nothing is forgotten.
        """
        if processes is None or devices is None:
            return processes
        keys = device_keys(devices)
        seen: set[_ProcessKey] = set()
        with_peaks = tuple(
            replace(process, uses=tuple(self._add_to_use(use, process, keys, seen) for use in process.uses))
            for process in processes
        )
        silent = {keys[device.index] for device in devices if not device.processes_listed}
        self._forget(seen, silent)
        return with_peaks

    def _add_to_use(
        self, use: DeviceUse, process: Process, keys: Mapping[int, str], seen: set[_ProcessKey]
    ) -> DeviceUse:
        """Return a use with its peak, and add the key of the process to ``seen``."""
        if process.started is None or use.device_index not in keys:
            return use
        key = keys[use.device_index], process.pid, process.started
        seen.add(key)
        if use.memory_bytes is None:
            return use
        peak = self._processes.setdefault(key, _Peak())
        peak.bytes, peak.missed = max(peak.bytes, use.memory_bytes), 0
        return replace(use, peak_memory_bytes=peak.bytes)

    def _forget(self, seen: set[_ProcessKey], silent: set[str]) -> None:
        """Forget ended processes. A process on a GPU that does not answer may still be running."""
        for key in [key for key in self._processes if key not in seen and key[0] not in silent]:
            peak = self._processes[key]
            peak.missed += 1
            if peak.missed >= STEADY_TICKS:
                del self._processes[key]

    def add_environment_peaks(
        self, environments: Iterable[Environment], devices: tuple[Device, ...] | None
    ) -> tuple[Environment, ...]:
        """Return the environments with their peaks.

        There is no peak while the memory of one of its processes is unknown: the current value may be higher.

        Args:
            environments: all active environments; the others are forgotten.
            devices: None if unknown.
        """
        keys = device_keys(devices or ())
        previous, self._environments = self._environments, {}
        return tuple(self._add_to_environment(environment, keys, previous) for environment in environments)

    def _add_to_environment(
        self, environment: Environment, keys: Mapping[int, str], previous: Mapping[_EnvironmentKey, dict[str, int]]
    ) -> Environment:
        key = environment.eid, environment.created
        peaks = previous.get(key, {})
        uses = None if environment.uses is None else tuple(_add_peak(use, keys, peaks) for use in environment.uses)
        if peaks:
            self._environments[key] = peaks
        return replace(environment, uses=uses)


def _add_peak(use: EnvironmentUse, keys: Mapping[int, str], peaks: dict[str, int]) -> EnvironmentUse:
    key = keys.get(use.device_index)
    if key is None or use.memory_bytes is None:
        return use
    peak = max(peaks.get(key, 0), use.memory_bytes)
    if peak:
        peaks[key] = peak
    return replace(use, peak_memory_bytes=peak)
