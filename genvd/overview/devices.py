"""The rows of the GPUs: load, memory by owner, attached environments and processes."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from genvd.analysis import policy
from genvd.analysis.availability import idle_seconds
from genvd.common.text import RESERVED
from genvd.overview.problem import first_process, name_of
from genvd.overview.summary import STATE_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from genvd.analysis.availability import Availability, DeviceState
    from genvd.model.device import Device, MigInstance
    from genvd.model.snapshot import Environment, Holding, Process, Snapshot

_UNKNOWN = "\0"
"""Stands for the environment of processes whose environment is unknown. No environment ID contains a NUL."""

MAX_PARTS = 8
"""Maximum number of memory parts, environments and processes that are listed per GPU."""


class MemoryPart(NamedTuple):
    """GPU memory of one environment or user."""

    name: str | None
    """Name of the environment or user; None for processes outside genv, or of an unknown user."""
    memory_bytes: int
    unclear: bool = False
    """Whether it belongs to processes whose environment is unknown."""


class Holder(NamedTuple):
    """An environment to which the GPU is attached."""

    eid: str
    name: str | None
    """Its ID if it has no name; None if the environment is unknown."""
    username: str | None
    idle: bool
    """Whether it has not worked on this GPU for longer than ``idle.grace``."""


class Guest(NamedTuple):
    """An environment, or a user outside genv, that computes on the GPU without having it attached."""

    username: str | None
    eid: str | None
    """The environment; None outside genv."""
    name: str
    """Name of the environment, or the first process."""


class RunningProcess(NamedTuple):
    """A process on the GPU."""

    pid: int
    command: str | None
    username: str | None


class DeviceRow(NamedTuple):
    """The row of a GPU. ``None`` means *not known*."""

    index: int  # type: ignore[assignment]
    name: str | None
    uuid: str | None
    up: bool | None
    state: DeviceState
    state_text: str
    """The state in words; the duration follows if it is idle."""
    utilization: float | None
    """0 to 1."""
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    host_memory_used_bytes: int | None
    """Host memory in use, for a GPU that uses host memory as its own; else None."""
    host_memory_total_bytes: int | None
    orphan_bytes: int | None
    """Memory in use that no visible process accounts for."""
    memory_by_environment: tuple[MemoryPart, ...] | None
    """The largest first; None while the processes, or the memory of one of them, are unknown."""
    memory_by_user: tuple[MemoryPart, ...] | None
    temperature_celsius: float | None
    slowdown_celsius: float | None
    """Temperature at which it slows down."""
    power_watts: float | None
    power_limit_watts: float | None
    throttled: tuple[str, ...]
    """Active throttling reasons."""
    holders: tuple[Holder, ...] | None
    """At most :data:`MAX_PARTS`."""
    holders_total: int
    running: tuple[RunningProcess, ...] | None
    """At most :data:`MAX_PARTS`; those that only draw are last."""
    running_total: int
    people: tuple[str, ...]
    """The users who have it attached; without them, those of its processes. At most :data:`MAX_PARTS`."""
    people_total: int
    guests: tuple[Guest, ...]
    """Those who are known to compute on it without having it attached."""
    idle_since: float | None
    """Unix time since which no attached environment has worked on it; None while one of them uses it."""
    mig_enabled: bool
    mig: tuple[MigInstance, ...]
    mig_used: int | None
    """Number of MIG devices with a process."""


def device_rows(snapshot: Snapshot, availability: Sequence[Availability] | None) -> tuple[DeviceRow, ...] | None:
    """Return the rows of the GPUs in order of their index; None while the GPUs are unknown.

    Args:
        snapshot: the machine.
        availability: what :func:`genvd.analysis.availability.availability` returns for it.
    """
    if snapshot.devices is None or availability is None:
        return None
    environments = {environment.eid: environment for environment in snapshot.environments or ()}
    orphans = {
        device.index: amount for device, amount in (*policy.orphan_memory(snapshot), *policy.unseen_memory(snapshot))
    }
    holdings: dict[int, list[Holding]] = defaultdict(list)
    for holding in snapshot.holdings or ():
        holdings[holding.device_index].append(holding)
    processes: dict[int, list[Process]] = defaultdict(list)
    for process in snapshot.processes or ():
        for use in process.uses:
            processes[use.device_index].append(process)
    guests = _guests(snapshot)
    return tuple(
        _row(
            snapshot,
            device,
            state,
            orphans.get(device.index),
            holdings[device.index],
            processes[device.index],
            environments,
            tuple(guests[device.index]),
        )
        for device, state in zip(snapshot.devices, availability, strict=True)
    )


def _row(
    snapshot: Snapshot,
    device: Device,
    availability: Availability,
    orphan_bytes: int | None,
    holdings: list[Holding],
    processes: list[Process],
    environments: Mapping[str, Environment],
    guests: tuple[Guest, ...],
) -> DeviceRow:
    details = device.details
    percent = device.utilization_percent
    host = snapshot.host_memory if device.shares_host_memory else None
    memory = _memory_by_process(device, processes)
    first = sorted(processes, key=lambda process: process.type == "graphics")[:MAX_PARTS]
    running = tuple(RunningProcess(process.pid, process.command, process.username) for process in first)
    holders = tuple(_holder(snapshot, holding, environments) for holding in holdings[:MAX_PARTS])
    processes_known = snapshot.processes is not None and device.processes_listed
    holders_known = snapshot.holdings is not None and device.index not in snapshot.holders_unknown
    people = _people(holdings, processes)
    return DeviceRow(
        index=device.index,
        name=device.name,
        uuid=device.uuid,
        up=device.up,
        state=availability.state,
        state_text=STATE_WORDS[availability.state],
        utilization=None if percent is None else percent / 100,
        memory_used_bytes=device.memory_used_bytes,
        memory_total_bytes=device.memory_total_bytes,
        host_memory_used_bytes=host.total_bytes - host.available_bytes if host else None,
        host_memory_total_bytes=host.total_bytes if host else None,
        orphan_bytes=orphan_bytes,
        memory_by_environment=_by_environment(memory, environments) if processes_known else None,
        memory_by_user=_parts((process.username, amount) for process, amount in memory) if processes_known else None,
        temperature_celsius=device.temperature_celsius,
        slowdown_celsius=next(
            (threshold.celsius for threshold in details.thresholds if threshold.name == "slowdown"), None
        ),
        power_watts=details.power_watts,
        power_limit_watts=details.power_limit_watts,
        throttled=tuple(reason.reason for reason in details.throttling if reason.active),
        holders=holders if holders_known else None,
        holders_total=len(holdings),
        running=running if processes_known else None,
        running_total=len(processes),
        people=people[:MAX_PARTS],
        people_total=len(people),
        guests=guests,
        idle_since=availability.idle_since,
        mig_enabled=device.mig_mode == "enabled",
        mig=device.mig_instances,
        mig_used=availability.mig_instances_used,
    )


def _people(holdings: list[Holding], processes: list[Process]) -> tuple[str, ...]:
    """Return the known users who have a GPU attached; without attachments, those of the processes on it."""
    if holdings:
        return tuple(dict.fromkeys(holding.username for holding in holdings if holding.username))
    live = [process for process in processes if not process.gone]
    computing = [process for process in live if process.type != "graphics"]  # a desktop is not who uses the GPU
    return tuple(dict.fromkeys(process.username for process in computing or live if process.username))


def _guests(snapshot: Snapshot) -> defaultdict[int, list[Guest]]:
    """Return by GPU the environments, then the users outside genv, that compute on it but do not have it attached."""
    guests: defaultdict[int, list[Guest]] = defaultdict(list)
    for environment in snapshot.environments or ():
        for use in environment.uses or () if environment.devices_known else ():
            if use.computes and not use.attached:
                guests[use.device_index].append(Guest(environment.username, environment.eid, name_of(environment)))
    outside: dict[tuple[int, str | None], list[Process]] = defaultdict(list)
    for process in policy.unmanaged(snapshot):
        for index in dict.fromkeys(use.device_index for use in process.uses if use.computes or use.type == "mps"):
            outside[index, process.username].append(process)
    for (index, username), processes in outside.items():
        guests[index].append(Guest(username, None, first_process(processes)))
    return guests


def _memory_by_process(device: Device, processes: Iterable[Process]) -> list[tuple[Process, int | None]]:
    return [
        (process, use.memory_bytes)
        for process in processes
        for use in process.uses
        if use.device_index == device.index and not process.gone  # memory of ended processes has no owner
    ]


def _by_environment(
    memory: Iterable[tuple[Process, int | None]], environments: Mapping[str, Environment]
) -> tuple[MemoryPart, ...] | None:
    """Return the memory by environment; None if the memory of a process is unknown.

    It is summed by eid, because several environments may have the same name.
    """
    parts = _parts(
        (
            _UNKNOWN if policy.environment_unknown(process) else process.eid if process.eid in environments else None,
            amount,
        )
        for process, amount in memory
    )
    return parts and tuple(
        MemoryPart(None, part.memory_bytes, unclear=True)
        if part.name == _UNKNOWN
        else part._replace(name=_shown_name(part.name, environments))
        for part in parts
    )


def _shown_name(eid: str | None, environments: Mapping[str, Environment]) -> str | None:
    environment = environments.get(eid or "")
    return name_of(environment) if environment else eid


def _parts(amounts: Iterable[tuple[str | None, int | None]]) -> tuple[MemoryPart, ...] | None:
    """Return the largest parts by name, and one part with the sum of the others; None if an amount is unknown."""
    sums: dict[str | None, int] = defaultdict(int)
    for name, amount in amounts:
        if amount is None:
            return None
        sums[name] += amount
    parts = [MemoryPart(name, amount) for name, amount in sorted(sums.items(), key=lambda item: -item[1])]
    if len(parts) > MAX_PARTS:
        rest = sum(part.memory_bytes for part in parts[MAX_PARTS - 1 :])
        parts[MAX_PARTS - 1 :] = [MemoryPart(RESERVED, rest)]
    return tuple(parts)


def _holder(snapshot: Snapshot, holding: Holding, environments: Mapping[str, Environment]) -> Holder:
    environment = environments.get(holding.eid)
    if environment is None:
        return Holder(holding.eid, None, holding.username, idle=False)
    idle = idle_seconds(snapshot, holding) is not None
    return Holder(holding.eid, name_of(environment), holding.username, idle)
