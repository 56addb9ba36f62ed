"""Finds what is wrong: policy violations, oversubscribed GPUs, orphan memory, and processes outside genv.

docs/metrics.md explains the terms.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from genvd.analysis.orphan_memory import unaccounted_bytes
from genvd.model.facts import UNKNOWN_ENVIRONMENT
from genvd.model.snapshot import memory_limit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genvd.model.device import Device
    from genvd.model.facts import UnknownEnvironment
    from genvd.model.snapshot import Environment, EnvironmentUse, Holding, Process, Snapshot

MEMORY_LIMIT = "memory_limit"
UNATTACHED_DEVICE = "unattached_device"
DEVICE_LIMIT = "device_limit"

_MPS_SERVER = "nvidia-cuda-mps"
"""The name of NVIDIA's MPS server, of which the kernel keeps 15 characters. It runs for clients of all users."""


def violations(environment: Environment, held: int | None) -> Iterator[tuple[str, bool | None]]:
    """Yield the rules that apply to an environment, and whether each is violated; None if unknown.

    Args:
        environment: an active environment.
        held: number of GPUs that it holds; None if unknown.
    """
    uses, known = environment.uses, environment.devices_known
    if environment.memory_limit_bytes is not None:
        yield MEMORY_LIMIT, _any_above_limit(environment) if known else None
    yield UNATTACHED_DEVICE, None if uses is None or not known else _computes_elsewhere(environment, uses)
    if environment.gpus is not None:
        yield DEVICE_LIMIT, None if held is None or not known else held > environment.gpus


def all_violations(snapshot: Snapshot) -> Iterator[tuple[Environment, str, bool | None]]:
    """Yield each environment, each rule that applies to it, and whether it is violated; None if unknown."""
    held = None if snapshot.holdings is None else Counter(holding.eid for holding in snapshot.holdings)
    for environment in snapshot.environments or ():
        for rule, violated in violations(environment, None if held is None else held[environment.eid]):
            yield environment, rule, violated


def orphan_memory(snapshot: Snapshot) -> Iterator[tuple[Device, int]]:
    """Yield each GPU with the bytes in use that were left behind by ended processes."""
    unseen = {part.device_index: part.bytes for part in snapshot.unseen_memory}
    amounts = {} if snapshot.processes is None else unaccounted_bytes(snapshot.devices or (), snapshot.processes)
    for device in snapshot.devices or ():
        if device.index in amounts:
            yield device, max(0, amounts[device.index] - unseen.get(device.index, 0))


def unseen_memory(snapshot: Snapshot) -> Iterator[tuple[Device, int]]:
    """Yield each GPU on which unseen processes may have memory, with the number of bytes."""
    unseen = {part.device_index: part.bytes for part in snapshot.unseen_memory}
    for device in snapshot.devices or ():
        if device.index in unseen:
            yield device, unseen[device.index]


def oversubscribed(snapshot: Snapshot) -> Iterator[tuple[Device, bool | None]]:
    """Yield each GPU, and whether its environments asked for more memory than it has; None if unknown."""
    if snapshot.holdings is None:
        return
    holders: dict[int, list[Holding]] = defaultdict(list)
    for holding in snapshot.holdings:
        holders[holding.device_index].append(holding)
    for device in snapshot.devices or ():
        known = device.index not in snapshot.holders_unknown
        yield device, _is_oversubscribed(device, holders[device.index]) if known else None


def active_eids(snapshot: Snapshot) -> frozenset[str]:
    """Return the eids of all active environments, for :func:`is_unmanaged`."""
    return frozenset(environment.eid for environment in snapshot.environments or ())


def is_unmanaged(process: Process, active_eids: frozenset[str]) -> bool:
    """Return whether a process computes outside genv, that is in no active environment.

    Graphics-only processes such as a desktop do not count, nor does an MPS server of root. The same holds for ended
    processes and for processes whose environment is unknown.
    """
    return process.environment_unknown is None and computes_outside(process, active_eids)


