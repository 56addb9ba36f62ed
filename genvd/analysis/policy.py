"""What is wrong on the machine: rules that environments break, devices promised twice, memory of nobody.

docs/metrics.md says in words what each of these means.
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
"""The 15 characters that the kernel keeps of the name of NVIDIA's server, which runs for clients of all kinds."""


def violations(environment: Environment, held: int | None) -> Iterator[tuple[str, bool | None]]:
    """Return the rules that there are for an environment, each with whether it is broken; None if that is not known.

    Args:
        environment: an active one.
        held: how many devices of the machine it holds; None if that is not known.
    """
    uses, known = environment.uses, environment.devices_known
    if environment.memory_limit_bytes is not None:
        yield MEMORY_LIMIT, _any_above_limit(environment) if known else None
    yield UNATTACHED_DEVICE, None if uses is None or not known else _computes_elsewhere(environment, uses)
    if environment.gpus is not None:
        yield DEVICE_LIMIT, None if held is None or not known else held > environment.gpus


def all_violations(snapshot: Snapshot) -> Iterator[tuple[Environment, str, bool | None]]:
    """Return the same of all environments, each with the rule."""
    held = None if snapshot.holdings is None else Counter(holding.eid for holding in snapshot.holdings)
    for environment in snapshot.environments or ():
        for rule, broken in violations(environment, None if held is None else held[environment.eid]):
            yield environment, rule, broken


def orphan_memory(snapshot: Snapshot) -> Iterator[tuple[Device, int]]:
    """Return by device the bytes in use that no live process has, without those that somebody unseen may have."""
    unseen = {one.device_index: one.bytes for one in snapshot.unseen_memory}
    amounts = {} if snapshot.processes is None else unaccounted_bytes(snapshot.devices or (), snapshot.processes)
    for device in snapshot.devices or ():
        if device.index in amounts:
            yield device, max(0, amounts[device.index] - unseen.get(device.index, 0))


def unseen_memory(snapshot: Snapshot) -> Iterator[tuple[Device, int]]:
    """Return by device the bytes in use that somebody may have whom the monitor cannot see."""
    unseen = {one.device_index: one.bytes for one in snapshot.unseen_memory}
    for device in snapshot.devices or ():
        if device.index in unseen:
            yield device, unseen[device.index]


def oversubscribed(snapshot: Snapshot) -> Iterator[tuple[Device, bool | None]]:
    """Return by device whether more of it is promised than there is; None where that is not known."""
    if snapshot.holdings is None:
        return
    holders: dict[int, list[Holding]] = defaultdict(list)
    for holding in snapshot.holdings:
        holders[holding.device_index].append(holding)
    for device in snapshot.devices or ():
        known = device.index not in snapshot.holders_unknown
        yield device, _promised_twice(device, holders[device.index]) if known else None


def active_eids(snapshot: Snapshot) -> frozenset[str]:
    """Return the identifiers of all active environments, for :func:`is_unmanaged`."""
    return frozenset(environment.eid for environment in snapshot.environments or ())


def is_unmanaged(process: Process, active_eids: frozenset[str]) -> bool:
    """Tell whether a process computes outside any active environment.

    What only draws does not count, such as a desktop, nor does the server of NVIDIA's Multi-Process Service that root
    runs. A process that has ended computes nowhere, and one whose environment is not known is accused of nothing.
    """
    if process.gone or process.environment_unknown:
        return False
    computes = any(use.computes or use.type == "mps" for use in process.uses)
    serves = process.uid == 0 and process.command == _MPS_SERVER
    return computes and not serves and process.eid not in active_eids


def unmanaged_by_user(snapshot: Snapshot) -> dict[str, int | None]:
    """Count the processes outside of any active environment by whom they run as, "" where that is not known.

    Who has no other processes than those inside stands there with 0. A process of which it is not known where it runs
    does not count, but who has one and is not known to have others outside stands there with None.
    """
    active = active_eids(snapshot)
    found: Counter[str] = Counter()
    unclear = set()
    for process in snapshot.processes or ():
        username = process.username or ""
        found[username] += is_unmanaged(process, active)
        if environment_unknown(process):
            unclear.add(username)
    return {username: number if number or username not in unclear else None for username, number in found.items()}


def environment_unknown(process: Process) -> bool:
    """Tell whether a live process runs in an environment, or in none, of which nothing is known."""
    return process.environment_unknown is not None and not process.gone


def users_with_unknown_processes(snapshot: Snapshot) -> frozenset[str]:
    """Return those of whose processes not all are known.

    They hold a device that does not answer, or of which the driver lists no processes; or there is a process of which
    it is not known whose it is, which may be anybody's.
    """
    people = frozenset(environment.username for environment in snapshot.environments or () if environment.username)
    if any(process.uid is None and not process.gone for process in snapshot.processes or ()):
        return people | {process.username for process in snapshot.processes or () if process.username}
    unlisted = {device.index for device in snapshot.devices or () if not device.up or not device.processes_listed}
    return frozenset(h.username for h in snapshot.holdings or () if h.username and h.device_index in unlisted)


def count_unknown_environments(snapshot: Snapshot) -> dict[UnknownEnvironment, int]:
    """Count the processes of :func:`environment_unknown` by the reason for which nothing is known."""
    numbers = dict.fromkeys(UNKNOWN_ENVIRONMENT, 0)
    for process in snapshot.processes or ():
        if process.environment_unknown is not None and not process.gone:
            numbers[process.environment_unknown] += 1
    return numbers


def _computes_elsewhere(environment: Environment, uses: tuple[EnvironmentUse, ...]) -> bool | None:
    """Tell whether an environment computes on a device that it does not hold; None if that depends on processes of
    which it is not known whether they are in it."""
    if any(use.computes and not use.attached for use in uses):
        return True
    return None if set(environment.possible_device_indices) - set(environment.device_indices) else False


def _promised_twice(device: Device, holders: list[Holding]) -> bool | None:
    if len(holders) < 2:  # a limit of more than there is takes nothing from anybody
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
