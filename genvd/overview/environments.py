"""The rows of the environments, users and GPU processes, and of the GPU time of each user."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from genvd.analysis import join, policy
from genvd.analysis.activity import total_memory
from genvd.analysis.availability import idle_seconds
from genvd.model.snapshot import memory_limit
from genvd.overview.problem import name_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genvd.model.facts import ContextType
    from genvd.model.snapshot import Environment, EnvironmentUse, Process, Snapshot, User

_CONTAINER_ID_LENGTH = 12
"""Container IDs are cut to this length, as other tools do."""

_MAX_USAGE_ROWS = 1000
"""Maximum number of users whose GPU time is listed."""


class EnvironmentDevice(NamedTuple):
    """A GPU that an environment has attached or uses. ``None`` means *not known*."""

    index: int  # type: ignore[assignment]
    attached: bool
    memory_bytes: int | None
    memory_limit_bytes: int | None
    """None without a limit."""
    utilization: float | None
    """Share of its SM time, 0 to 1."""
    idle_since: float | None
    """Unix time since which the environment has not worked on it; None while in use, or if it is not attached."""


class EnvironmentRow(NamedTuple):
    """The row of an active environment. ``None`` means *not known*."""

    eid: str
    name: str
    """Its ID if it has no name."""
    username: str | None
    devices: tuple[int, ...]
    """Indices of the attached GPUs."""
    processes: int | None
    """Number of its processes with a compute context."""
    memory_bytes: int | None
    memory_limit_bytes: int | None
    """Limit per GPU; the lowest one if they differ. None without a limit."""
    utilization: float | None
    """Mean share of the SM time of the GPUs that it has attached or uses, 0 to 1."""
    idle_since: float | None
    """Unix time since which it has worked on no attached GPU; None while one is in use, or without one."""
    created: float | None
    """Unix time in seconds."""
    violations: tuple[str, ...]
    uses: tuple[EnvironmentDevice, ...] | None
    """One per GPU that it has attached or uses."""


class UserRow(NamedTuple):
    """The row of a user with an environment or with a process outside genv. ``None`` means *not known*."""

    username: str
    environments: int
    devices: tuple[int, ...]
    processes: int | None
    """GPU processes, inside and outside genv."""
    memory_bytes: int | None
    unmanaged: int | None
    """Number of processes that compute outside genv."""


class ProcessRow(NamedTuple):
    """The row of a GPU process. ``None`` means *not known*."""

    pid: int
    command: str | None
    username: str | None
    eid: str | None
    environment: str | None
    """Name of the environment, or its ID if it has no name."""
    devices: tuple[int, ...]
    memory_bytes: int | None
    utilization: float | None
    """Mean share of the SM time of its GPUs, 0 to 1."""
    type: ContextType
    started: float | None
    """Unix time in seconds."""
    started_by: str | None
    """For example ``container 12ab34cd`` or ``slurm 4711``."""
    unmanaged: bool | None


class UserUsageRow(NamedTuple):
    """The GPU time of a user. ``None`` means *not known*."""

    username: str
    attached_seconds: float
    """GPU-seconds: two GPUs attached for one second are two."""
    active_seconds: float | None
    idle_seconds: float | None
    outside_seconds: float | None
    """GPU-seconds in which the user computed on GPUs without having them attached."""


def environment_rows(snapshot: Snapshot) -> tuple[EnvironmentRow, ...] | None:
    """Return the rows of the active environments; None while they are unknown."""
    if snapshot.environments is None:
        return None
    broken: dict[str, list[str]] = defaultdict(list)
    for environment, rule, is_broken in policy.all_violations(snapshot):
        if is_broken:
            broken[environment.eid].append(rule)
    idle = {
        (holding.eid, holding.device_index): snapshot.timestamp - seconds
        for holding in snapshot.holdings or ()
        if (seconds := idle_seconds(snapshot, holding)) is not None
    }
    return tuple(
        _environment(snapshot, environment, tuple(broken[environment.eid]), idle)
        for environment in snapshot.environments
    )


def _environment(
    snapshot: Snapshot,
    environment: Environment,
    violations: tuple[str, ...],
    device_idle: Mapping[tuple[str, int], float],
) -> EnvironmentRow:
    """Return the row of an environment.

    Args:
        snapshot: the machine.
        environment: the environment.
        violations: the rules that it breaks.
        device_idle: the Unix time since which an environment has not used a GPU, by eid and device index.
    """
    uses, idle = environment.uses, idle_seconds(snapshot, environment)
    return EnvironmentRow(
        eid=environment.eid,
        name=name_of(environment),
        username=environment.username,
        devices=environment.device_indices,
        processes=None if environment.pids is None else len(environment.pids),
        memory_bytes=None if uses is None else total_memory(uses),
        memory_limit_bytes=environment.memory_limit_bytes,
        utilization=None if uses is None else _mean([use.share for use in uses]),
        idle_since=None if idle is None else snapshot.timestamp - idle,
        created=environment.created,
        violations=violations,
        uses=None if uses is None else tuple(_device(environment, use, device_idle) for use in uses),
    )


def _device(environment: Environment, use: EnvironmentUse, idle: Mapping[tuple[str, int], float]) -> EnvironmentDevice:
    return EnvironmentDevice(
        index=use.device_index,
        attached=use.attached,
        memory_bytes=use.memory_bytes,
        memory_limit_bytes=memory_limit(use.attached_memory_bytes, environment.gpu_memory_bytes),
        utilization=use.share,
        idle_since=idle.get((environment.eid, use.device_index)),
    )


def user_rows(snapshot: Snapshot) -> tuple[UserRow, ...] | None:
    """Return the rows of the users by name; None while the environments are unknown."""
    if snapshot.environments is None:
        return None
    by_name: dict[str, list[Process]] = defaultdict(list)
    for process in snapshot.processes or ():
        by_name[process.username or ""].append(process)
    outside = policy.unmanaged_by_user(snapshot)
    users = {user.username: user for user in join.users(snapshot.environments)}
    names = sorted({*users, *(name for name, number in outside.items() if number != 0 and name)})
    incomplete = policy.users_with_unknown_processes(snapshot)
    known = snapshot.processes is not None
    return tuple(
        _user(
            name,
            users.get(name),
            by_name.get(name, []) if known else None,
            outside.get(name, 0),
            complete=name not in incomplete,
        )
        for name in names
    )


def _user(
    name: str, user: User | None, processes: list[Process] | None, outside: int | None, *, complete: bool
) -> UserRow:
    return UserRow(
        username=name,
        environments=len(user.eids) if user else 0,
        devices=user.device_indices if user else (),
        processes=None if processes is None or not complete else len(processes),
        memory_bytes=None
        if processes is None or not complete
        else total_memory(use for process in processes for use in process.uses),
        unmanaged=None if processes is None else outside,
    )


def process_rows(snapshot: Snapshot) -> tuple[ProcessRow, ...] | None:
    """Return the rows of the GPU processes by pid; None while they are unknown."""
    if snapshot.processes is None:
        return None
    environments = {environment.eid: environment for environment in snapshot.environments or ()}
    active = None if snapshot.environments is None else policy.active_eids(snapshot)
    return tuple(
        _process(
            process,
            environments.get(process.eid or ""),
            None if active is None or policy.environment_unknown(process) else policy.is_unmanaged(process, active),
        )
        for process in snapshot.processes
    )


def _process(process: Process, environment: Environment | None, unmanaged: bool | None) -> ProcessRow:
    return ProcessRow(
        pid=process.pid,
        command=process.command,
        username=process.username,
        eid=process.eid,
        environment=name_of(environment) if environment else process.eid,
        devices=tuple(use.device_index for use in process.uses),
        memory_bytes=total_memory(process.uses),
        utilization=_mean([use.utilization for use in process.uses]),
        type=process.type,
        started=process.started,
        started_by=_started_by(process),
        unmanaged=unmanaged,
    )


def _started_by(process: Process) -> str | None:
    identifier = process.cgroup or ""
    if process.cgroup_kind == "container":
        identifier = identifier[:_CONTAINER_ID_LENGTH]
    return f"{process.cgroup_kind} {identifier}".strip() if process.cgroup_kind else None


def _mean(shares: list[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return sum(known) / len(known) if known and len(known) == len(shares) else None


def usage_rows(snapshot: Snapshot) -> tuple[UserUsageRow, ...] | None:
    """Return the GPU time by user, the most first; None while it is unknown, or without a ledger."""
    if snapshot.ledger is None or snapshot.ledger.users is None:
        return None
    users = sorted(snapshot.ledger.users, key=lambda user: -user.allocated_seconds - (user.outside_seconds or 0))
    return tuple(
        UserUsageRow(
            user.username, user.allocated_seconds, user.active_seconds, user.idle_seconds, user.outside_seconds
        )
        for user in users[:_MAX_USAGE_ROWS]
    )
