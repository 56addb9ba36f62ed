"""Computes how environments use GPUs, both attached and not attached, and whether they work on them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from genvd.analysis.unknown_environments import NO_POSSIBLE_USE
from genvd.model.snapshot import EnvironmentUse, Holding, memory_limit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from genvd.analysis.memory_peaks import EnvironmentPeak
    from genvd.analysis.unknown_environments import PossibleUse
    from genvd.model.device import Device
    from genvd.model.facts import Attachment, MigInstanceId
    from genvd.model.snapshot import DeviceUse, Environment, Process

MAX_UNVERIFIED_DEVICES = 64
"""Maximum number of attached devices of one environment while the GPUs of the machine are unknown."""

_Uses = dict[tuple[str, int], list["DeviceUse"]]
"""What the processes of an environment use of a GPU, by eid and device index."""


def _no_peak(*_: object) -> None:
    """Return no peak."""


def add_activity(
    environments: Iterable[Environment],
    attachments: Iterable[Attachment],
    processes: tuple[Process, ...] | None,
    devices: tuple[Device, ...] | None,
    idle: Mapping[str, float] | None = None,
    possible_use: PossibleUse = NO_POSSIBLE_USE,
    peak_of: EnvironmentPeak = _no_peak,
) -> tuple[Environment, ...]:
    """Return the environments with their use of each GPU and their idle time.

    Args:
        environments: the active environments.
        attachments: all attachments, also those of inactive environments.
        processes: the GPU processes; None if unknown, then the uses are unknown too.
        devices: None if unknown.
        idle: the known idle seconds by eid.
        possible_use: what processes of unknown environments may do on the GPUs of each environment.
        peak_of: returns the peak of the memory of each environment on each GPU.
    """
    idle = idle or {}
    if processes is None or devices is None:
        return tuple(environment._replace(idle_seconds=idle.get(environment.eid)) for environment in environments)
    uses = _uses_by_environment(processes)
    used: dict[str, set[int]] = defaultdict(set)
    for eid, index in uses:
        used[eid].add(index)
    by_index = {device.index: device for device in devices}
    attached = _first_attachments(attachments)
    return tuple(
        environment._replace(
            uses=tuple(
                _environment_use(
                    environment,
                    by_index[index],
                    uses.get((environment.eid, index), []),
                    attached.get((environment.eid, index)),
                    peak_of,
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
    """Return which environment holds which GPU, and whether it works on it.

    Attachments to devices that the driver does not have are ignored: everybody can write any index into genv's files.

    Args:
        environments: the active environments.
        attachments: all attachments, also those of inactive environments. If there are several for the same environment
            and device, the first counts.
        processes: the GPU processes; None if unknown.
        devices: None if unknown; then all attachments are accepted.
        possible_use: what processes of unknown environments may do on the GPUs of each environment.
    """
    by_index = None if devices is None else {device.index: device for device in devices}
    uses = None if processes is None else _uses_by_environment(processes)
    attached = _first_attachments(attachments)
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
        for index in _held_indices(environment, by_index)
    )


def add_idle_times(holdings: Iterable[Holding], idle: Mapping[tuple[str, int], float]) -> tuple[Holding, ...]:
    """Return the holdings with their idle time.

    Args:
        holdings: without it.
        idle: the known idle seconds by eid and device index.
    """
    return tuple(holding._replace(idle_seconds=idle.get((holding.eid, holding.device_index))) for holding in holdings)


def _held_indices(environment: Environment, by_index: dict[int, Device] | None) -> Iterator[int]:
    """Yield the indices of the attached GPUs, without those that the driver does not have."""
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
    """Return the holding of one attached GPU.

    Args:
        environment: the environment.
        attachment: the attachment of the GPU to it; None if unknown.
        index: the index of the GPU.
        device: None if the GPU is unknown.
        uses: what the processes of the environment use of it; None if the processes are unknown.
        uncertain: whether processes of unknown environments may work on it for this environment.
    """
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
    """Return whether an environment worked on a GPU; None if unknown.

    The driver's utilization of each process counts. If it is missing, a process on a busy GPU, or in MIG mode in a busy
    GPU instance, counts as working: calling an idle environment active is better than calling an active one idle.

    Args:
        device: the GPU.
        uses: what the processes of the environment use on it.
        known: whether these are all of its processes.
    """
    if any(use.utilization or use.works_beside for use in uses):
        return True
    if device.up is False or not known:
        return None
    unmeasured = [use for use in uses if use.utilization is None]
    if not unmeasured:
        return False
    if device.utilization_percent is not None:
        return device.utilization_percent > 0
    return _any_true(_instance_worked(device, mig) for use in unmeasured for mig in use.mig_places or (None,))


def _instance_worked(device: Device, mig: MigInstanceId | None) -> bool | None:
    """Return whether the GPU instance of a process was busy; None if its counters are unknown.

    There is no counter for the video engines, but they read and write memory, which is counted.
    """
    if mig is None:
        return None
    activities = [instance.activity for instance in device.mig_instances if instance.gpu_instance == mig.gpu_instance]
    if not activities:
        return None
    return _any_true(
        None if ratio is None else ratio > 0 for ratio in (activities[0].graphics_ratio, activities[0].dram_ratio)
    )


def _any_true(answers: Iterable[bool | None]) -> bool | None:
    """Return True if one answer is True, else None if one is unknown, else False."""
    values = list(answers)
    if any(values):
        return True
    return None if None in values else False


def total_share(uses: Iterable[DeviceUse]) -> float | None:
    """Return the sum of the SM time shares, at most 1; None if one of them is unknown.

    The shares are measured one by one, so their sum can be slightly above 1.
    """
    total = 0.0
    for use in uses:
        if use.utilization is None:
            return None
        total += use.utilization
    return min(1.0, total)


def total_memory(uses: Iterable[DeviceUse | EnvironmentUse]) -> int | None:
    """Return the sum in bytes; None if one of them is unknown."""
    total = 0
    for use in uses:
        if use.memory_bytes is None:
            return None
        total += use.memory_bytes
    return total


def _environment_use(
    environment: Environment,
    device: Device,
    uses: list[DeviceUse],
    attachment: Attachment | None,
    peak_of: EnvironmentPeak,
    *,
    memory_known: bool,
    share_known: bool,
) -> EnvironmentUse:
    known = bool(uses) or device.processes_listed
    memory = total_memory(uses) if known and memory_known else None
    return EnvironmentUse(
        device_index=device.index,
        memory_bytes=memory,
        share=total_share(uses) if known and share_known else None,
        attached=device.index in environment.device_indices,
        computes=any(use.type != "graphics" or use.computes for use in uses),
        least_memory_bytes=sum(use.memory_bytes or 0 for use in uses),
        attached_memory_bytes=attachment.gpu_memory_bytes if attachment else None,
        peak_memory_bytes=peak_of(environment, device.index, memory),
    )


def _uses_by_environment(processes: Iterable[Process]) -> _Uses:
    """Return the device uses of all processes that name an environment."""
    uses: _Uses = defaultdict(list)
    for process in processes:
        if process.eid is not None:
            for use in process.uses:
                uses[process.eid, use.device_index].append(use)
    return uses


def _first_attachments(attachments: Iterable[Attachment]) -> dict[tuple[str, int], Attachment]:
    first: dict[tuple[str, int], Attachment] = {}
    for attachment in attachments:
        first.setdefault((attachment.eid, attachment.device_index), attachment)
    return first
