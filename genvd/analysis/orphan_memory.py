"""Distinguishes GPU memory left behind by ended processes from memory that may belong to unseen processes."""

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
"""The driver itself may use this much in addition to its reserve; docs/metrics.md explains the value."""

_MAX_UNLISTED = 1024
"""Maximum number of processes that are checked after the driver stopped listing them."""

_MemoryByDevice = defaultdict[int, dict[int, int]]
"""Bytes by device index and pid."""


def unaccounted_bytes(devices: Iterable[Device], processes: Iterable[Process]) -> Mapping[int, int]:
    """Return the known bytes in use that no live process and no driver reserve accounts for, by device index."""
    uses: dict[int, list[DeviceUse]] = defaultdict(list)
    for process in processes:
        for use in () if process.gone else process.uses:
            uses[use.device_index].append(use)
    unaccounted = {}
    for device in devices:
        used_by_processes = total_memory(uses[device.index])
        known = device.up and device.processes_listed and device.memory_reserved_bytes is not None
        if known and device.memory_used_bytes is not None and used_by_processes is not None:
            unaccounted[device.index] = max(0, device.memory_used_bytes - used_by_processes)
    return unaccounted


def has_unaccounted_memory(gpu: GpuFacts) -> bool:
    """Return whether a GPU has more memory in use than its processes use, so that unseen processes matter."""
    amounts: dict[int, int] = defaultdict(int)
    for context in gpu.contexts or ():
        amounts[context.device_index] += context.memory_bytes or 0
    return any((device.memory_used_bytes or 0) - amounts[device.index] > NEGLIGIBLE_BYTES for device in gpu.devices)


@dataclass(slots=True)
class _State:
    """What is remembered of one GPU."""

    listed: dict[int, int] = field(default_factory=dict)
    """Bytes by pid of the processes that the driver listed at the last collection."""
    unlisted: dict[int, int] = field(default_factory=dict)
    """Bytes by pid of the processes that are alive although the driver no longer lists them."""
    left_behind: int = 0
    """Bytes that ended processes had and that may still be in use."""


class OrphanMemoryTracker:
    """Remembers which processes had memory on each GPU, to find out where unaccounted memory comes from.

    The driver may not list the processes of a container with its own pid namespace. It lists no process for memory that
    a crashed process left behind. A reset of the GPU frees such memory, but must not be done while a container uses the
    GPU. So if the monitor does not see all processes of the machine, memory counts as left behind only up to the amount
    that ended processes were seen to have, or that the driver still lists for them.
    """

    def __init__(self) -> None:
        self._states: dict[str, _State] = {}

    def unlisted_pids(self, gpu_pids: Collection[int]) -> frozenset[int]:
        """Return the processes that had memory and are no longer listed. Whether they are alive must be checked."""
        known = (pid for state in self._states.values() for pid in (*state.listed, *state.unlisted))
        return frozenset(islice((pid for pid in known if pid not in gpu_pids), _MAX_UNLISTED))

    def update(
        self, devices: Iterable[Device], processes: tuple[Process, ...], live: Collection[int], *, all_seen: bool
    ) -> tuple[UnseenMemory, ...]:
        """Return the memory on each GPU that may belong to unseen processes.

        Args:
            devices: all GPUs.
            processes: all processes that the driver lists.
            live: those of :meth:`unlisted_pids` that are alive.
            all_seen: whether the monitor sees all processes of the machine.
        """
        devices = tuple(devices)
        keys, amounts = device_keys(devices), unaccounted_bytes(devices, processes)
        listed, ended = _memory_by_device(processes)
        previous, self._states = self._states, {}
        unseen = []
        for device in devices:
            state = previous.get(keys[device.index], _State())
            amount = amounts.get(device.index)
            if amount is None:
                self._states[keys[device.index]] = state
                continue
            state, left_behind = _next_state(state, listed[device.index], ended[device.index], live, amount)
            self._states[keys[device.index]] = state
            rest = amount - left_behind
            if rest > NEGLIGIBLE_BYTES and (state.unlisted or not all_seen):
                unseen.append(UnseenMemory(device.index, rest))
        return tuple(unseen)


def _next_state(
    state: _State, listed: dict[int, int], ended: dict[int, int], live: Collection[int], amount: int
) -> tuple[_State, int]:
    """Return the state after a collection, and how many bytes of the unaccounted amount were left behind.

    Args:
        state: the state before.
        listed: bytes by pid of the live processes that the driver lists.
        ended: bytes by pid of the ended processes that the driver still lists.
        live: pids of processes that are alive although the driver no longer lists them.
        amount: the unaccounted bytes.
    """
    no_longer_listed = {
        pid: bytes_ for pid, bytes_ in (state.unlisted | state.listed).items() if pid not in listed and pid not in ended
    }
    unlisted = {pid: bytes_ for pid, bytes_ in no_longer_listed.items() if pid in live}
    newly_left = sum(bytes_ for pid, bytes_ in no_longer_listed.items() if pid not in live)
    left_behind = min(amount, state.left_behind + newly_left)
    return _State(listed | ended, unlisted, left_behind), min(amount, max(left_behind, sum(ended.values())))


def _memory_by_device(processes: Iterable[Process]) -> tuple[_MemoryByDevice, _MemoryByDevice]:
    """Return the bytes on each GPU: of the live processes, and of ended ones that the driver still lists."""
    live: _MemoryByDevice = defaultdict(dict)
    ended: _MemoryByDevice = defaultdict(dict)
    for process in processes:
        memory = ended if process.gone else live
        for use in process.uses:
            memory[use.device_index][process.pid] = use.memory_bytes or 0
    return live, ended
