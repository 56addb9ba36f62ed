"""The highest memory of each process and environment on each device, as far as collections have seen it.

The driver has no such number, unless its accounting mode is on, which only root can switch on. So what is given is the
highest of what was collected since the process was started, or the environment activated, or the monitor started,
whichever is later. What happens between two collections is not seen.
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

_Place = tuple[str, int, float]
"""A process on a device: what stays the same of the device, the pid, and when the process was started."""

_Holder = tuple[str, float | None]
"""An environment: its identifier, and when it was activated, as another one may have the identifier later."""


@dataclass(slots=True)
class _Peak:
    """The highest memory of a process on a device."""

    bytes: int = 0
    missed: int = 0
    """Collections in a row in which the device listed its processes without this one."""


class MemoryPeaks:
    """Remembers the peaks of those processes and environments that are there. One thread at a time."""

    def __init__(self) -> None:
        self._of_processes: dict[_Place, _Peak] = {}
        self._of_environments: dict[_Holder, dict[str, int]] = {}

    def add_process_peaks(
        self, processes: tuple[Process, ...] | None, devices: tuple[Device, ...] | None
    ) -> tuple[Process, ...] | None:
        """Take in what the processes have now, and return them with the highest of what they had.

        One whose start is not known has no peak, since its pid alone does not tell it from an earlier process, nor has
        one of whose memory nothing is known now.

        Args:
            processes: all that there are; None while they are not known, and then nothing is forgotten.
            devices: likewise.
        """
        if processes is None or devices is None:
            return processes
        keys = device_keys(devices)
        seen: set[_Place] = set()
        found = tuple(
            replace(process, uses=tuple(self._of_use(use, process, keys, seen) for use in process.uses))
            for process in processes
        )
        silent = {keys[device.index] for device in devices if not device.processes_listed}
        self._forget(seen, silent)
        return found

    def _of_use(self, use: DeviceUse, process: Process, keys: Mapping[int, str], seen: set[_Place]) -> DeviceUse:
        if process.started is None or use.device_index not in keys:
            return use
        place = keys[use.device_index], process.pid, process.started
        seen.add(place)
        if use.memory_bytes is None:
            return use
        peak = self._of_processes.setdefault(place, _Peak())
        peak.bytes, peak.missed = max(peak.bytes, use.memory_bytes), 0
        return replace(use, peak_memory_bytes=peak.bytes)

    def _forget(self, seen: set[_Place], silent: set[str]) -> None:
        """Forget processes that have ended. One on a device that does not answer may still be there."""
        for place in [place for place in self._of_processes if place not in seen and place[0] not in silent]:
            peak = self._of_processes[place]
            peak.missed += 1
            if peak.missed >= STEADY_TICKS:
                del self._of_processes[place]

    def add_environment_peaks(
        self, environments: Iterable[Environment], devices: tuple[Device, ...] | None
    ) -> tuple[Environment, ...]:
        """Take in what the environments have now, and return them with the highest of what they had.

        There is none while the memory of one of its processes is not known: what it has now may be more.

        Args:
            environments: all that are active; the others are forgotten.
            devices: None while they are not known.
        """
        keys = device_keys(devices or ())
        before, self._of_environments = self._of_environments, {}
        return tuple(self._of_environment(environment, keys, before) for environment in environments)

    def _of_environment(
        self, environment: Environment, keys: Mapping[int, str], before: Mapping[_Holder, dict[str, int]]
    ) -> Environment:
        holder = environment.eid, environment.created
        peaks = before.get(holder, {})
        uses = None if environment.uses is None else tuple(_with_peak(use, keys, peaks) for use in environment.uses)
        if peaks:
            self._of_environments[holder] = peaks
        return replace(environment, uses=uses)


def _with_peak(use: EnvironmentUse, keys: Mapping[int, str], peaks: dict[str, int]) -> EnvironmentUse:
    key = keys.get(use.device_index)
    if key is None or use.memory_bytes is None:
        return use
    peak = max(peaks.get(key, 0), use.memory_bytes)
    if peak:
        peaks[key] = peak
    return replace(use, peak_memory_bytes=peak)
