"""Which GPU memory was left behind by processes that ended, and which may be of processes that nobody can see."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from genvd.analysis.activity import total_memory
from genvd.model.identity import device_keys
from genvd.model.snapshot import UnseenMemory

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from genvd.model.device import Device
    from genvd.model.facts import GpuFacts
    from genvd.model.snapshot import DeviceUse, Process

NEGLIGIBLE_BYTES = 512 * 2**20
"""What the driver itself may take beyond its reserve; docs/metrics.md says why not less."""

_MOST_VANISHED = 1024
"""Processes that are looked for when the driver lists them no more."""


def unaccounted_bytes(devices: Iterable[Device], processes: Iterable[Process]) -> Mapping[int, int]:
    """Return by device index the bytes in use that no live process and no reserve accounts for, where that is known."""
    uses: dict[int, list[DeviceUse]] = defaultdict(list)
    for process in processes:
        for use in () if process.gone else process.uses:
            uses[use.device_index].append(use)
    found = {}
    for device in devices:
        of_processes = total_memory(uses[device.index])
        known = device.up and device.processes_listed and device.memory_reserved_bytes is not None
        if known and device.memory_used_bytes is not None and of_processes is not None:
            found[device.index] = max(0, device.memory_used_bytes - of_processes)
    return found


def has_unaccounted_memory(gpu: GpuFacts) -> bool:
    """Tell whether a device has more memory in use than its processes, so that it matters whether all are seen."""
    amounts: dict[int, int] = defaultdict(int)
    for context in gpu.contexts or ():
        amounts[context.device_index] += context.memory_bytes or 0
    return any((device.memory_used_bytes or 0) - amounts[device.index] > NEGLIGIBLE_BYTES for device in gpu.devices)


@dataclass(slots=True)
class _Seen:
    memory: dict[int, int] = field(default_factory=dict)
    """By pid, the bytes of the processes that the driver listed at the last collection."""
    unlisted: dict[int, int] = field(default_factory=dict)
    """The same of those that it lists no more, and that still live."""
    left: int = 0
    """Bytes of processes that have ended since, which may still be in use."""


class OrphanMemoryTracker:
    """Remembers which processes had memory on each GPU, to tell apart where memory of nobody comes from.

    The driver may list no process of a container that has a pid namespace of its own, and it lists nobody for memory
    that a process left behind when it crashed. Only the second can be freed by a reset, and the first must not be. So
    where not all processes of the machine are seen, memory counts as left behind only as far as processes ended that
    were seen to have it, or that the driver still lists.
    """

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def unlisted_pids(self, gpu_pids: Collection[int]) -> frozenset[int]:
        """Return the processes that had memory and are listed no more, so that it matters whether they live."""
        known = (pid for seen in self._seen.values() for pid in (*seen.memory, *seen.unlisted))
        return frozenset(islice((pid for pid in known if pid not in gpu_pids), _MOST_VANISHED))

    def update(
        self, devices: Iterable[Device], processes: tuple[Process, ...], live: Collection[int], *, all_seen: bool
    ) -> tuple[UnseenMemory, ...]:
        """Take in a collection; return the memory of each device that somebody unseen may have.

        Args:
            devices: all that there are.
            processes: all that the driver lists, on any of them.
            live: those of :meth:`unlisted_pids` that live.
            all_seen: whether all processes of the machine are seen.
        """
        devices = tuple(devices)
        keys, amounts = device_keys(devices), unaccounted_bytes(devices, processes)
        before, self._seen = self._seen, {}
        unseen = []
        for device in devices:
            seen = before.get(keys[device.index], _Seen())
            amount = amounts.get(device.index)
            if amount is None:
                self._seen[keys[device.index]] = seen
                continue
            seen, left = _after(seen, *_memory_on(device.index, processes), live, amount)
            self._seen[keys[device.index]] = seen
            rest = amount - left
            if rest > NEGLIGIBLE_BYTES and not (all_seen and not seen.unlisted):
                unseen.append(UnseenMemory(device.index, rest))
        return tuple(unseen)


def _after(
    seen: _Seen, listed: dict[int, int], ended: dict[int, int], live: Collection[int], amount: int
) -> tuple[_Seen, int]:
    """Return what is remembered after a collection, and how much of the memory of nobody was left behind."""
    gone = {
        pid: bytes_ for pid, bytes_ in (seen.unlisted | seen.memory).items() if pid not in listed and pid not in ended
    }
    unlisted = {pid: bytes_ for pid, bytes_ in gone.items() if pid in live}
    died = sum(bytes_ for pid, bytes_ in gone.items() if pid not in live)
    left = min(amount, seen.left + died)
    return _Seen(listed | ended, unlisted, left), min(amount, max(left, sum(ended.values())))


def _memory_on(index: int, processes: Iterable[Process]) -> tuple[dict[int, int], dict[int, int]]:
    """Return the bytes on a device by pid: of the processes that live, and of those that ended and are still listed."""
    live: dict[int, int] = {}
    ended: dict[int, int] = {}
    for process in processes:
        for use in process.uses:
            if use.device_index == index:
                (ended if process.gone else live)[process.pid] = use.memory_bytes or 0
    return live, ended
