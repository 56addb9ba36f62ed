"""Reads files of /proc/PID that psutil does not read, or that need a size limit because users choose their content."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import psutil

from genvd.collectors.base import CollectorError
from genvd.common.text import decode
from genvd.model.facts import HostMemory

_BLOCKING_FILES = ("environ", "cmdline", "stat")
"""Files whose reading takes locks or pages of the memory of the process. That waits for file systems that the process
uses, for example while execve(2) closes a file, or if the process has mapped a file over its arguments. Reading
``status``, ``comm``, ``cgroup`` and ``loginuid`` never waits (tried with Linux 6.18)."""

T = TypeVar("T")

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_NAMESPACE_PIDS = re.compile(rb"^NSpid:\t([\d\t]+)$", re.MULTILINE)
_PARENT = re.compile(rb"^PPid:\t(\d+)$", re.MULTILINE)
_REAL_UID = re.compile(rb"^Uid:\t(\d+)\t", re.MULTILINE)
_NAME = re.compile(rb"Name:\t(.*)\n")
_ESCAPED = re.compile(rb"\\(.)")

MAX_PID = 2**22
"""PID_MAX_LIMIT of the Linux kernel (include/linux/threads.h)."""

NO_LOGIN = 2**32 - 1
"""Content of /proc/PID/loginuid of a process without a login (an unsigned -1)."""

_NS_GET_OWNER_UID = 0xB704
"""From ioctl_ns(2)."""

_PROC_PID_INIT_INO = 0xEFFFFFFC
"""Inode of the initial pid namespace, which contains all processes (include/linux/proc_ns.h)."""

_READING = os.O_RDONLY | os.O_CLOEXEC

_FIRST_READ_BYTES = 16 * 1024
"""Size of the first read. Only a file that is longer gets a larger buffer."""

_STATUS_BYTES = 64 * 1024
_STAT_BYTES = 4096
"""Larger than the kernel makes these files."""

_CODE_START = 26 - 3
_ADDRESSES = slice(48 - 3, 51 - 3 + 1)
"""Fields 26 and 48 to 51 of proc_pid_stat(5), in a list that starts with field 3, the first one after the name."""


class ReadGuard:
    """Called before and after reading a file that can block. This one does nothing.

    The helper replaces it by one that gives up processes whose files block.
    """

    def begin(self, pid: int) -> int:
        """Return a number for this read.

        Raises:
            OSError: the files of this process are not to be read now.
        """
        return 0

    def end(self, read: int) -> None:
        """Take note of the end of a read."""

    def leaves_out(self, pid: int) -> bool:
        """Return whether :meth:`begin` would refuse this process."""
        return False


_guard = ReadGuard()


def set_guard(guard: ReadGuard) -> None:
    """Use this guard from now on, in all threads."""
    global _guard
    _guard = guard


def guarded(pid: int, read: Callable[..., T], *arguments: object) -> T:
    """Return what a call with these arguments returns that reads a file of a process which can block.

    Raises:
        OSError: the files of this process are not to be read now.
    """
    guard = _guard  # the same one at the end
    number = guard.begin(pid)
    try:
        return read(*arguments)
    finally:
        guard.end(number)


def is_left_out(pid: int) -> bool:
    """Return whether files of this process that can block are not to be read now."""
    return _guard.leaves_out(pid)


class MemoryLayout(NamedTuple):
    """Addresses of the arguments and environment variables of a process, where execve(2) put them into its memory.

    All are 0 if this user may not read the memory of the process, or if it has none.
    """

    arguments_start: int
    arguments_end: int
    variables_start: int
    variables_end: int
    code_start: int

    @property
    def ready(self) -> bool:
        """Return whether execve(2) has set all addresses. It sets that of the code last (fs/binfmt_elf.c)."""
        return self.code_start != 0


def read(pid: int, name: str, max_bytes: int, offset: int = 0) -> bytes | None:
    """Return bytes of a file of a process; None if the process is gone or the file is not readable.

    Args:
        pid: the process.
        name: the path of the file below /proc/PID.
        max_bytes: the maximum to read.
        offset: the position of the first byte.

    Raises:
        CollectorError: this service or the machine has run out of descriptors or memory.
    """
    try:
        return read_or_raise(pid, name, max_bytes, offset)
    except OSError:
        return None


def read_or_raise(pid: int, name: str, max_bytes: int, offset: int = 0) -> bytes:
    """Return bytes of a file of a process, as :func:`read` does.

    Raises:
        OSError: the process is gone or the file is not readable.
        CollectorError: as for :func:`read`.
    """
    if not name.endswith(_BLOCKING_FILES):
        return _read(pid, name, max_bytes, offset)
    return guarded(pid, _read, pid, name, max_bytes, offset)


def _read(pid: int, name: str, max_bytes: int, offset: int = 0) -> bytes:
    try:
        descriptor = os.open(f"/proc/{pid}/{name}", _READING)
        try:
            content = os.pread(descriptor, min(max_bytes, _FIRST_READ_BYTES), offset)
            if len(content) == _FIRST_READ_BYTES < max_bytes:  # the file may be longer
                content += os.pread(descriptor, max_bytes - _FIRST_READ_BYTES, offset + _FIRST_READ_BYTES)
            return content
        finally:
            os.close(descriptor)
    except OSError as error:
        raise_if_exhausted(error)
        raise


def raise_if_exhausted(error: OSError) -> None:
    """Raise CollectorError if the error is not about one process, because no file can be opened at all."""
    if error.errno in _EXHAUSTED:
        raise CollectorError(
            f"/proc: cannot be read: {error.strerror}; find what has so many files open, or raise"
            " LimitNOFILE, MemoryMax"
        ) from None


def command_and_uid(pid: int) -> tuple[str, int | None]:
    """Return the short name of a process, of up to 15 bytes that it can change, and its real uid.

    They are empty and None if it is gone. Both are in one file that is read without blocking. There, newlines and
    backslashes of the name are escaped (proc_task_name in fs/proc/array.c of Linux).
    """
    status = _status(pid)
    name = _NAME.match(status)
    raw = name[1] if name else b""
    if b"\\" in raw:
        raw = _ESCAPED.sub(lambda match: b"\n" if match[1] == b"n" else match[1], raw)
    return decode(raw), _real_uid_in(status)


def memory_layout(pid: int) -> MemoryLayout | None:
    """Return where the arguments and variables of a process are in its memory; None if it is gone.

    The name of the process in /proc/PID/stat may contain parentheses, so it ends at the last one.
    """
    stat = read(pid, "stat", _STAT_BYTES) or b""
    fields = stat[stat.rfind(b")") + 1 :].split()
    addresses = [*fields[_ADDRESSES], *fields[_CODE_START : _CODE_START + 1]]
    return MemoryLayout(*map(int, addresses)) if len(addresses) == len(MemoryLayout._fields) else None


def inner_pids(pid: int) -> tuple[int, ...]:
    """Return the pids of a process in the pid namespaces below that of this service (NSpid of proc_pid_status(5)).

    Empty if the process is gone, or is in the pid namespace of this service, as most processes outside containers are.
    """
    found = _NAMESPACE_PIDS.search(_status(pid))
    return tuple(map(int, found[1].split()))[1:] if found else ()


def parent(pid: int) -> int:
    """Return the pid of the parent of a process; 0 if there is none. psutil reads it from a file that can block."""
    found = _PARENT.search(_status(pid))
    return int(found[1]) if found else 0


def real_uid(pid: int) -> int | None:
    """Return the real uid of a process; None if it is gone. Unlike the start time, it can be read without blocking."""
    return _real_uid_in(_status(pid))


def _real_uid_in(status: bytes) -> int | None:
    found = _REAL_UID.search(status)
    return int(found[1]) if found else None


def _status(pid: int) -> bytes:
    try:
        return _read(pid, "status", _STATUS_BYTES)
    except OSError:
        return b""


def stat_directory(pid: int) -> os.stat_result | None:
    """Return the stat(2) result of /proc/PID; None if the process is gone, or hidden from this user.

    The owner is the effective user, or root if the process has changed its user without an execve(2) since (proc(5)).
    """
    try:
        return os.stat(f"/proc/{pid}")
    except OSError as error:
        raise_if_exhausted(error)
        return None


def in_initial_pid_namespace() -> bool:
    """Return whether this service runs in the initial pid namespace, whose pids the driver reports."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino == _PROC_PID_INIT_INO
    except OSError as error:
        raise_if_exhausted(error)
        return False


