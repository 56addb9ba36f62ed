"""Decides for each GPU whether it is free, in use, held idle, used outside genv, or down.

Everything that says "free" gets it from here. "Free" must be known: no environment has the GPU attached, and no process
uses it. A GPU about which one of the two is unknown is ``unknown`` instead.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from genvd.analysis import policy
from genvd.analysis.orphan_memory import NEGLIGIBLE_BYTES, unaccounted_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from genvd.model.device import Device
    from genvd.model.snapshot import DeviceUse, Environment, Holding, Process, Snapshot

DeviceState = Literal["free", "in_use", "idle", "outside", "down", "no_mig_devices", "unknown"]
"""``free``: no environment has it attached, and no process uses it. ``idle``: all environments that have it attached
are known not to have worked on it for longer than ``idle.grace``, whether or not they work on other GPUs. ``outside``:
no environment has it attached, but a process outside genv computes on it. ``down``: it does not answer.
``no_mig_devices``: nobody has or uses it, and nobody can, as it is in MIG mode and has no MIG devices. ``in_use``: any
other use. ``unknown``: what is needed is not known."""

DEVICE_STATES: tuple[DeviceState, ...] = get_args(DeviceState)


class Availability(NamedTuple):
    """Whether a GPU can be had."""

    index: int  # type: ignore[assignment]
    state: DeviceState
    idle_since: float | None = None
    """Unix time since which no environment that has it attached has worked on it; None unless the state is ``idle``."""
    mig_instances_used: int | None = None
    """Number of MIG devices with a process; None without MIG, or if unknown."""


def availability(snapshot: Snapshot) -> tuple[Availability, ...] | None:
    """Return the availability of each GPU in the order of the GPUs; None while the GPUs are unknown."""
    if snapshot.devices is None:
        return None
    machine = _Machine(snapshot)
    return tuple(machine.availability(device) for device in snapshot.devices)


def idle_seconds(snapshot: Snapshot, holder: Environment | Holding) -> float | None:
    """Return for how long an environment has used none of its GPUs, or not the one of a holding; None while in use.

    A short time without work (``idle.grace``) counts as in use: programs load data, and users read results.
    """
    seconds = holder.idle_seconds
    return seconds if seconds and seconds >= snapshot.service.idle_grace_seconds else None


class _Machine:
    """The parts of a Snapshot by GPU."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.active = None if snapshot.environments is None else policy.active_eids(snapshot)
        self.holdings: dict[int, list[Holding]] = defaultdict(list)
        for holding in snapshot.holdings or ():
            self.holdings[holding.device_index].append(holding)
        self.uses: dict[int, list[tuple[Process, DeviceUse]]] = defaultdict(list)
        for process in snapshot.processes or ():
            for use in () if process.gone else process.uses:
                self.uses[use.device_index].append((process, use))
        self.unclear_memory = _unclear_memory(snapshot)

    def availability(self, device: Device) -> Availability:
        """Return the availability of a GPU."""
        instances_used = self._instances_used(device)
        if device.up is False:
            return Availability(device.index, "down", None, instances_used)
        idle = self._idle_seconds(self.holdings[device.index])
        if idle is not None and not self._holders_unknown(device):
            return Availability(device.index, "idle", self.snapshot.timestamp - idle, instances_used)
        return Availability(device.index, self._state(device), None, instances_used)

    def _state(self, device: Device) -> DeviceState:
        """Return the state of a GPU that is neither down nor idle."""
        if self.holdings[device.index]:
            return "in_use"
        using = _using(self.uses[device.index])
        if using and not self._holders_unknown(device) and self._is_outside(using):
            return "outside"
        if using:
            return "in_use"
        known = device.up and device.processes_listed and self.snapshot.processes is not None
        if not known or self._holders_unknown(device) or device.index in self.unclear_memory:
            return "unknown"
        return "no_mig_devices" if device.mig_devices == 0 else "free"

    def _holders_unknown(self, device: Device) -> bool:
        return self.snapshot.holdings is None or device.index in self.snapshot.holders_unknown

    def _is_outside(self, processes: Iterable[Process]) -> bool:
        return self.active is not None and any(policy.is_unmanaged(process, self.active) for process in processes)

    def _idle_seconds(self, holdings: Sequence[Holding]) -> float | None:
        """Return for how long no holder has used the GPU; None if one of them has, or if there are none."""
        idle = [idle_seconds(self.snapshot, holding) for holding in holdings]
        known = [seconds for seconds in idle if seconds is not None]
        return min(known) if known and len(known) == len(idle) else None

    def _instances_used(self, device: Device) -> int | None:
        if device.mig_mode != "enabled" or not device.processes_listed or self.snapshot.processes is None:
            return None
        uses = [use for _, use in self.uses[device.index]]
        if any(not use.mig_places for use in uses):
            return None
        places = {(place.gpu_instance, place.compute_instance) for use in uses for place in use.mig_places}
        return sum((one.gpu_instance, one.compute_instance) in places for one in device.mig_instances)


def _using(uses: Iterable[tuple[Process, DeviceUse]]) -> list[Process]:
    """Return the processes because of which a GPU is not free.

    These are all that run on it, but for an MPS server without clients, and for a desktop: NVIDIA's X driver opens all
    GPUs of a machine. A desktop draws only, in little memory.
    """
    computing, drawing = [], []
    drawn: int | None = 0
    for process, use in uses:
        if use.computes or use.type != "graphics":
            if not policy.is_mps_server(process):
                computing.append(process)
            continue
        drawing.append(process)
        drawn = None if drawn is None or use.memory_bytes is None else drawn + use.memory_bytes
    return computing if drawn is not None and drawn <= NEGLIGIBLE_BYTES else computing + drawing


def _unclear_memory(snapshot: Snapshot) -> frozenset[int]:
    """Return the GPUs with so much memory in use by no visible process that somebody invisible may use them.

    If the monitor does not see all processes of the machine, those whose memory cannot be counted are among them.
    """
    amounts: Mapping[int, int] = unaccounted_bytes(snapshot.devices or (), snapshot.processes or ())
    return frozenset(
        device.index
        for device in snapshot.devices or ()
        if amounts.get(device.index, 0 if snapshot.sees_machine else NEGLIGIBLE_BYTES + 1) > NEGLIGIBLE_BYTES
    ) | {part.device_index for part in snapshot.unseen_memory}
