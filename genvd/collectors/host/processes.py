"""Processes of the machine: whose they are, which environment they name, and which of them live."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from dataclasses import dataclass, replace

from genvd.collectors.host import cgroups, owner_evidence, process_table, procfs
from genvd.collectors.host.cgroups import cgroup
from genvd.collectors.host.owner_evidence import OwnerSearch, RootLaunchers
from genvd.collectors.host.process_environment import Claim, Records, inherited, own_claim, records_of
from genvd.collectors.host.process_table import LiveProcess, ProcessTable
from genvd.common.text import decode
from genvd.model.facts import ProcessFacts, ProcessOwner, ProcessRequest

_MAX_ARGUMENT_BYTES = 16 * 1024
"""A kernel has its connection file among its first arguments. People can have thousands of processes with megabytes."""

_RETRY_READINGS = 10
"""After so many readings of the collector, what a process keeps closed, or what is very large, is read again."""

_LASTING = frozenset({"no_permission", "overwritten"})
"""Reasons for which an environment is not known that hardly ever go away."""

_HIDDEN = ProcessOwner(environment_unknown="not_visible")

_KERNEL_FILE = re.compile(rb"kernel-([^/\0\"' ]+)")
"""The rest of a name that may be a kernel's file. Each byte is looked at once: users choose the arguments."""

_MAX_KERNEL_FILES = 64
"""So many such names are looked at in the arguments of one process. A kernel has one."""

_MAX_KERNEL_BYTES = 256