def sees_machine() -> bool:
    """Return whether this service sees all processes. A pid namespace or hidepid of proc(5) can hide some.

    Process 1 belongs to root. hidepid hides it from everybody but root and the group that may see all processes.
    """
    return in_initial_pid_namespace() and read(1, "status", 1) is not None


def login_uid(pid: int) -> int | None:
    """Return the uid that logged in, which su and sudo do not change; None for a process without a login."""
    content = read(pid, "loginuid", 16) or b""
    return int(content) if content.isdigit() and int(content) != NO_LOGIN else None


def user_namespace_owner(pid: int) -> int | None:
    """Return the uid that created the user namespace of a process; None if it is this service's own, or not visible."""
    try:
        return guarded(pid, _user_namespace_owner, pid)
    except OSError as error:
        raise_if_exhausted(error)
        return None


def _user_namespace_owner(pid: int) -> int | None:
    descriptor = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    try:
        own = os.fstat(descriptor).st_ino == os.stat("/proc/self/ns/user").st_ino
        return None if own else _namespace_owner(descriptor)
    finally:
        os.close(descriptor)


def _namespace_owner(descriptor: int) -> int | None:
    uid = bytearray(4)
    try:
        fcntl.ioctl(descriptor, _NS_GET_OWNER_UID, uid)
    except OSError:
        return None
    number: int = struct.unpack("=I", uid)[0]
    return number


def host_memory() -> HostMemory | None:
    """Return the total and available memory of the host; None if it cannot be read."""
    try:
        memory = psutil.virtual_memory()
    except (OSError, ValueError, KeyError):  # /proc/meminfo is not readable, or lacks lines
        return None
    return HostMemory(memory.total, memory.available) if 0 <= memory.available <= memory.total else None
