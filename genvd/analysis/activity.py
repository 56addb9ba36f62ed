"""What environments do with the devices that they hold, and with those that they do not."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from genvd.analysis.unknown_environments import NO_POSSIBLE_USE
from genvd.model.snapshot import EnvironmentUse, Holding, memory_limit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from genvd.analysis.unknown_environments import PossibleUse
    from genvd.model.device import Device
    from genvd.model.facts import Attachment, MigPlace
    from genvd.model.snapshot import DeviceUse, Environment, Process

MAX_UNVERIFIED_DEVICES = 64
"""Of one environment, while the devices of the machine are not known: a state file can name thousands."""

_UsesByPlace = dict[tuple[str, int], list["DeviceUse"]]


def with_activity(
    environments: Iterable[Environment],
    attachments: Iterable[Attachment],
    processes: tuple[Process, ...] | None,
    devices: tuple[Device, ...] | None,
    idle: Mapping[str, float] | None = None,
    possible_use: PossibleUse = NO_POSSIBLE_USE,
) -> tuple[Environment, ...]:
    """Return the environments with what their processes have on each device, and for how long they are idle.

    Args:
        environments: the active ones.
        attachments: of active ones and others.
        processes: None while the GPU processes are not known; then the uses are not either.
        devices: None while they are not known.
        idle: the seconds by identifier, of those of which it is known.
        possible_use: what processes may do of which it is not known in which environment they are.
    """
    idle = idle or {}
    if processes is None or devices is None:
        return tuple(replace(environment, idle_seconds=idle.get(environment.eid)) for environment in environments)
    uses = _by_place(processes)
    used: dict[str, set[int]] = defaultdict(set)
    for eid, index in uses:
        used[eid].add(index)
    by_index = {device.index: device for device in devices}
    attached = _attachments(attachments)
    return tuple(
        replace(
            environment,
            uses=tuple(
                _environment_use(
                    by_index[index],
                    uses.get((environment.eid, index), []),
                    index in environment.device_indices,
                    attached.get((environment.eid, index)),
                    memory_known=(environment.eid, index) not in possible_use.present,
                    share_known=(environment.eid, index) not in possible_use.working,
                )
                for index in sorted({*environment.device_indices, *used[environment.eid]} & by_index.keys())
            ),
            idle_seconds=idle.get(environment.eid),
        )
        for environment in environments
    )


def holdings(
    environments: Iterable[Environment],
    attachments: Iterable[Attachment],
    processes: tuple[Process, ...] | None,
    devices: tuple[Device, ...] | None,
    possible_use: PossibleUse = NO_POSSIBLE_USE,
) -> tuple[Holding, ...]:
    """Return which environment holds which device, and whether it works on it.

    A device that the driver does not have is held by nobody, as everybody can write any number into the state files.

    Args:
        environments: the active ones.
        attachments: of active ones and others. Of several to one device the first counts, and its memory.
        processes: None while the GPU processes are not known.
        devices: None while they are not known; then devices are taken as the attachments name them.
        possible_use: what processes may do of which it is not known in which environment they are.
    """
    by_index = None if devices is None else {device.index: device for device in devices}
    uses = None if processes is None else _by_place(processes)
    attached = _attachments(attachments)
    return tuple(
        _holding(
            environment,
            attached.get((environment.eid, index)),
            index,
            by_index.get(index) if by_index else None,
            None if uses is None else uses.get((environment.eid, index), []),
            uncertain=(environment.eid, index) in possible_use.working,
        )
        for environment in environments
        for index in _held(environment, by_index)
    )


def _held(environment: Environment, by_index: dict[int, Device] | None) -> Iterator[int]:
    if by_index is None:
        yield from environment.device_indices[:MAX_UNVERIFIED_DEVICES]
    else:
        yield from (index for index in environment.device_indices if index in by_index)


def _holding(
    environment: Environment,
    attachment: Attachment | None,
    index: int,
    device: Device | None,
    uses: list[DeviceUse] | None,
    *,
    uncertain: bool,
) -> Holding:
    listed = device is not None and device.processes_listed and uses is not None
    return Holding(
        eid=environment.eid,
        uid=environment.uid,
        username=environment.username,
        device_index=index,
        device_uuid=device.uuid if device else None,
        active=_active(device, uses, known=listed and not uncertain) if device and uses is not None else None,
        share=total_share(uses) if listed and uses is not None and not uncertain else None,
        attached=attachment.attached if attachment else None,
        gpu_memory_bytes=memory_limit(
            attachment.gpu_memory_bytes if attachment else None, environment.gpu_memory_bytes
        ),
        device_up=device.up if device else None,
    )


def _active(device: Device, uses: list[DeviceUse], *, known: bool) -> bool | None:
    """Tell whether processes with these uses did work; None where the driver does not tell.

    What each of them did counts where the driver tells it of them. Else a process there and a device at work is
    taken for work, or in MIG mode a GPU instance at work: an environment is rather said to work than wrongly said to be
    idle.

    Args:
        device: where they are.
        uses: of the processes of an environment.
        known: whether these are all of them.
    """
    if any(use.utilization or use.works_beside for use in uses):
        return True
    if device.up is False or not known:
        return None
    untold = [use for use in uses if use.utilization is None]
    if not untold:
        return False
    if device.utilization_percent is not None:
        return device.utilization_percent > 0
    return _any_of(_instance_worked(device, place) for use in untold for place in use.mig_places or (None,))


def _instance_worked(device: Device, place: MigPlace | None) -> bool | None:
    """Tell whether anything was done in the GPU instance of a process; None where its counters do not tell.

    They do not tell what the engines for video did, but that these read and wrote memory.
    """
    if place is None:
        return None
    found = [one.activity for one in device.mig_instances if one.gpu_instance == place.gpu_instance]
    if not found:
        return None
    return _any_of(None if ratio is None else ratio > 0 for ratio in (found[0].graphics_ratio, found[0].dram_ratio))


def _any_of(answers: Iterable[bool | None]) -> bool | None:
    """Return whether one of these is true; None if that depends on one that is not known."""
    known = list(answers)
    if any(known):
        return True
    return None if None in known else False


def total_share(uses: Iterable[DeviceUse]) -> float | None:
    """Return the share of a device's SM time that these have together; None if it is not known of one of them.

    Each is measured by itself, so that the sum can come out above all there is; then it is all.
    """
    together = 0.0
    for use in uses:
        if use.utilization is None:
            return None
        together += use.utilization
    return min(1.0, together)


def total_memory(uses: Iterable[DeviceUse | EnvironmentUse]) -> int | None:
    """Return the bytes that these take together; None if that is not known of one of them."""
    together = 0
    for use in uses:
        if use.memory_bytes is None:
            return None
        together += use.memory_bytes
    return together


def _environment_use(
    device: Device,
    uses: list[DeviceUse],
    attached: bool,
    attachment: Attachment | None,
    *,
    memory_known: bool,
    share_known: bool,
) -> EnvironmentUse:
    known = bool(uses) or device.processes_listed
    return EnvironmentUse(
        device_index=device.index,
        memory_bytes=total_memory(uses) if known and memory_known else None,
        share=total_share(uses) if known and share_known else None,
        attached=attached,
        computes=any(use.type != "graphics" or use.computes for use in uses),
        least_memory_bytes=sum(use.memory_bytes or 0 for use in uses),
        attached_memory_bytes=attachment.gpu_memory_bytes if attachment else None,
    )


def _by_place(processes: Iterable[Process]) -> _UsesByPlace:
    """Return what processes have, by environment and device."""
    found: _UsesByPlace = defaultdict(list)
    for process in processes:
        if process.eid is not None:
            for use in process.uses:
                found[process.eid, use.device_index].append(use)
    return found


def _attachments(attachments: Iterable[Attachment]) -> dict[tuple[str, int], Attachment]:
    found: dict[tuple[str, int], Attachment] = {}
    for attachment in attachments:
        found.setdefault((attachment.eid, attachment.device_index), attachment)
    return found
