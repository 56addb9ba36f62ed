"""Collects processes: the owner and environment of each GPU process, and which processes of genv's records live."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from typing import NamedTuple

from genvd.collectors.host import cgroups, owner_evidence, process_table, procfs
from genvd.collectors.host.cgroups import parse_cgroup
from genvd.collectors.host.owner_evidence import OwnerSearch, RootLaunchers
from genvd.collectors.host.process_environment import (
    EidClaim,
    EidsByProcess,
    eids_by_process,
    inherited_eid,
    read_claim,
)
from genvd.collectors.host.process_table import LiveProcess, ProcessTable
from genvd.common.text import decode
from genvd.model.facts import ProcessFacts, ProcessOwner, ProcessRequest

_MAX_ARGUMENT_BYTES = 16 * 1024
"""A Jupyter kernel has its connection file in its first arguments. Users can have thousands of processes with MBs."""

_RETRY_COLLECTIONS = 10
"""Collections after which unreadable or very large variables of a process are read again."""

_LASTING = frozenset({"no_permission", "overwritten"})
"""Reasons for an unknown environment that rarely go away."""

_HIDDEN = ProcessOwner(environment_unknown="not_visible")

_KERNEL_FILE = re.compile(rb"kernel-([^/\0\"' ]+)")
"""A possible name of a connection file. The pattern never backtracks, because users choose the arguments."""

_MAX_KERNEL_FILES = 64
"""Maximum names to examine in the arguments of one process. A kernel has one."""

_MAX_KERNEL_BYTES = 256


class ProcessCollector:
    """Collects the processes of this machine.

    The name, the user and the variables of a GPU process are read in each collection, because a process can execute
    another program or change its user. Very large variables are read only now and then. Everything else is read again
    when one of these has changed. The last known values are kept if the variables become unreadable, and if the process
    has ended but is still requested.
    """

    name = "processes"

    def __init__(self) -> None:
        self._cache: dict[int, _CachedOwner] = {}
        self._recorded: EidsByProcess = {}
        self._collections = 0
        self._kernels: dict[int, tuple[float, frozenset[str]]] = {}
        self._namespaces_read_at: int | None = None
        self._single_namespace = True
        self._table = ProcessTable()
        self._root_launchers = RootLaunchers(self._table)
        self._owner_search = OwnerSearch(self._table, lambda pid: read_claim(pid).eid)

    def collect(self, request: ProcessRequest) -> ProcessFacts:
        """Return the facts of the requested processes. Processes that do not exist are missing.

        Raises:
            CollectorError: /proc cannot be read. Without this error, processes would seem gone or outside genv.
        """
        self._table.refresh()
        self._cache = {pid: known for pid, known in self._cache.items() if pid in request.gpu_pids}
        self._collections += 1
        recorded = eids_by_process(request.environments)
        if recorded != self._recorded:
            self._recorded = recorded
            unsure = {pid: known for pid, known in self._cache.items() if known.own.unknown}
            self._cache |= {pid: known._replace(retry_at=0) for pid, known in unsure.items()}
        owners = {pid: owner for pid in request.gpu_pids if (owner := self._owner(pid)) is not None}
        ended = self._ended(request.gpu_pids)
        hidden = request.gpu_pids - owners.keys() - ended
        uids = self._live_uids(request.environment_pids)
        login_uids = self._root_launchers.find(pid for pid, uid in uids.items() if uid == 0)
        kernel_uids, kernel_starts = self._live_kernels(request.kernel_ids)
        unconfirmed = owner_evidence.unconfirmed_claims(request.environments, uids, login_uids, kernel_uids)
        return ProcessFacts(
            owners=owners | dict.fromkeys(hidden, _HIDDEN),
            live_pids=frozenset(uids),
            uids=uids,
            login_uids=login_uids,
            kernel_uids=kernel_uids,
            confirmed=self._owner_search.confirm(unconfirmed),
            gone=ended,
            all_seen=not request.all_seen or self._all_seen(),
            sees_machine=procfs.sees_machine(),
            starts={pid: process.since_boot for pid in uids if (process := self._table.get(pid))},
            kernel_starts=kernel_starts,
            environments=request.environments,
        )

    def _all_seen(self) -> bool:
        """Return whether this service runs in the initial pid namespace and every process is in the same namespace."""
        if self._namespaces_read_at is None or self._collections - self._namespaces_read_at >= _RETRY_COLLECTIONS:
            self._namespaces_read_at = self._collections
            initial = procfs.in_initial_pid_namespace()
            self._single_namespace = initial and not any(map(procfs.inner_pids, process_table.pids()))
        return self._single_namespace

    def _ended(self, pids: frozenset[int]) -> frozenset[int]:
        """Return the pids that have ended; none if the pids may be of another namespace than this service's own.

        A process whose variables have just been read has not ended: a zombie has none.
        """
        doubtful = [pid for pid in pids if not ((known := self._cache.get(pid)) and known.complete)]
        if not doubtful or not procfs.in_initial_pid_namespace():
            return frozenset()
        return frozenset(filter(process_table.has_ended, doubtful))

    def _live_uids(self, pids: frozenset[int]) -> dict[int, int]:
        """Return the real uids of the pids that are live processes, including zombies.

        A state file can name hundreds of thousands of pids that do not exist, and threads, which are not processes.
        """
        live = pids & process_table.pids() if pids else pids
        return {pid: uid for pid in live if (uid := self._table.uid(pid)) is not None}

    def _live_kernels(self, wanted: frozenset[str]) -> tuple[dict[str, frozenset[int]], dict[str, float]]:
        """Return the real uids of each live Jupyter kernel, and its start time in seconds of CLOCK_BOOTTIME.

        Every process with the connection file in its arguments counts, because any user can start such a process and
        must not displace the real kernel. The start time is that of the oldest one.
        """
        uids: dict[str, set[int]] = defaultdict(set)
        starts: dict[str, float] = {}
        found: dict[int, tuple[float, frozenset[str]]] = {}
        for pid in process_table.pids() if wanted else ():
            kernels = self._kernel_ids(pid) & wanted
            process, uid = (self._table.get(pid), self._table.uid(pid)) if kernels else (None, None)
            if process is not None and uid is not None:
                found[pid] = process.since_boot, kernels
                for kernel in kernels:
                    uids[kernel].add(uid)
                    starts[kernel] = min(process.since_boot, starts.get(kernel, process.since_boot))
        self._kernels = found
        return {kernel: frozenset(found) for kernel, found in uids.items()}, starts

    def _kernel_ids(self, pid: int) -> frozenset[str]:
        """Return the kernel IDs in the arguments of a process; the last ones if it lives and they are unreadable."""
        arguments = procfs.read(pid, "cmdline", _MAX_ARGUMENT_BYTES)
        if arguments is not None:
            return _kernel_ids(arguments)
        since_boot, kernels = self._kernels.get(pid, (None, frozenset()))
        process = self._table.get(pid) if kernels else None
        return kernels if process is not None and process.since_boot == since_boot else frozenset()

    def _owner(self, pid: int) -> ProcessOwner | None:
        """Return the owner of a GPU process, cached if possible; None if it does not exist and never did."""
        process, known = self._table.get(pid), self._cache.get(pid)
        if process is None:
            return self._last_known(pid) or self._unreadable(pid)
        if known is not None and known.since_boot != process.since_boot:
            known = None  # the pid was reused
        if procfs.is_left_out(pid):
            return known.owner if known else self._unreadable(pid)
        reuse = known is not None and known.own.large and self._collections < known.retry_at
        # The claim is read each time, because only new variables show reliably that the process called execve(2).
        own = known.own if known is not None and reuse else read_claim(pid)
        command, uid = procfs.command_and_uid(pid)
        if known is not None and known.is_current(own, command, uid, self._collections):
            return known.owner
        fresh = self._read_process(pid, process, own, command, known)
        if not self._table.is_same(pid, process):  # it has ended, and the pid may have been reused
            return self._last_known(pid)
        self._cache[pid] = fresh
        return fresh.owner

    def _last_known(self, pid: int) -> ProcessOwner | None:
        """Return the last known owner of a process that no longer exists, and mark the entry as incomplete."""
        known = self._cache.get(pid)
        if known is None:
            return None
        if known.complete:
            self._cache[pid] = known._replace(own=EidClaim(None, "unreadable"))
        return known.owner

    def _unreadable(self, pid: int) -> ProcessOwner | None:
        """Return what can be read of a process whose other files block; None if it does not block."""
        command, uid = procfs.command_and_uid(pid) if procfs.is_left_out(pid) else ("", None)
        if uid is None:
            return None
        return ProcessOwner(uid=uid, command=command, environment_unknown="unreadable")

    def _read_process(
        self, pid: int, process: LiveProcess, own: EidClaim, command: str, last: _CachedOwner | None
    ) -> _CachedOwner:
        uid = self._table.uid(pid)
        claim = own if own.unknown is None or uid is None else self._infer_claim(pid, uid, own, last)
        in_environment = claim.eid or claim.unknown
        cgroup = parse_cgroup(procfs.read(pid, "cgroup", cgroups.MAX_BYTES) or b"")
        owner = ProcessOwner(
            uid=uid,
            eid=claim.eid,
            command=command,
            started=process.started,
            cgroup_kind=cgroup.kind if cgroup else None,
            cgroup=cgroup.name if cgroup else None,
            namespace_uid=procfs.user_namespace_owner(pid) if in_environment else None,
            login_uid=procfs.login_uid(pid) if in_environment else None,
            ancestors=frozenset(self._table.ancestors(pid)) if in_environment else frozenset(),
            environment_unknown=claim.unknown,
        )
        return _CachedOwner(process.since_boot, own, owner, self._collections + _RETRY_COLLECTIONS)

    def _infer_claim(self, pid: int, uid: int, own: EidClaim, last: _CachedOwner | None) -> EidClaim:
        """Return the claim of a process with unreadable variables: its last one, else that of an ancestor."""
        if last is not None and last.owner.environment_unknown is None:
            return EidClaim(last.owner.eid)
        eid = inherited_eid(pid, uid, self._recorded, self._table) if own.unknown in _LASTING else None
        return own if eid is None else EidClaim(eid)


class _CachedOwner(NamedTuple):
    """The cached owner of a GPU process."""

    since_boot: float
    own: EidClaim
    """The claim that was last read from the process itself."""
    owner: ProcessOwner
    retry_at: int
    """Number of the collection in which to read again what is not read in each one."""

    @property
    def complete(self) -> bool:
        """Whether every value is known."""
        return self.own.unknown is None and self.owner.uid is not None

    def is_current(self, own: EidClaim, command: str, uid: int | None, collection: int) -> bool:
        """Return whether nothing has to be read again.

        Args:
            own: the current claim of the process.
            command: its current name.
            uid: its current real uid; None if it is gone.
            collection: the number of this collection.
        """
        if (
            (own, command) != (self.own, self.owner.command)
            or self.owner.uid is None
            or uid not in (None, self.owner.uid)
        ):
            return False
        return collection < self.retry_at or not (own.large or own.unknown in _LASTING)


def _kernel_ids(arguments: bytes) -> frozenset[str]:
    """Return the IDs of the connection files in the arguments of a process."""
    names = itertools.islice(_KERNEL_FILE.finditer(arguments), _MAX_KERNEL_FILES) if b".json" in arguments else ()
    kernels = (_kernel_id(match[1], arguments[match.end() : match.end() + 1]) for match in names)
    return frozenset(decode(kernel) for kernel in kernels if kernel and len(kernel) <= _MAX_KERNEL_BYTES)


def _kernel_id(name: bytes, following: bytes) -> bytes:
    """Return the kernel ID: the name up to a final ``.json``, else up to the last ``.json)``, else an empty value.

    Args:
        name: what follows ``kernel-``, up to a byte that ends a file name.
        following: the byte after the name, which is a slash if the name is that of a directory.
    """
    if name.endswith(b".json") and following != b"/":
        return name.removesuffix(b".json")
    return name[: max(0, name.rfind(b".json)"))]
