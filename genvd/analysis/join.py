"""Joins the facts of the collectors into the processes, environments and users of a Snapshot."""

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
    from genvd.analysis.memory_peaks import ProcessPeak
    from genvd.analysis.ownership import OwnedRecord
    from genvd.analysis.unknown_environments import PossibleUse
    from genvd.model.facts import AccountFacts, Attachment, Context, GenvFacts, ProcessFacts


def account_request(facts: ProcessFacts, owned: Iterable[OwnedRecord]) -> AccountRequest:
    """Return the accounts to look up: those of the owners of processes and environments."""
    owned = tuple(owned)
    return AccountRequest(
        uids=frozenset(
            uid
            for uid in (*(owner.uid for owner in facts.owners.values()), *(environment.uid for environment in owned))
            if uid is not None
        ),
        claims=frozenset(
            (environment.uid, environment.record.username)
            for environment in owned
            if environment.uid is not None and environment.record.username
        ),
    )


def _no_peak(*_: object) -> None:
    """Return no peak."""


def processes(
    contexts: Iterable[Context],
    facts: ProcessFacts,
    owned: Iterable[OwnedRecord] = (),
    accounts: AccountFacts | None = None,
    peak_of: ProcessPeak = _no_peak,
) -> tuple[tuple[Process, ...], tuple[Rejection, ...]]:
    """Return the GPU processes, ordered by pid, and their rejected claims.

    A process is included even if only its contexts are known, because it uses GPU memory too.

    Args:
        contexts: the contexts of all processes on all GPUs.
        facts: the owners of the processes, and the environments that they name.
        owned: the active environments.
        accounts: None if unknown.
        peak_of: returns the peak of the memory of each process on each GPU.
    """
    uses: dict[int, dict[int, list[Context]]] = defaultdict(lambda: defaultdict(list))
    for context in contexts:
        uses[context.pid][context.device_index].append(context)
    active = {environment.record.eid: environment for environment in owned}
    accounts = accounts or ownership.NO_ACCOUNTS
    unknown = ProcessOwner(environment_unknown="unreadable" if facts.sees_machine else "not_visible")
    joined, rejections = [], []
    for pid in sorted(uses):
        owner = facts.owners.get(pid, unknown)
        eid, rejection = ownership.resolve_environment(pid, owner, active)
        if rejection:
            rejections.append(rejection)
        joined.append(
            Process(
                pid=pid,
                uses=tuple(
                    _join_contexts(index, own, owner.started, peak_of) for index, own in sorted(uses[pid].items())
                ),
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
    return tuple(joined), tuple(rejections)


def environments(
    owned: Iterable[OwnedRecord],
    attachments: Iterable[Attachment],
    gpu_processes: tuple[Process, ...] | None,
    accounts: AccountFacts | None = None,
    possible_use: PossibleUse = NO_POSSIBLE_USE,
) -> tuple[tuple[Environment, ...], tuple[Rejection, ...]]:
    """Return the active environments with their GPUs and compute processes, and their rejected usernames.

    Args:
        owned: the active environments.
        attachments: all attachments, also those of inactive environments.
        gpu_processes: None if unknown.
        accounts: None if unknown.
        possible_use: what processes of unknown environments may do on the GPUs of each environment.
    """
    attachments = tuple(attachments)
    devices = _devices_by_eid(attachments)
    pids: dict[str, list[int]] = defaultdict(list)
    for process in gpu_processes or ():
        if process.eid is not None and process.compute_uses:
            pids[process.eid].append(process.pid)
    possible = possible_use.computing_devices()
    joined, rejections = [], []
    for environment in owned:
        record = environment.record
        username, rejection = ownership.resolve_username(environment, accounts)
        if rejection:
            rejections.append(rejection)
        joined.append(
            Environment(
                eid=record.eid,
                uid=environment.uid,
                username=username,
                name=record.name,
                gpu_memory_bytes=record.gpu_memory_bytes,
                gpus=record.gpus,
                created=record.created,
                device_indices=tuple(sorted(devices.get(record.eid, {}))),
                pids=None if gpu_processes is None else tuple(pids.get(record.eid, ())),
                named=record.username is not None,
                attached_memory_bytes=_lowest_limit(devices.get(record.eid, {}), record.gpu_memory_bytes),
                possible_device_indices=possible.get(record.eid, ()),
                claimed=record.claimed,
            )
        )
    return tuple(joined), tuple(rejections)


def users(environments: Iterable[Environment]) -> tuple[User, ...]:
    """Return the users of active environments, ordered by name. Environments without a known user are left out."""
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
        device_indices=tuple(sorted({index for environment in environments for index in environment.device_indices})),
        pids=tuple(sorted({pid for pids in known for pid in pids})) if len(known) == len(environments) else None,
        uid=min((environment.uid for environment in environments if environment.uid is not None), default=None),
    )


def devices_of_unseen_environments(genv: GenvFacts, owned: Iterable[OwnedRecord]) -> frozenset[int]:
    """Return the devices of environments that may be active although the monitor sees none of their processes."""
    active = {environment.record.eid for environment in owned}
    unseen = {record.eid for record in genv.environments if record.pids or record.kernel_ids} - active
    return frozenset(attachment.device_index for attachment in genv.attachments if attachment.eid in unseen)


def leave_out_unasked(genv: GenvFacts, facts: ProcessFacts) -> tuple[GenvFacts, ProcessFacts, frozenset[int]]:
    """Leave out environments that are newer than the facts of processes, as these do not say whether they are active.

    Returns:
        the other environments, the facts, in which the environment of a process that names one of these is unknown, and
        the devices that these have attached.
    """
    if facts.environments is None or facts.environments == genv.environments:
        return genv, facts, frozenset()
    asked = set(facts.environments)
    unasked = frozenset(record.eid for record in genv.environments if record not in asked)
    kept = tuple(record for record in genv.environments if record.eid not in unasked)
    return genv._replace(environments=kept), _doubt(facts, unasked), _attached_to(genv, unasked)


def doubt_invalid_records(
    genv: GenvFacts, facts: ProcessFacts, owned: Iterable[OwnedRecord]
) -> tuple[ProcessFacts, frozenset[int]]:
    """Doubt what depends on invalid entries of genv's files.

    An environment whose processes or kernels could not all be read may be active although none of the others lives.

    Returns:
        the facts, in which the environment of a process that names such an environment is unknown, and the devices
        whose holders are unknown.
    """
    doubtful = genv.unknown_members - {environment.record.eid for environment in owned}
    devices = genv.unknown_holders | _attached_to(genv, doubtful)
    return _doubt(facts, doubtful) if doubtful else facts, devices


def _doubt(facts: ProcessFacts, eids: frozenset[str]) -> ProcessFacts:
    """Return the facts, in which the environment of each process that names one of these is unknown."""
    owners = {
        pid: owner._replace(eid=None, environment_unknown="unreadable") if owner.eid in eids else owner
        for pid, owner in facts.owners.items()
    }
    return facts._replace(owners=owners)


def _attached_to(genv: GenvFacts, eids: frozenset[str]) -> frozenset[int]:
    return frozenset(attachment.device_index for attachment in genv.attachments if attachment.eid in eids)


def attached_devices(environments: Iterable[Environment]) -> tuple[int, ...]:
    """Return the indices of all devices that are attached to one of the environments."""
    return tuple(sorted({index for environment in environments for index in environment.device_indices}))


def _join_contexts(index: int, contexts: list[Context], started: float | None, peak_of: ProcessPeak) -> DeviceUse:
    """Join the contexts of one process on one device.

    Contexts of the same type are in different MIG instances and each have their own memory. For contexts of different
    types the driver reports the same memory each time: that of the process.
    """
    if len(contexts) == 1:  # the usual case
        (only,) = contexts
        return DeviceUse(
            device_index=index,
            memory_bytes=only.memory_bytes,
            computes=only.type == "compute",
            type=only.type,
            utilization=only.utilization,
            works_beside=only.works_beside,
            mig_places=(only.mig_place,) if only.mig_place else (),
            engines=only.engines,
            peak_memory_bytes=peak_of(only.pid, started, index, only.memory_bytes),
        )
    memory: dict[str, int | None] = {}
    for context in contexts:
        memory[context.type] = _add(memory.get(context.type, 0), context.memory_bytes)
    computed = memory.get("compute")
    known = [amount for amount in memory.values() if amount is not None]
    # genv_process_used_gpu_memory_bytes has to show what the driver lists for compute processes.
    used = computed if "compute" in memory else max(known, default=None)
    return DeviceUse(
        device_index=index,
        memory_bytes=used,
        computes="compute" in memory,
        type=next(kind for kind in CONTEXT_TYPES if kind in memory),
        utilization=_max_known(context.utilization for context in contexts),
        works_beside=any(context.works_beside for context in contexts),
        mig_places=tuple(dict.fromkeys(context.mig_place for context in contexts if context.mig_place is not None)),
        engines=EngineShares(
            memory=_max_known(context.engines.memory for context in contexts),
            encoder=_max_known(context.engines.encoder for context in contexts),
            decoder=_max_known(context.engines.decoder for context in contexts),
        ),
        peak_memory_bytes=peak_of(contexts[0].pid, started, index, used),
    )


def _max_known(shares: Iterable[float | None]) -> float | None:
    """Return the largest known share. The driver reports the same share for each context of a process."""
    return max((share for share in shares if share is not None), default=None)


def _add(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else left + right


def _devices_by_eid(attachments: Iterable[Attachment]) -> dict[str, dict[int, int | None]]:
    """Return, for each eid, the device indices with the memory limit in bytes of the first attachment to each."""
    devices: dict[str, dict[int, int | None]] = defaultdict(dict)
    for attachment in attachments:
        devices[attachment.eid].setdefault(attachment.device_index, attachment.gpu_memory_bytes)
    return devices


def _lowest_limit(attached: Mapping[int, int | None], requested: int | None) -> int | None:
    """Return the lowest memory limit in bytes of the attached GPUs; None if none of them has a limit."""
    limits = (memory_limit(limit, requested) for limit in attached.values())
    return min((limit for limit in limits if limit is not None), default=None)
