"""What is wrong on the machine: rules that environments break, devices promised twice, memory of nobody.

docs/metrics.md says in words what each of these means.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from genvd.activity import memory
from genvd.model import memory_limit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genvd.model import Device, DeviceUse, Environment, Holding, Process, Snapshot

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
    unattached = None if uses is None or not known else any(use.computes and not use.attached for use in uses)
    yield UNATTACHED_DEVICE, unattached
    if environment.gpus is not None:
        yield DEVICE_LIMIT, None if held is None or not known else held > environment.gpus


def all_violations(snapshot: Snapshot) -> Iterator[tuple[Environment, str, bool | None]]:
    """Return the same of all environments, each with the rule."""
    held = None if snapshot.holdings is None else Counter(holding.eid for holding in snapshot.holdings)
    for environment in snapshot.environments or ():
        for rule, broken in violations(environment, None if held is None else held[environment.eid]):
            yield environment, rule, broken


def orphan_memory(snapshot: Snapshot) -> Iterator[tuple[Device, int]]:
    """Return by device the bytes in use of which nobody knows whose they are, of those of which that can be told."""
    if snapshot.processes is None:
        return
    uses: dict[int, list[DeviceUse]] = defaultdict(list)
    for process in snapshot.processes:
        for use in () if process.gone else process.uses:
            uses[use.device_index].append(use)
    for device in snapshot.devices or ():
        of_processes = memory(uses[device.index])
        known = device.up and device.processes_listed and device.memory_reserved_bytes is not None
        if known and device.memory_used_bytes is not None and of_processes is not None:
            yield device, max(0, device.memory_used_bytes - of_processes)


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
    runs.
    """
    computes = any(use.computes or use.type == "mps" for use in process.uses)
    serves = process.uid == 0 and process.command == _MPS_SERVER
    return computes and not serves and process.eid not in active_eids


def unmanaged_by_user(snapshot: Snapshot) -> Counter[str]:
    """Count the processes outside of any active environment by whom they run as, "" where that is not known.

    Who has no other processes than those inside stands there with 0.
    """
    active = active_eids(snapshot)
    found: Counter[str] = Counter()
    for process in snapshot.processes or ():
        found[process.username or ""] += is_unmanaged(process, active)
    return found


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
    pairs = (
        (use.memory_bytes, memory_limit(use.attached_memory_bytes, environment.gpu_memory_bytes))
        for use in environment.uses
    )
    limited = [(amount, limit) for amount, limit in pairs if limit is not None]
    if any(amount is not None and amount > limit for amount, limit in limited):
        return True
    return None if any(amount is None for amount, _ in limited) else False
