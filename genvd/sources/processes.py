"""Processes of the machine: whose they are, which environment they name, and which of them live."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import NamedTuple

from genvd.model import ProcessFacts, ProcessOwner, ProcessQuestion
from genvd.sources import cgroups, owner_evidence, proc_files
from genvd.sources.boot_time import BootTime
from genvd.sources.cgroups import cgroup
from genvd.sources.owner_evidence import OwnerSearch, RootLaunchers
from genvd.sources.proc_files import START_CODE, START_OF_ENVIRONMENT, START_TIME, STAT_BYTES, stat_fields
from genvd.sources.process_environment import Claim, Records, inherited, own_claim, records_of
from genvd.sources.start_times import StartTimes, start_time
from genvd.text import decode

_MAX_ARGUMENT_BYTES = 16 * 1024
"""A kernel has its connection file among its first arguments. People can have thousands of processes with megabytes."""

_FEW = 256
"""For more pids than that, /proc is listed first: a state file can name hundreds of thousands that are not there."""

_RETRY_READINGS = 10
"""After so many readings of the source, what a process keeps closed is tried again."""

_LASTING = frozenset({"no_permission", "overwritten"})
"""Reasons for which an environment is not known that hardly ever go away."""

_HIDDEN = ProcessOwner(environment_unknown="not_visible")

_KERNEL_FILE = re.compile(rb"kernel-([^/\0\"' ]+)")
"""The rest of a name that may be a kernel's file. Each byte is looked at once: users choose the arguments."""

_MAX_KERNEL_FILES = 64
"""So many such names are looked at in the arguments of one process. A kernel has one."""

_MAX_KERNEL_BYTES = 256


class ProcessSource:
    """The processes of this machine, through /proc.

    What was read of a process, but for its name, is kept until it ends or executes another program. What could not be
    read is tried again at the next reading. Of a process that has ended and is still asked for, what was known last
    stands.
    """

    name = "processes"

    def __init__(self) -> None:
        self._read: dict[int, _Reading] = {}
        self._records: Records = {}
        self._readings = 0
        self._namespaces_read: int | None = None
        self._no_namespaces = True
        self._living: dict[int, _Living] = {}
        self._boot_time = BootTime()
        self._root_launchers = RootLaunchers()
        self._owner_search = OwnerSearch(lambda pid: own_claim(pid).eid)
        self._starts = StartTimes()

    def read(self, question: ProcessQuestion) -> ProcessFacts:
        """Answer the question; a process that is gone is simply missing in the answer.

        Raises:
            SourceError: /proc cannot be read, so nothing is known: nobody is to seem gone, or outside of any
                environment.
        """
        self._read = {pid: reading for pid, reading in self._read.items() if pid in question.gpu_pids}
        self._readings += 1
        records = records_of(question.environments)
        if records != self._records:
            self._records = records
            self._read = {pid: replace(reading, tried=-_RETRY_READINGS) for pid, reading in self._read.items()}
        owners = {pid: owner for pid in question.gpu_pids if (owner := self._owner(pid)) is not None}
        gone = self._gone(question.gpu_pids)
        hidden = question.gpu_pids - owners.keys() - gone
        uids = self._live(question.environment_pids)
        login_uids = self._root_launchers.read(pid for pid, uid in uids.items() if uid == 0)
        kernel_uids, kernel_starts = _live_kernels(question.kernel_ids)
        unconfirmed = owner_evidence.unconfirmed(question.environments, uids, login_uids, kernel_uids)
        return ProcessFacts(
            owners=owners | dict.fromkeys(hidden, _HIDDEN),
            live_pids=frozenset(uids),
            uids=uids,
            login_uids=login_uids,
            kernel_uids=kernel_uids,
            confirmed=self._owner_search.confirmed(unconfirmed),
            gone=gone,
            all_seen=not question.all_seen or self._all_seen(),
            sees_machine=proc_files.sees_machine(),
            starts=self._starts.read(self._living),
            kernel_starts=kernel_starts,
        )

    def _all_seen(self) -> bool:
        """Tell whether every process is in the pid namespace of the service, which sees those of the whole machine."""
        if self._namespaces_read is None or self._readings - self._namespaces_read >= _RETRY_READINGS:
            self._namespaces_read = self._readings
            self._no_namespaces = proc_files.in_first_pid_namespace() and not any(
                (known := proc_files.uid_and_inner_pids(pid)) and known[1] for pid in proc_files.processes()
            )
        return self._no_namespaces

    def _gone(self, pids: frozenset[int]) -> frozenset[int]:
        """Return those that have ended; none where pids of others than this service's own namespace may be among them.

        Whose environment has just been found where it was has not ended: that goes before a zombie is left.
        """
        doubtful = [pid for pid in pids if not ((reading := self._read.get(pid)) and reading.complete)]
        if not doubtful or not proc_files.in_first_pid_namespace():
            return frozenset()
        return frozenset(filter(proc_files.has_ended, doubtful))

    def _live(self, pids: frozenset[int]) -> dict[int, int]:
        """Return the real uids of those that are processes, zombies among them, by pid."""
        new = pids - self._living.keys()
        if len(new) > _FEW:
            pids -= new - proc_files.processes()
        self._living = {pid: living for pid in pids if (living := self._look(pid)) is not None}
        return {pid: living.status.uid for pid, living in self._living.items() if living.status.is_process}

    def _look(self, pid: int) -> _Living | None:
        mark, known = proc_files.mark(pid), self._living.get(pid)
        if known is not None and mark is not None and known.mark == mark:
            return known
        status = proc_files.status(pid)
        return _Living(mark, status) if status else None

    def _owner(self, pid: int) -> ProcessOwner | None:
        reading = self._read.get(pid)
        program = _program(pid, reading.program if reading else None)
        if program is None:
            return self._last_known(pid)
        if reading is None or reading.program.identity != program.identity or self._is_due(reading):
            reading = self._read_process(pid, program, reading)
            again = _program(pid)
            if again is None or again.identity != program.identity:  # it ended, and the pid may be another's by now
                return self._last_known(pid)
            self._read[pid] = reading
        if reading.program is not program:  # it may call itself anything at any time
            reading = replace(reading, program=program, owner=replace(reading.owner, command=program.command))
            self._read[pid] = reading
        return reading.owner

    def _last_known(self, pid: int) -> ProcessOwner | None:
        """Return what was known of a process that is not there any more, and mark it as not read."""
        reading = self._read.get(pid)
        if reading is None:
            return None
        if reading.complete:
            self._read[pid] = replace(reading, complete=False)
        return reading.owner

    def _is_due(self, reading: _Reading) -> bool:
        """Tell whether to read a process again of which not all is known: one that is closed stays so most times."""
        if reading.complete:
            return False
        lasting = reading.owner.environment_unknown in _LASTING
        return not lasting or self._readings - reading.tried >= _RETRY_READINGS

    def _read_process(self, pid: int, program: _Program, before: _Reading | None) -> _Reading:
        status = proc_files.status(pid)
        uid = status.uid if status else None
        own = own_claim(pid)
        claim = own if own.unknown is None or uid is None else self._found_otherwise(pid, uid, own, program, before)
        claims = claim.eid or claim.unknown
        group = cgroup(proc_files.read(pid, "cgroup", cgroups.MOST_BYTES) or b"")
        owner = ProcessOwner(
            uid=uid,
            eid=claim.eid,
            command=program.command,
            started=self._boot_time.unix_time(int(program.identity[0])),
            cgroup_kind=group.kind if group else None,
            cgroup=group.name if group else None,
            namespace_uid=proc_files.namespace_owner(pid) if claims else None,
            login_uid=proc_files.login_uid(pid) if claims else None,
            ancestors=frozenset(proc_files.ancestors(pid)) if claims else frozenset(),
            environment_unknown=claim.unknown,
        )
        return _Reading(program, owner, own.unknown is None and uid is not None, self._readings)

    def _found_otherwise(self, pid: int, uid: int, own: Claim, program: _Program, before: _Reading | None) -> Claim:
        """Return the environment of a process that does not tell itself: what it told before, else its ancestors."""
        if before and before.owner.environment_unknown is None and before.program.started == program.started:
            return Claim(before.owner.eid)
        eid = inherited(pid, uid, self._records) if own.unknown in _LASTING else None
        return own if eid is None else Claim(eid)


