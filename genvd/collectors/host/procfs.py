"""Files of /proc/PID that psutil does not read, or not within bounds: users choose how long some of them are."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
from typing import NamedTuple

import psutil

from genvd.collectors.base import CollectorError
from genvd.common.text import decode
from genvd.model.facts import HostMemory

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_NAMESPACE_PIDS = re.compile(rb"^NSpid:\t([\d\t]+)$", re.MULTILINE)

MAX_PID = 2**22
"""PID_MAX_LIMIT of the Linux kernel (include/linux/threads.h)."""

NO_LOGIN = 2**32 - 1
"""What /proc/PID/loginuid says of a process that no login led to (an unsigned -1)."""

_OWNER_OF_NAMESPACE = 0xB704
"""NS_GET_OWNER_UID of ioctl_ns(2)."""

_FIRST_PID_NAMESPACE = 0xEFFFFFFC
"""PROC_PID_INIT_INO of Linux (include/linux/proc_ns.h): the inode of the namespace that has all processes."""

_FIRST_BYTES = 16 * 1024
"""Memory for the megabytes that some files may have is taken only for those that have them."""

_STATUS_BYTES = 64 * 1024
_STAT_BYTES = 4096
_COMMAND_BYTES = 4096
"""More than the kernel writes into these files."""

_ADDRESSES = slice(48 - 3, 51 - 3 + 1)
"""Fields 48 to 51 of proc_pid_stat(5), in the list that starts with field 3, the first one after the name."""


class Layout(NamedTuple):
    """Where the kernel put arguments and environment variables into the memory of a process at execve(2).

    Addresses; all are 0 where this user may not read the memory of the process, or it has none.
    """

    arguments_start: int
    arguments_end: int
    variables_start: int
    variables_end: int


def read(pid: int, name: str, most: int, offset: int = 0) -> bytes | None:
    """Return bytes of a file of a process; None if it is gone, or does not let this user read it.

    Args:
        pid: the process.
        name: of the file below /proc/PID.
        most: so many bytes at most.
        offset: of the first byte.

    Raises:
        CollectorError: this service or the machine has run out of descriptors or memory, so nothing is known.
    """
    try:
        return read_or_fail(pid, name, most, offset)
    except OSError:
        return None


def read_or_fail(pid: int, name: str, most: int, offset: int = 0) -> bytes:
    """Return what :func:`read` does.

    Raises:
        OSError: the process is gone, or does not let this user read the file.
        CollectorError: as for :func:`read`.
    """
    try:
        descriptor = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            content = os.pread(descriptor, min(most, _FIRST_BYTES), offset)
            if len(content) == _FIRST_BYTES < most:  # a shorter one has ended
                content += os.pread(descriptor, most - _FIRST_BYTES, offset + _FIRST_BYTES)
            return content
        finally:
            os.close(descriptor)
    except OSError as error:
        give_up_if_exhausted(error)
        raise


def give_up_if_exhausted(error: OSError) -> None:
    """Raise CollectorError if the error is not about the process: this service can open no file at all."""
    if error.errno in _EXHAUSTED:
        raise CollectorError(
            f"/proc: cannot be read: {error.strerror}; see who has so many files open, or raise LimitNOFILE, MemoryMax"
        ) from None


def command(pid: int) -> str:
    """Return the short name of a process; empty if it is gone. At most 15 bytes, which the process can change."""
    return decode((read(pid, "comm", _COMMAND_BYTES) or b"").removesuffix(b"\n"))


def layout(pid: int) -> Layout | None:
    """Return where arguments and variables of a process are in its memory; None if it is gone.

    The name of the process, in parentheses, can have spaces and parentheses in it: the last one ends it.
    """
    stat = read(pid, "stat", _STAT_BYTES) or b""
    addresses = stat[stat.rfind(b")") + 1 :].split()[_ADDRESSES]
    return Layout(*map(int, addresses)) if len(addresses) == len(Layout._fields) else None


def inner_pids(pid: int) -> tuple[int, ...]:
    """Return the pids of a process in the pid namespaces below the one of this service (NSpid of proc_pid_status(5)).

    Empty for a process that is in no other namespace, as of all that are in no container, or that is gone.
    """
    found = _NAMESPACE_PIDS.search(read(pid, "status", _STATUS_BYTES) or b"")
    return tuple(map(int, found[1].split()))[1:] if found else ()


def directory(pid: int) -> os.stat_result | None:
    """Return what stat(2) says of the directory of a process; None if it is gone, or hidden from this user.

    It belongs to the effective user, or to root where the process has changed its user and executed nothing since
    (proc(5)).
    """
    try:
        return os.stat(f"/proc/{pid}")
    except OSError as error:
        give_up_if_exhausted(error)
        return None


def in_first_pid_namespace() -> bool:
    """Return whether this service sees all processes of the machine, under the pids that the driver knows."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino == _FIRST_PID_NAMESPACE
    except OSError as error:
        give_up_if_exhausted(error)
        return False


def sees_machine() -> bool:
    """Tell whether no process of the machine is hidden from this service: by a pid namespace, or by hidepid of proc(5).

    Process 1 is root's, which hidepid hides from all but root and a group that may see everything.
    """
    return in_first_pid_namespace() and read(1, "status", 1) is not None


def login_uid(pid: int) -> int | None:
    """Return who logged in; su and sudo leave that as it was. None for a process that no login led to."""
    content = read(pid, "loginuid", 16) or b""
    return int(content) if content.isdigit() and int(content) != NO_LOGIN else None


def namespace_owner(pid: int) -> int | None:
    """Return who made the user namespace of the process; None where it is that of this service, or not to be seen."""
    path = f"/proc/{pid}/ns/user"
    try:
        if os.stat(path).st_ino == os.stat("/proc/self/ns/user").st_ino:
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        give_up_if_exhausted(error)
        return None
    try:
        return _owner_of(descriptor)
    finally:
        os.close(descriptor)


def _owner_of(descriptor: int) -> int | None:
    uid = bytearray(4)
    try:
        fcntl.ioctl(descriptor, _OWNER_OF_NAMESPACE, uid)
    except OSError:
        return None
    number: int = struct.unpack("=I", uid)[0]
    return number


def host_memory() -> HostMemory | None:
    """Return how much memory the host has and how much of it programs could take; None where it cannot be read."""
    try:
        memory = psutil.virtual_memory()
    except (OSError, ValueError, KeyError):  # /proc/meminfo that cannot be read, or lacks lines
        return None
    return HostMemory(memory.total, memory.available) if 0 <= memory.available <= memory.total else None
