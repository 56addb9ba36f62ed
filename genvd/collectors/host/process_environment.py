"""Finds out in which genv environment a process runs: from its variables, its ancestors and genv's records.

A process names its environment in a variable that it inherits. /proc/PID/environ shows the memory where the kernel put
the variables at execve(2). This memory can be unreadable for this user, overwritten by a program that sets its own
title (such as setproctitle), or gone because the first thread has ended. The variable may be set nevertheless.
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
"""More than the kernel allows: 6 MiB for arguments and environment together (execve(2), 3/4 of _STK_LIM)."""

_LARGE_BYTES = 64 * 1024
"""Variables above this size are not read in each collection: reading them takes at least 10 µs."""

_MAX_ANCESTOR_BYTES = 128 * 1024
"""Limit for one ancestor: there can be many ancestors, with megabytes each."""

_MAX_THREADS = 8
"""Threads to try if the first thread of a process has ended. They all share one environment."""

EidsByProcess = Mapping[tuple[int, int], str | None]
"""The environment whose record lists a process, by pid and real uid; None if several records do."""


class EidClaim(NamedTuple):
    """The environment ID that a process names."""

    eid: str | None
    unknown: UnknownEnvironment | None = None
    """Why the ID is unknown; None if :attr:`eid` is what the process names, which may be nothing."""
    large: bool = False
    """Whether the variables are too large to be read in each collection."""


def read_claim(pid: int, max_bytes: int = MAX_ENVIRONMENT_BYTES) -> EidClaim:
    """Return the environment ID that the process itself names.

    Args:
        pid: the process.
        max_bytes: the maximum to read of its variables.

    Raises:
        CollectorError: this service or the machine has run out of descriptors or memory.
    """
    block, denied = b"", False
    try:
        block = procfs.read_or_raise(pid, "environ", max_bytes)
    except OSError as error:  # EACCES does not always mean no permission: the first thread may have ended
        denied = error.errno in (errno.EACCES, errno.EPERM)
    if not block:
        if _has_empty_environment(pid):
            return EidClaim(None)
        block = _read_from_other_threads(pid)
        if not block:
            return EidClaim(None, "no_permission" if denied else "unreadable")
    value, large = environment_variable(block, ENVIRONMENT_VARIABLE), len(block) > _LARGE_BYTES
    if value is not None:
        return EidClaim(decode(value) if value else None, None, large)
    return EidClaim(None, None if _is_intact(pid, block) else "overwritten", large)


def inherited_eid(pid: int, uid: int, recorded: EidsByProcess, table: ProcessTable) -> str | None:
    """Return the environment ID of the nearest process that names one: this process, or an ancestor of the same user.

    A record takes precedence over the variable: genv activates an environment in a shell that runs already, and
    /proc/PID/environ keeps the variables with which the shell was started.

    Args:
        pid: a process whose own claim is unknown.
        uid: its real uid.
        recorded: the environment IDs from genv's records.
        table: the live processes.
    """
    for ancestor in (pid, *table.ancestors(pid)):
        if table.uid(ancestor) != uid:
            continue
        if (ancestor, uid) in recorded:
            return recorded[ancestor, uid]
        eid = read_claim(ancestor, _MAX_ANCESTOR_BYTES).eid if ancestor != pid else None
        if eid is not None:
            return eid
    return None


def eids_by_process(environments: Iterable[EnvironmentRecord]) -> EidsByProcess:
    """Return which environment each process belongs to according to genv's records."""
    eids: dict[tuple[int, int], str | None] = {}
    for environment in environments:
        if environment.uid is None:
            continue
        for pid in environment.pids:
            key = pid, environment.uid
            eids[key] = environment.eid if eids.get(key, environment.eid) == environment.eid else None
    return eids


def environment_variable(block: bytes, name: bytes) -> bytes | None:
    """Return the value of a variable in the content of /proc/PID/environ, or None. The last one counts."""
    start = (b"\0" + block).rfind(b"\0" + name + b"=")
    if start < 0:
        return None
    return block[start + len(name) + 1 :].split(b"\0", 1)[0]


def _read_from_other_threads(pid: int) -> bytes:
    try:
        with os.scandir(f"/proc/{pid}/task") as entries:
            threads = [entry.name for entry in islice(entries, _MAX_THREADS + 1) if entry.name != str(pid)]
    except OSError as error:
        procfs.raise_if_exhausted(error)
        return b""
    blocks = (procfs.read(pid, f"task/{thread}/environ", MAX_ENVIRONMENT_BYTES) for thread in threads)
    return next((block for block in blocks if block), b"")


def _has_empty_environment(pid: int) -> bool:
    """Return whether the process was started without any variable; False if its memory is not readable or not ready."""
    layout = procfs.memory_layout(pid)
    return layout is not None and layout.ready and layout.variables_start == layout.variables_end != 0


def _is_intact(pid: int, block: bytes) -> bool:
    """Return whether an environment block is still as the kernel wrote it.

    Each variable ends in one NUL, so an empty variable means that the block was overwritten. A read can end early, at
    a page that the kernel does not get. The block follows the arguments, which end in a NUL as well. Without that NUL,
    a title continues into the variables (the kernel uses the same test, see get_mm_cmdline in fs/proc/base.c).
    """
    if block.startswith(b"\0") or b"\0\0" in block:
        return False
    layout = procfs.memory_layout(pid)
    if layout is None or not layout.ready or len(block) < layout.variables_end - layout.variables_start:
        return False
    length = layout.arguments_end - layout.arguments_start
    return length <= 0 or procfs.read(pid, "cmdline", 1, length - 1) == b"\0"
