"""Computes the peak memory of each process and environment on each GPU.

The driver reports a peak only in its accounting mode, which only root can enable. So the peak is the highest value of
all collections since the process started, the environment was activated, or the monitor started, whichever is latest.
Peaks between two collections are missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genvd.collectors.runner import STEADY_TICKS
from genvd.model.identity import device_keys

if TYPE_CHECKING:
    from genvd.model.device import Device
    from genvd.model.snapshot import Environment

ProcessPeak = Callable[[int, "float | None", int, "int | None"], "int | None"]
"""Takes the pid and the start time of a process, the index of a GPU, and the memory of the process there in bytes."""

EnvironmentPeak = Callable[["Environment", int, "int | None"], "int | None"]
"""Takes an environment, the index of a GPU, and the memory of its processes there in bytes."""

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

    @contextmanager
    def of_processes(self, devices: tuple[Device, ...]) -> Iterator[ProcessPeak]:
        """Return what has to be called for each process and GPU of this collection; the others are forgotten.

        It returns the peak in bytes. A process has none if its start time is unknown, because an earlier process may
        have had the same pid, and none while its memory is unknown.
        """
        keys = device_keys(devices)
        seen: set[_ProcessKey] = set()

        def peak_of(pid: int, started: float | None, index: int, memory_bytes: int | None) -> int | None:
            if started is None or index not in keys:
                return None
            key = keys[index], pid, started
            seen.add(key)
            if memory_bytes is None:
                return None
            peak = self._processes.setdefault(key, _Peak())
            peak.bytes, peak.missed = max(peak.bytes, memory_bytes), 0
            return peak.bytes

        yield peak_of
        self._forget(seen, {keys[device.index] for device in devices if not device.processes_listed})

    def _forget(self, seen: set[_ProcessKey], silent: set[str]) -> None:
        """Forget ended processes. A process on a GPU that does not answer may still be running."""
        for key in [key for key in self._processes if key not in seen and key[0] not in silent]:
            peak = self._processes[key]
            peak.missed += 1
            if peak.missed >= STEADY_TICKS:
                del self._processes[key]

    def of_environments(
        self, environments: Iterable[Environment], devices: tuple[Device, ...] | None
    ) -> EnvironmentPeak:
        """Return what has to be called for each environment and GPU of this collection; it returns the peak in bytes.

        There is no peak while the memory of one of its processes is unknown: the current value may be higher.

        Args:
            environments: all active environments; the others are forgotten.
            devices: None if unknown.
        """
        keys = device_keys(devices or ())
        identities = {(environment.eid, environment.created) for environment in environments}
        peaks = {identity: known for identity, known in self._environments.items() if identity in identities}
        self._environments = peaks

        def peak_of(environment: Environment, index: int, memory_bytes: int | None) -> int | None:
            key, identity = keys.get(index), (environment.eid, environment.created)
            if key is None or memory_bytes is None:
                return None
            peak = max(peaks.get(identity, {}).get(key, 0), memory_bytes)
            if peak:
                peaks.setdefault(identity, {})[key] = peak
            return peak

        return peak_of
