"""In which genv environment a process runs: what it says itself, or what its ancestors and genv's records say.

A process names its environment in a variable that it inherits. What /proc/PID/environ shows is the memory where the
kernel put the variables at execve(2). It can be closed to this user, overwritten by a program that gives itself a title
(setproctitle and its like), or gone because the first thread has ended. None of that means that there is no variable.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import NamedTuple

from genvd.collectors.host import procfs
from genvd.collectors.host.process_table import ProcessTable
from genvd.common.text import decode
from genvd.model.facts import EnvironmentRecord, UnknownEnvironment

ENVIRONMENT_VARIABLE = b"GENV_ENVIRONMENT_ID"

MAX_ENVIRONMENT_BYTES = 8 * 1024 * 1024
"""Linux lets arguments and environment together take at most 6 MiB (execve(2), three quarters of _STK_LIM)."""

_MANY_BYTES = 64 * 1024
"""Reading more than that takes 10 µs and more."""

_MOST_ANCESTOR_BYTES = 128 * 1024
"""That are read of the variables of one ancestor: there can be many ancestors, with megabytes each."""

_MOST_THREADS = 8
"""Threads that are asked for the environment of a process whose first one has ended; they all share it."""

Records = Mapping[tuple[int, int], str | None]
"""By pid and real uid, the environment whose record lists the process; None where several records do."""


class Claim(NamedTuple):
    """The environment that a process names."""

    eid: str | None
    unknown: UnknownEnvironment | None = None
    """Why it cannot be known; None where :attr:`eid` is what the process says, which may be nothing."""
    large: bool = False
    """Whether its variables take so much memory that they are not to be read at each tick."""


def own_claim(pid: int, most: int = MAX_ENVIRONMENT_BYTES) -> Claim:
    """Return the environment that the process itself names.

    Args:
        pid: the process.
        most: so many bytes of its variables are read at most.

    Raises:
        CollectorError: this service or the machine has run out of descriptors or memory.
    """
    block, closed = b"", False
    try:
        block = procfs.read_or_fail(pid, "environ", most)
    except OSError as error:  # without rights, also of a process whose first thread has ended
        closed = error.errno in (errno.EACCES, errno.EPERM)
    if not block:
        if _has_empty_environment(pid):
            return Claim(None)
        block = _environment_of_a_thread(pid)
        if not block:
            return Claim(None, "no_permission" if closed else "unreadable")
    value, large = environment_variable(block, ENVIRONMENT_VARIABLE), len(block) > _MANY_BYTES
    if value is not None:
        return Claim(decode(value) if value else None, None, large)
    return Claim(None, None if _is_intact(pid, block) else "overwritten", large)


def inherited(pid: int, uid: int, records: Records, table: ProcessTable) -> str | None:
    """Return the environment of the nearest process that tells, from this one up through its ancestors.

    Only processes of the same user count. A record comes before the variable: genv activates an environment in a shell
    that runs already, and what the shell was started with stays in its /proc/PID/environ.

    Args:
        pid: a process whose own claim is not known.
        uid: its real uid.
        records: what genv's records say of processes.
        table: the processes that live.
    """
    for ancestor in (pid, *table.ancestors(pid)):
        if table.uid(ancestor) != uid:
            continue
        if (ancestor, uid) in records:
            return records[ancestor, uid]
        eid = own_claim(ancestor, _MOST_ANCESTOR_BYTES).eid if ancestor != pid else None
        if eid is not None:
            return eid
    return None


def records_of(environments: Iterable[EnvironmentRecord]) -> Records:
    """Return which environment the records say a user's process is in."""
    records: dict[tuple[int, int], str | None] = {}
    for environment in environments:
        if environment.uid is None:
            continue
        for pid in environment.pids:
            place = pid, environment.uid
            records[place] = environment.eid if records.get(place, environment.eid) == environment.eid else None
    return records


def environment_variable(block: bytes, name: bytes) -> bytes | None:
    """Return the value of a variable in an environment block as /proc/PID/environ gives it; the last one counts."""
    start = (b"\0" + block).rfind(b"\0" + name + b"=")
    if start < 0:
        return None
    return block[start + len(name) + 1 :].split(b"\0", 1)[0]


def _environment_of_a_thread(pid: int) -> bytes:
    try:
        with os.scandir(f"/proc/{pid}/task") as entries:
            threads = [entry.name for entry in islice(entries, _MOST_THREADS + 1) if entry.name != str(pid)]
    except OSError as error:
        procfs.give_up_if_exhausted(error)
        return b""
    blocks = (procfs.read(pid, f"task/{thread}/environ", MAX_ENVIRONMENT_BYTES) for thread in threads)
    return next((block for block in blocks if block), b"")


def _has_empty_environment(pid: int) -> bool:
    """Return whether the process was started without any variable, which is not the same as having no memory (yet)."""
    layout = procfs.layout(pid)
    return layout is not None and layout.variables_start == layout.variables_end != 0


def _is_intact(pid: int, block: bytes) -> bool:
    """Return whether an environment block is as the kernel wrote it.

    The variables stand one behind the other, each ended by one NUL: an empty one was wiped. They follow the arguments,
    which also end in a NUL: without it, a title goes on into the variables (the kernel concludes the same, see
    get_mm_cmdline in fs/proc/base.c).
    """
    if block.startswith(b"\0") or b"\0\0" in block:
        return False
    layout = procfs.layout(pid)
    if layout is None:
        return False
    length = layout.arguments_end - layout.arguments_start
    return length <= 0 or procfs.read(pid, "cmdline", 1, length - 1) == b"\0"