def computes_outside(process: Process, active_eids: frozenset[str]) -> bool:
    """Return whether a process computes and is in no active environment as far as is known."""
    if process.eid in active_eids or process.gone:  # nearly all of them
        return False
    return any(use.computes or use.type == "mps" for use in process.uses) and not is_mps_server(process)


def unmanaged(snapshot: Snapshot) -> Iterator[Process]:
    """Yield the processes that compute outside genv; none while that is unknown."""
    if snapshot.environments is not None:
        active = active_eids(snapshot)
        yield from (process for process in snapshot.processes or () if is_unmanaged(process, active))


def is_mps_server(process: Process) -> bool:
    """Return whether a process is NVIDIA's MPS server, which stays when its clients have ended."""
    return process.uid == 0 and process.command == _MPS_SERVER


def unmanaged_by_user(snapshot: Snapshot) -> dict[str, int | None]:
    """Return the number of processes outside genv by username, "" if the user is unknown.

    A user whose processes are all in environments has 0. Processes whose environment is unknown do not count; a user
    who has such a process, and none that is known to be outside genv, has None.
    """
    active = active_eids(snapshot)
    numbers: Counter[str] = Counter()
    unknown = set()
    for process in snapshot.processes or ():
        username = process.username or ""
        numbers[username] += is_unmanaged(process, active)
        if environment_unknown(process):
            unknown.add(username)
    return {username: number if number or username not in unknown else None for username, number in numbers.items()}


def environment_unknown(process: Process) -> bool:
    """Return whether a live process may or may not be in an environment."""
    return process.environment_unknown is not None and not process.gone


def users_with_unknown_processes(snapshot: Snapshot) -> frozenset[str]:
    """Return the users who may have more GPU processes than the monitor knows.

    They hold a GPU that does not answer or does not list its processes. If the user of any process is unknown, all
    users are returned, because it may belong to each of them.
    """
    users = frozenset(environment.username for environment in snapshot.environments or () if environment.username)
    if any(process.uid is None and not process.gone for process in snapshot.processes or ()):
        return users | {process.username for process in snapshot.processes or () if process.username}
    unlisted = {device.index for device in snapshot.devices or () if not device.up or not device.processes_listed}
    return frozenset(
        holding.username for holding in snapshot.holdings or () if holding.username and holding.device_index in unlisted
    )


def count_unknown_environments(snapshot: Snapshot) -> dict[UnknownEnvironment, int]:
    """Return the number of live processes whose environment is unknown, by reason."""
    numbers = dict.fromkeys(UNKNOWN_ENVIRONMENT, 0)
    for process in snapshot.processes or ():
        if process.environment_unknown is not None and not process.gone:
            numbers[process.environment_unknown] += 1
    return numbers


def _computes_elsewhere(environment: Environment, uses: tuple[EnvironmentUse, ...]) -> bool | None:
    """Return whether an environment computes on a GPU that it does not hold; None if an unknown process may do so."""
    if any(use.computes and not use.attached for use in uses):
        return True
    return None if set(environment.possible_device_indices) - set(environment.device_indices) else False


def _is_oversubscribed(device: Device, holders: list[Holding]) -> bool | None:
    """Return whether the limits of the holders exceed the GPU's memory; a holder without a limit may use all of it."""
    if len(holders) < 2:  # one environment with a too high limit does no harm to others
        return False
    limits = [holder.gpu_memory_bytes for holder in holders]
    known = [limit for limit in limits if limit is not None]
    if len(known) < len(limits):
        return True
    return None if device.memory_total_bytes is None else sum(known) > device.memory_total_bytes


def _any_above_limit(environment: Environment) -> bool | None:
    if environment.uses is None:
        return None
    pairs = ((use, memory_limit(use.attached_memory_bytes, environment.gpu_memory_bytes)) for use in environment.uses)
    limited = [(use, limit) for use, limit in pairs if limit is not None]
    if any(max(use.memory_bytes or 0, use.least_memory_bytes) > limit for use, limit in limited):
        return True
    return None if any(use.memory_bytes is None for use, _ in limited) else False
