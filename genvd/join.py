"""Facts to Snapshot: which process belongs to which environment and user, said once and for all."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from genvd.model import DeviceUse, Environment, Process, ProcessOwner, User

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genvd.model import Attachment, Context, EnvironmentRecord, GenvFacts, ProcessFacts


def processes(contexts: Iterable[Context], facts: ProcessFacts) -> tuple[Process, ...]:
    """Join compute contexts into processes, ordered by pid.

    A process of which nothing but its contexts is known stays in the list: it holds GPU memory all the same.
    """
    uses: dict[int, dict[int, int | None]] = defaultdict(dict)
    for context in contexts:
        of_process = uses[context.pid]
        of_process[context.device_index] = _add(of_process.get(context.device_index, 0), context.memory_bytes)
    unknown = ProcessOwner()
    return tuple(
        Process(
            pid=pid,
            uses=tuple(DeviceUse(index, memory) for index, memory in sorted(uses[pid].items())),
            eid=owner.eid,
            uid=owner.uid,
            username=owner.username,
        )
        for pid in sorted(uses)
        for owner in (facts.owners.get(pid, unknown),)
    )


def active_environments(
    genv: GenvFacts, facts: ProcessFacts, gpu_processes: tuple[Process, ...] | None
) -> tuple[Environment, ...]:
    """Return the environments that live, with the devices they hold and the GPU processes that name them.

    Of several with one identifier the first that lives counts.
    """
    records: dict[str, EnvironmentRecord] = {}
    for record in genv.environments:
        if record.eid not in records and _is_active(record, facts):
            records[record.eid] = record
    devices = _devices_by_eid(genv.attachments)
    pids: dict[str, list[int]] = defaultdict(list)
    for process in gpu_processes or ():
        if process.eid is not None:
            pids[process.eid].append(process.pid)
    return tuple(
        Environment(
            eid=record.eid,
            uid=record.uid,
            username=record.username,
            name=record.name,
            gpu_memory_bytes=record.gpu_memory_bytes,
            gpus=record.gpus,
            created=record.created,
            device_indices=tuple(sorted(devices.get(record.eid, ()))),
            pids=None if gpu_processes is None else tuple(pids.get(record.eid, ())),
        )
        for record in records.values()
    )


def users(environments: Iterable[Environment]) -> tuple[User, ...]:
    """Group active environments by the name of their user, ordered by name; those without a name have none."""
    by_name: dict[str, list[Environment]] = defaultdict(list)
    for environment in environments:
        if environment.username:
            by_name[environment.username].append(environment)
    return tuple(_user(username, by_name[username]) for username in sorted(by_name))


def _user(username: str, environments: list[Environment]) -> User:
    known = [environment.pids for environment in environments if environment.pids is not None]
    return User(
        username=username,
        eids=tuple(environment.eid for environment in environments),
        device_indices=tuple(sorted({index for e in environments for index in e.device_indices})),
        pids=tuple(sorted({pid for pids in known for pid in pids})) if len(known) == len(environments) else None,
    )


def attached_devices(environments: Iterable[Environment]) -> tuple[int, ...]:
    """Return the indices of the devices that at least one of the environments holds."""
    return tuple(sorted({index for environment in environments for index in environment.device_indices}))


def _add(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else left + right


def _devices_by_eid(attachments: Iterable[Attachment]) -> dict[str, set[int]]:
    devices: dict[str, set[int]] = defaultdict(set)
    for attachment in attachments:
        devices[attachment.eid].add(attachment.device_index)
    return devices


def _is_active(record: EnvironmentRecord, facts: ProcessFacts) -> bool:
    return not facts.live_pids.isdisjoint(record.pids) or not facts.live_kernel_ids.isdisjoint(record.kernel_ids)
