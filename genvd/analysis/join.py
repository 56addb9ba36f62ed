"""Facts to Snapshot: which process belongs to which environment and user, said once and for all."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from genvd.analysis import ownership
from genvd.analysis.unknown_environments import NO_POSSIBLE_USE
from genvd.model.facts import CONTEXT_TYPES, AccountRequest, EngineShares, ProcessOwner
from genvd.model.snapshot import DeviceUse, Environment, Process, User, memory_limit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from genvd.analysis.claims import Rejection
    from genvd.analysis.ownership import OwnedRecord
    from genvd.analysis.unknown_environments import PossibleUse
    from genvd.model.facts import AccountFacts, Attachment, Context, GenvFacts, ProcessFacts


def account_request(facts: ProcessFacts, owned: Iterable[OwnedRecord]) -> AccountRequest:
    """Return what has to be known of accounts, to name the owners of processes and environments."""
    owned = tuple(owned)
    return AccountRequest(
        uids=frozenset(
            uid
            for uid in (*(owner.uid for owner in facts.owners.values()), *(one.uid for one in owned))
            if uid is not None
        ),
        claims=frozenset(
            (one.uid, one.record.username) for one in owned if one.uid is not None and one.record.username
        ),
    )


def processes(
    contexts: Iterable[Context],
    facts: ProcessFacts,
    owned: Iterable[OwnedRecord] = (),
    accounts: AccountFacts | None = None,
) -> tuple[tuple[Process, ...], tuple[Rejection, ...]]:
    """Join contexts into processes, ordered by pid.

    A process of which nothing but its contexts is known stays in the list: it holds GPU memory all the same.

    Args:
        contexts: who has which, and where.
        facts: whose the processes are, and what they say.
        owned: the active environments.
        accounts: None while nothing is known of them.

    Returns:
        The processes, and their claims that do not hold.
    """
    uses: dict[int, dict[int, list[Context]]] = defaultdict(lambda: defaultdict(list))
    for context in contexts:
        uses[context.pid][context.device_index].append(context)
    active = {one.record.eid: one for one in owned}
    accounts = accounts or ownership.NO_ACCOUNTS
    unknown = ProcessOwner(environment_unknown="not_visible")
    found, rejections = [], []
    for pid in sorted(uses):
        owner = facts.owners.get(pid, unknown)
        eid, rejection = ownership.resolve_environment(pid, owner, active)
        if rejection:
            rejections.append(rejection)
        found.append(
            Process(
                pid=pid,
                uses=tuple(_use(index, there) for index, there in sorted(uses[pid].items())),
                eid=eid,
                uid=owner.uid,
                username=None if owner.uid is None else ownership.account_name(owner.uid, accounts),
                command=owner.command,
                started=owner.started,
                cgroup_kind=owner.cgroup_kind,
                cgroup=owner.cgroup,
                gone=pid in facts.gone,
                environment_unknown=owner.environment_unknown,
            )
        )
    return tuple(found), tuple(rejections)


def environments(
    owned: Iterable[OwnedRecord],
    attachments: Iterable[Attachment],
    gpu_processes: tuple[Process, ...] | None,
    accounts: AccountFacts | None = None,
    possible_use: PossibleUse = NO_POSSIBLE_USE,
) -> tuple[tuple[Environment, ...], tuple[Rejection, ...]]:
    """Return the active environments, with the devices they hold and the processes that name them and compute.

    Args:
        owned: the active ones.
        attachments: of active ones and others.
        gpu_processes: None while they are not known.
        accounts: None while nothing is known of them.
        possible_use: what processes may do there of which it is not known in which environment they are.

    Returns:
        The environments, and their claims of names that do not hold.
    """
    attachments = tuple(attachments)
    devices = _devices_by_eid(attachments)
    pids: dict[str, list[int]] = defaultdict(list)
    for process in gpu_processes or ():
        if process.eid is not None and process.compute_uses:
            pids[process.eid].append(process.pid)
    possible = possible_use.computing_devices()
    found, rejections = [], []
    for one in owned:
        record = one.record
        username, rejection = ownership.resolve_username(one, accounts)
        if rejection:
            rejections.append(rejection)
        found.append(
            Environment(
                eid=record.eid,
                uid=one.uid,
                username=username,
                name=record.name,
                gpu_memory_bytes=record.gpu_memory_bytes,
                gpus=record.gpus,
                created=record.created,
                device_indices=tuple(sorted(devices.get(record.eid, {}))),
                pids=None if gpu_processes is None else tuple(pids.get(record.eid, ())),
                named=record.username is not None,
                attached_memory_bytes=_least_limit(devices.get(record.eid, {}), record.gpu_memory_bytes),
                possible_device_indices=possible.get(record.eid, ()),
                claimed=record.claimed,
            )
        )
    return tuple(found), tuple(rejections)


def users(environments: Iterable[Environment]) -> tuple[User, ...]:
    """Group active environments by the name of their user, ordered by name; those of nobody known have none."""
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
        uid=min((environment.uid for environment in environments if environment.uid is not None), default=None),
    )


def devices_of_invisible(genv: GenvFacts, owned: Iterable[OwnedRecord]) -> frozenset[int]:
    """Return the devices attached to environments that may be active although no process of them is to be seen."""
    active = {one.record.eid for one in owned}
    invisible = {record.eid for record in genv.environments if record.pids or record.kernel_ids} - active
    return frozenset(one.device_index for one in genv.attachments if one.eid in invisible)


def attached_devices(environments: Iterable[Environment]) -> tuple[int, ...]:
    """Return the indices of the devices that at least one of the environments holds."""
    return tuple(sorted({index for environment in environments for index in environment.device_indices}))


def _use(index: int, contexts: list[Context]) -> DeviceUse:
    """Join the contexts of one process on one device.

    Those of one type, in several MIG instances, have memory of their own. In the lists of several types the driver
    tells the same memory each time: that of the process.
    """
    if len(contexts) == 1:  # as it nearly always is
        (only,) = contexts
        computes, places = only.type == "compute", (only.mig_place,) if only.mig_place else ()
        return DeviceUse(
            *(index, only.memory_bytes, computes, only.type, only.utilization, only.works_beside, places, only.engines)
        )
    memory: dict[str, int | None] = {}
    for context in contexts:
        memory[context.type] = _add(memory.get(context.type, 0), context.memory_bytes)
    computed = memory.get("compute")
    known = [amount for amount in memory.values() if amount is not None]
    return DeviceUse(
        device_index=index,
        # The sixteen metrics say of a compute context what its own list does.
        memory_bytes=computed if "compute" in memory else max(known, default=None),
        computes="compute" in memory,
        type=next(kind for kind in CONTEXT_TYPES if kind in memory),
        utilization=_most(c.utilization for c in contexts),
        works_beside=any(c.works_beside for c in contexts),
        mig_places=tuple(dict.fromkeys(c.mig_place for c in contexts if c.mig_place is not None)),
        engines=EngineShares(
            memory=_most(c.engines.memory for c in contexts),
            encoder=_most(c.engines.encoder for c in contexts),
            decoder=_most(c.engines.decoder for c in contexts),
        ),
    )


def _most(shares: Iterable[float | None]) -> float | None:
    """Return the greatest of those that are known: of each context of a process the driver tells the same share."""
    return max((share for share in shares if share is not None), default=None)


def _add(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else left + right


def _devices_by_eid(attachments: Iterable[Attachment]) -> dict[str, dict[int, int | None]]:
    """Return the devices of each environment, with what the first of its attachments there allows."""
    devices: dict[str, dict[int, int | None]] = defaultdict(dict)
    for attachment in attachments:
        devices[attachment.eid].setdefault(attachment.device_index, attachment.gpu_memory_bytes)
    return devices


def _least_limit(attached: Mapping[int, int | None], asked: int | None) -> int | None:
    limits = (memory_limit(limit, asked) for limit in attached.values())
    return min((limit for limit in limits if limit is not None), default=None)
