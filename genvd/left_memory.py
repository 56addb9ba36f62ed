"""Which GPU memory was left behind by processes that ended, and which may be of processes that nobody can see."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genvd.activity import memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from genvd.model import Device, DeviceUse, GpuFacts, Process

NEGLIGIBLE_BYTES = 512 * 2**20
"""What the driver itself may take beyond its reserve; docs/metrics.md says why not less."""


def unaccounted(devices: Iterable[Device], processes: Iterable[Process]) -> Mapping[int, int]:
    """Return by device index the bytes in use that no live process and no reserve accounts for, where that is known."""
    uses: dict[int, list[DeviceUse]] = defaultdict(list)
    for process in processes:
        for use in () if process.gone else process.uses:
            uses[use.device_index].append(use)
    found = {}
    for device in devices:
        of_processes = memory(uses[device.index])
        known = device.up and device.processes_listed and device.memory_reserved_bytes is not None
        if known and device.memory_used_bytes is not None and of_processes is not None:
            found[device.index] = max(0, device.memory_used_bytes - of_processes)
    return found


def is_unclear(gpu: GpuFacts) -> bool:
    """Tell whether a device has more memory in use than its processes, so that it matters whether all are seen."""
    amounts: dict[int, int] = defaultdict(int)
    for context in gpu.contexts or ():
        amounts[context.device_index] += context.memory_bytes or 0
    return any((device.memory_used_bytes or 0) - amounts[device.index] > NEGLIGIBLE_BYTES for device in gpu.devices)


@dataclass(slots=True)
class _Seen:
    memory: dict[int, int]
    """By pid, the bytes of the live processes at the last collection."""
    left: int = 0
    """Bytes of processes that have ended since, which may still be in use."""


class LeftMemory:
    """Remembers which processes had memory on each GPU, to tell apart where memory of nobody comes from.

    The driver may list no process of a container that has a pid namespace of its own, and it lists nobody for memory
    that a process left behind when it crashed. Only the second can be freed by a reset, and the first must not be. So
    where there are such namespaces, memory counts as left behind only as far as processes ended that were seen to have
    it, or that the driver still lists.
    """

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def take(self, devices: Iterable[Device], processes: tuple[Process, ...], *, all_seen: bool) -> tuple[int, ...]:
        """Take in a collection; return the indices of the devices on which somebody unseen may have memory.

        Args:
            devices: all that there are.
            processes: all that the driver lists, on any of them.
            all_seen: whether all processes of the machine are in the pid namespace of the monitor.
        """
        devices = tuple(devices)
        amounts = unaccounted(devices, processes)
        before, self._seen = self._seen, {}
        unseen = []
        for device in devices:
            key = device.uuid or f"device {device.index}"
            seen = before.get(key, _Seen({}))
            if (amount := amounts.get(device.index)) is None:
                self._seen[key] = seen
                continue
            live, ended = _memory_on(device.index, processes)
            vanished = sum(bytes_ for pid, bytes_ in seen.memory.items() if pid not in live and pid not in ended)
            left = min(amount, seen.left + vanished)
            self._seen[key] = _Seen(live | ended, left)
            if not all_seen and amount - max(left, sum(ended.values())) > NEGLIGIBLE_BYTES:
                unseen.append(device.index)
        return tuple(unseen)


def _memory_on(index: int, processes: Iterable[Process]) -> tuple[dict[int, int], dict[int, int]]:
    """Return the bytes on a device by pid: of the processes that live, and of those that ended and are still listed."""
    live: dict[int, int] = {}
    ended: dict[int, int] = {}
    for process in processes:
        for use in process.uses:
            if use.device_index == index:
                (ended if process.gone else live)[process.pid] = use.memory_bytes or 0
    return live, ended