class _Living(NamedTuple):
    mark: tuple[int, int] | None
    status: proc_files.Status


Identity = tuple[bytes, bytes, bytes]

_identity: Callable[[list[bytes]], Identity] = itemgetter(START_TIME, START_CODE, START_OF_ENVIRONMENT)


class _Program(NamedTuple):
    identity: Identity
    """What tells the process, and the program in it, from all others that have the same pid."""
    name: bytes
    """Its short name as the stat file has it, where some kernels escape it."""
    command: str
    """The same as it is."""

    @property
    def started(self) -> bytes:
        """When the process was started, which stays when it executes another program."""
        return self.identity[0]


@dataclass(frozen=True, slots=True)
class _Reading:
    program: _Program
    owner: ProcessOwner
    complete: bool
    """Whether the process itself told all, as far as it ever will."""
    tried: int
    """At which reading of the source that was."""


def _program(pid: int, known: _Program | None = None) -> _Program | None:
    """Return what runs in a process; None if it is gone.

    The start time stays when a process executes another program, but the new program's code and environment lie
    elsewhere (address space layout randomisation). To those who may not read the environment both are zero.

    Args:
        pid: the process.
        known: what ran there before; itself if nothing has changed.
    """
    stat = proc_files.read_at_once(pid, "stat", STAT_BYTES) or b""
    fields = stat_fields(stat, START_OF_ENVIRONMENT)
    if not fields or not fields[START_TIME].isdigit():
        return None
    identity = _identity(fields)
    name = stat[stat.find(b"(") + 1 : stat.rfind(b")")]
    if known is not None and (known.identity, known.name) == (identity, name):
        return known
    command = proc_files.read_at_once(pid, "comm", STAT_BYTES) or b""
    return _Program(identity, name, decode(command.removesuffix(b"\n")))


def program_identity(pid: int) -> Identity | None:
    """Return what tells a process, and the program in it, from all others with the same pid; None if it is gone."""
    program = _program(pid)
    return program.identity if program else None


def _live_kernels(wanted: frozenset[str]) -> tuple[dict[str, frozenset[int]], dict[str, float]]:
    """Return the Jupyter kernels that run, with the real uids of all processes that have the connection file as
    argument: anybody can start one that has, and must not push out the kernel's own. And when the first of them
    started, in seconds of CLOCK_BOOTTIME."""
    found: dict[str, set[int]] = defaultdict(set)
    starts: dict[str, float] = {}
    for pid in proc_files.processes() if wanted else ():
        kernels = _kernels_of(pid) & wanted
        if kernels and (status := proc_files.status(pid)):
            start = start_time(pid)
            for kernel in kernels:
                found[kernel].add(status.uid)
                if start is not None:
                    starts[kernel] = min(start, starts.get(kernel, start))
    return {kernel: frozenset(uids) for kernel, uids in found.items()}, starts


def _kernels_of(pid: int) -> set[str]:
    arguments = proc_files.read(pid, "cmdline", _MAX_ARGUMENT_BYTES) or b""
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
