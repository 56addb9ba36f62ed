"""Processes of the machine: whose they are, which environment they name, and which of them live."""

from __future__ import annotations

import re
from dataclasses import dataclass

import psutil

from genvd.model import ProcessFacts, ProcessOwner, ProcessQuestion
from genvd.text import clean, decode

ENVIRONMENT_VARIABLE = b"GENV_ENVIRONMENT_ID"

MAX_ENVIRONMENT_BYTES = 8 * 1024 * 1024
"""Linux lets arguments and environment together take at most 6 MiB (execve(2), three quarters of _STK_LIM)."""

_MAX_ARGUMENT_BYTES = 1024 * 1024
_KERNEL_FILE = re.compile(rb"kernel-([^/\0\"' ]{1,256})\.json(?=[\0\"' )]|\Z)")

_THIRD_FIELD = 3
_START_TIME_FIELD, _CODE_FIELD, _ENVIRONMENT_FIELD = 22, 26, 50
"""starttime, startcode and env_start of proc_pid_stat(5)."""


class ProcessSource:
    """The processes of this machine, through /proc.

    What was read of a process is kept until it ends or executes another program. What could not be read is tried again
    at the next reading.
    """

    name = "processes"

    def __init__(self) -> None:
        self._read: dict[int, _Reading] = {}
        self._kernel_pids: dict[str, int] = {}

    def read(self, question: ProcessQuestion) -> ProcessFacts:
        """Answer the question; a process that is gone is simply missing in the answer."""
        self._read = {pid: reading for pid, reading in self._read.items() if pid in question.gpu_pids}
        owners = {pid: owner for pid in question.gpu_pids if (owner := self._owner(pid)) is not None}
        return ProcessFacts(
            owners=owners,
            live_pids=frozenset(pid for pid in question.environment_pids if psutil.pid_exists(pid)),
            live_kernel_ids=self._live_kernels(question.kernel_ids),
        )

    def _owner(self, pid: int) -> ProcessOwner | None:
        identity = program_identity(pid)
        if identity is None:
            self._read.pop(pid, None)
            return None
        reading = self._read.get(pid)
        if reading is None or reading.identity != identity or not reading.complete:
            reading = _read_process(pid, identity)
            if program_identity(pid) != identity:  # it ended meanwhile, and the pid may be another's by now
                return None
            self._read[pid] = reading
        return reading.owner

    def _live_kernels(self, wanted: frozenset[str]) -> frozenset[str]:
        """Return the Jupyter kernels that run: those with a process that has the connection file as argument."""
        known = {kernel: pid for kernel, pid in self._kernel_pids.items() if kernel in wanted}
        running = {kernel: pid for kernel, pid in known.items() if kernel in _kernels_of(pid)}
        if running.keys() != wanted:
            for pid in psutil.pids():
                running.update((kernel, pid) for kernel in _kernels_of(pid) & wanted)
        self._kernel_pids = running
        return frozenset(running)


Identity = tuple[bytes, bytes, bytes]


@dataclass(frozen=True, slots=True)
class _Reading:
    identity: Identity
    owner: ProcessOwner
    complete: bool


def program_identity(pid: int) -> Identity | None:
    """Return what tells a process, and the program in it, from all others that have the same pid; None if it is gone.

    The start time stays when a process executes another program, but the new program's code and environment lie
    elsewhere (address space layout randomisation). To those who may not read the environment both are zero.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
        fields = stat[stat.rindex(b")") + 2 :].split(None, _ENVIRONMENT_FIELD - 1)
        return (
            fields[_START_TIME_FIELD - _THIRD_FIELD],
            fields[_CODE_FIELD - _THIRD_FIELD],
            fields[_ENVIRONMENT_FIELD - _THIRD_FIELD],
        )
    except (OSError, ValueError, IndexError):
        return None


def environment_variable(block: bytes, name: bytes) -> bytes | None:
    """Return the value of a variable in an environment block as /proc/PID/environ gives it; the last one counts."""
    start = (b"\0" + block).rfind(b"\0" + name + b"=")
    if start < 0:
        return None
    return block[start + len(name) + 1 :].split(b"\0", 1)[0]


def _read_process(pid: int, identity: Identity) -> _Reading:
    uid, username = _user(pid)
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            block = file.read(MAX_ENVIRONMENT_BYTES)
    except OSError:
        block = b""
    value = environment_variable(block, ENVIRONMENT_VARIABLE)
    eid = decode(value) if value else None
    return _Reading(identity, ProcessOwner(uid, username, eid), complete=bool(block) and uid is not None)


def _user(pid: int) -> tuple[int | None, str | None]:
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            return process.uids().real, clean(process.username())
    except (psutil.Error, OSError):
        return None, None


def _kernels_of(pid: int) -> set[str]:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            arguments = file.read(_MAX_ARGUMENT_BYTES)
    except OSError:
        return set()
    return {decode(name) for name in _KERNEL_FILE.findall(arguments)}