class ProcessCollector:
    """The processes of this machine.

    The name and the environment variables of a GPU process are read at each reading, as a process can execute another
    program; very large variables only at some readings. The rest is read again when one of these has changed. What was
    known of a process stands when its variables can no longer be read, and when it has ended and is still asked for.
    """

    name = "processes"

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}
        self._records: Records = {}
        self._readings = 0
        self._namespaces_read: int | None = None
        self._no_namespaces = True
        self._table = ProcessTable()
        self._root_launchers = RootLaunchers(self._table)
        self._owner_search = OwnerSearch(self._table, lambda pid: own_claim(pid).eid)

    def collect(self, request: ProcessRequest) -> ProcessFacts:
        """Answer the request; a process that is gone is simply missing in the answer.

        Raises:
            CollectorError: /proc cannot be read, so nothing is known: nobody is to seem gone, or outside of any
                environment.
        """
        self._table.begin()
        self._known = {pid: known for pid, known in self._known.items() if pid in request.gpu_pids}
        self._readings += 1
        records = records_of(request.environments)
        if records != self._records:
            self._records = records
            unsure = {pid: known for pid, known in self._known.items() if known.own.unknown}
            self._known |= {pid: replace(known, retry_at=0) for pid, known in unsure.items()}
        owners = {pid: owner for pid in request.gpu_pids if (owner := self._owner(pid)) is not None}
        gone = self._gone(request.gpu_pids)
        hidden = request.gpu_pids - owners.keys() - gone
        uids = self._live_uids(request.environment_pids)
        login_uids = self._root_launchers.read(pid for pid, uid in uids.items() if uid == 0)
        kernel_uids, kernel_starts = self._live_kernels(request.kernel_ids)
        unconfirmed = owner_evidence.unconfirmed(request.environments, uids, login_uids, kernel_uids)
        return ProcessFacts(
            owners=owners | dict.fromkeys(hidden, _HIDDEN),
            live_pids=frozenset(uids),
            uids=uids,
            login_uids=login_uids,
            kernel_uids=kernel_uids,
            confirmed=self._owner_search.confirmed(unconfirmed),
            gone=gone,
            all_seen=not request.all_seen or self._all_seen(),
            sees_machine=procfs.sees_machine(),
            starts={pid: process.since_boot for pid in uids if (process := self._table.get(pid))},
            kernel_starts=kernel_starts,
        )

    def _all_seen(self) -> bool:
        """Return whether every process is in the pid namespace of the service, which sees the whole machine."""
        if self._namespaces_read is None or self._readings - self._namespaces_read >= _RETRY_READINGS:
            self._namespaces_read = self._readings
            first = procfs.in_first_pid_namespace()
            self._no_namespaces = first and not any(map(procfs.inner_pids, process_table.pids()))
        return self._no_namespaces

    def _gone(self, pids: frozenset[int]) -> frozenset[int]:
        """Return those that have ended; none where pids of others than this service's own namespace may be among them.

        A process whose environment has just been read has not ended: that goes before a zombie is left.
        """
        doubtful = [pid for pid in pids if not ((known := self._known.get(pid)) and known.complete)]
        if not doubtful or not procfs.in_first_pid_namespace():
            return frozenset()
        return frozenset(filter(process_table.has_ended, doubtful))

    def _live_uids(self, pids: frozenset[int]) -> dict[int, int]:
        """Return the real uids of those that are processes, zombies among them, by pid.

        A state file can name hundreds of thousands that are not there, and threads, which are no processes.
        """
        live = pids & process_table.pids() if pids else pids
        return {pid: uid for pid in live if (uid := self._table.uid(pid)) is not None}

    def _live_kernels(self, wanted: frozenset[str]) -> tuple[dict[str, frozenset[int]], dict[str, float]]:
        """Return the real uids behind each live Jupyter kernel, and when it started, in seconds of CLOCK_BOOTTIME.

        All processes that have its connection file among their arguments count: anybody can start one that has, and
        must not push out the kernel's own. The first of them tells when it started.
        """
        uids: dict[str, set[int]] = defaultdict(set)
        starts: dict[str, float] = {}
        for pid in process_table.pids() if wanted else ():
            kernels = _kernels_of(pid) & wanted
            process, uid = (self._table.get(pid), self._table.uid(pid)) if kernels else (None, None)
            if process is not None and uid is not None:
                for kernel in kernels:
                    uids[kernel].add(uid)
                    starts[kernel] = min(process.since_boot, starts.get(kernel, process.since_boot))
        return {kernel: frozenset(found) for kernel, found in uids.items()}, starts

    def _owner(self, pid: int) -> ProcessOwner | None:
        process, known = self._table.get(pid), self._known.get(pid)
        if process is None:
            return self._last_known(pid)
        if known is not None and known.since_boot != process.since_boot:
            known = None  # the pid is another's now
        rests = known is not None and known.own.large and self._readings < known.retry_at
        own = known.own if known is not None and rests else own_claim(pid)  # exec leaves no other certain trace
        command = procfs.command(pid)
        if known is not None and known.is_current(own, command, self._readings):
            return known.owner
        read = self._read_process(pid, process, own, command, known)
        if not self._table.is_same(pid, process):  # it ended meanwhile, and the pid may be another's by now
            return self._last_known(pid)
        self._known[pid] = read
        return read.owner

    def _last_known(self, pid: int) -> ProcessOwner | None:
        """Return what was known of a process that is not there any more, and mark it as not read."""
        known = self._known.get(pid)
        if known is None:
            return None
        if known.complete:
            self._known[pid] = replace(known, own=Claim(None, "unreadable"))
        return known.owner

    def _read_process(self, pid: int, process: LiveProcess, own: Claim, command: str, before: _Known | None) -> _Known:
        uid = self._table.uid(pid)
        claim = own if own.unknown is None or uid is None else self._found_otherwise(pid, uid, own, before)
        claims = claim.eid or claim.unknown
        group = cgroup(procfs.read(pid, "cgroup", cgroups.MOST_BYTES) or b"")
        owner = ProcessOwner(
            uid=uid,
            eid=claim.eid,
            command=command,
            started=process.started,
            cgroup_kind=group.kind if group else None,
            cgroup=group.name if group else None,
            namespace_uid=procfs.namespace_owner(pid) if claims else None,
            login_uid=procfs.login_uid(pid) if claims else None,
            ancestors=frozenset(self._table.ancestors(pid)) if claims else frozenset(),
            environment_unknown=claim.unknown,
        )
        return _Known(process.since_boot, own, owner, self._readings + _RETRY_READINGS)

    def _found_otherwise(self, pid: int, uid: int, own: Claim, before: _Known | None) -> Claim:
        """Return the environment of a process that does not name it: what it named before, else its ancestors'."""
        if before is not None and before.owner.environment_unknown is None:
            return Claim(before.owner.eid)
        eid = inherited(pid, uid, self._records, self._table) if own.unknown in _LASTING else None
        return own if eid is None else Claim(eid)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a GPU process."""

    since_boot: float
    own: Claim
    """What the process itself said last."""
    owner: ProcessOwner
    retry_at: int
    """The number of the reading at which to try again what is not read each time."""

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return self.own.unknown is None and self.owner.uid is not None

    def is_current(self, own: Claim, command: str, reading: int) -> bool:
        """Return whether nothing has to be read again.

        Args:
            own: what the process says now.
            command: its name now.
            reading: the number of this reading.
        """
        if (own, command) != (self.own, self.owner.command) or self.owner.uid is None:
            return False
        return reading < self.retry_at or not (own.large or own.unknown in _LASTING)


def _kernels_of(pid: int) -> set[str]:
    arguments = procfs.read(pid, "cmdline", _MAX_ARGUMENT_BYTES) or b""
    names = itertools.islice(_KERNEL_FILE.finditer(arguments), _MAX_KERNEL_FILES) if b".json" in arguments else ()
    kernels = (_kernel_in(match[1], arguments[match.end() : match.end() + 1]) for match in names)
    return {decode(kernel) for kernel in kernels if kernel and len(kernel) <= _MAX_KERNEL_BYTES}


def _kernel_in(name: bytes, following: bytes) -> bytes:
    """Return what stands before ``.json``, which ends the name or is followed by ``)``; empty if there is no such.

    Args:
        name: what follows ``kernel-``, up to what cannot be in a file's name.
        following: the byte that follows the name; after a directory's name it is a slash.
    """
    if name.endswith(b".json") and following != b"/":
        return name.removesuffix(b".json")
    return name[: max(0, name.rfind(b".json)"))]
