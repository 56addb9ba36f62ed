"""Files of /proc/PID. A process that is gone is one thing, this service that can open no file is another."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
from typing import NamedTuple

from genvd.sources import SourceError

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_STATUS_BYTES = 64 * 1024
_STATUS = re.compile(rb"^Tgid:\t(\d+)$.*?^Uid:\t(\d+)\t", re.MULTILINE | re.DOTALL)
_NAMESPACE_PIDS = re.compile(rb"^NSpid:\t([\d\t]+)$", re.MULTILINE)

MAX_PID = 2**22
"""PID_MAX_LIMIT of the Linux kernel (include/linux/threads.h)."""

NO_LOGIN = 2**32 - 1
"""What /proc/PID/loginuid says of a process that no login led to (an unsigned -1)."""

_OWNER_OF_NAMESPACE = 0xB704
"""NS_GET_OWNER_UID of ioctl_ns(2)."""


_FIRST_PID_NAMESPACE = 0xEFFFFFFC
"""PROC_PID_INIT_INO of Linux (include/linux/proc_ns.h): the inode of the namespace that has all processes."""

STAT_BYTES = 4096
"""More than there is in a stat file."""

STATE, PARENT, THREADS, START_TIME, START_CODE = (number - 3 for number in (3, 4, 20, 22, 26))
ARGUMENTS_START, ARGUMENTS_END, START_OF_ENVIRONMENT, ENVIRONMENT_END = (number - 3 for number in (48, 49, 50, 51))
"""Places of fields in what :func:`stat_fields` returns: by their numbers in proc_pid_stat(5) (state, ppid, num_threads,
starttime, startcode; arg_start, arg_end, env_start, env_end), from the one after the name on."""

_MOST_ANCESTORS = 64
"""More generations than there are between a login and a program, so that a deep chain costs no more."""


class Status(NamedTuple):
    """What /proc/PID/status says."""

    is_process: bool
    """False for a thread, which can be looked up by its number too."""
    uid: int
    """The real one."""


def read(pid: int, name: str, most: int) -> bytes | None:
    """Return the first bytes of a file of a process; None if it is gone, or does not let this user read it.

    Args:
        pid: the process.
        name: of the file below /proc/PID.
        most: so many bytes at most.

    Raises:
        SourceError: this service or the machine has run out of descriptors or memory, so nothing is known.
    """
    return _read(pid, name, most, at_once=False)


def read_at_once(pid: int, name: str, most: int) -> bytes | None:
    """Return what :func:`read` does, of a file that the kernel writes at once: stat, status and comm."""
    return _read(pid, name, most, at_once=True)


def read_or_fail(pid: int, name: str, most: int) -> bytes:
    """Return what :func:`read` does.

    Raises:
        OSError: the process is gone, or does not let this user read the file.
        SourceError: as for :func:`read`.
    """
    try:
        return _content(pid, name, most, at_once=False)
    except OSError as error:
        give_up_if_exhausted(error)
        raise


def byte_at(pid: int, name: str, offset: int) -> bytes:
    """Return the byte at an offset of a file of a process; nothing where there is none, or it cannot be read."""
    try:
        descriptor = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, 1, offset)
        finally:
            os.close(descriptor)
    except OSError as error:
        give_up_if_exhausted(error)
        return b""


def _read(pid: int, name: str, most: int, *, at_once: bool) -> bytes | None:
    try:
        return _content(pid, name, most, at_once=at_once)
    except OSError as error:
        give_up_if_exhausted(error)
        return None


def _content(pid: int, name: str, most: int, *, at_once: bool) -> bytes:
    descriptor = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = os.read(descriptor, most)
        while not at_once and content and len(content) < most and (more := os.read(descriptor, most - len(content))):
            content += more
        return content
    finally:
        os.close(descriptor)


def give_up_if_exhausted(error: OSError) -> None:
    """Raise SourceError if the error says nothing of the process but that this service cannot look."""
    if error.errno in _EXHAUSTED:
        raise SourceError(
            f"/proc: cannot be read: {error.strerror}; see who has so many files open, or raise LimitNOFILE, MemoryMax"
        ) from None


def processes() -> frozenset[int]:
    """Return the pids of all processes, zombies among them, but of no threads.

    Raises:
        SourceError: /proc cannot be listed.
    """
    try:
        return frozenset(int(name) for name in os.listdir("/proc") if name.isdigit())
    except OSError as error:
        give_up_if_exhausted(error)
        raise SourceError(f"/proc: cannot be listed: {error.strerror}; mount it") from None


def status(pid: int) -> Status | None:
    """Return what is in /proc/PID/status; None if the process is gone."""
    match = _STATUS.search(read_at_once(pid, "status", _STATUS_BYTES) or b"")
    return Status(int(match[1]) == pid, int(match[2])) if match else None


def uid_and_inner_pids(pid: int) -> tuple[int, tuple[int, ...]] | None:
    """Return the real uid of a process, and its pids in the pid namespaces below this service's own.

    Of a process in the same namespace, as of all that are in no container, there are none of these. None for a process
    that is gone.
    """
    content = read_at_once(pid, "status", _STATUS_BYTES) or b""
    known, pids = _STATUS.search(content), _NAMESPACE_PIDS.search(content)
    return (int(known[2]), tuple(map(int, pids[1].split()))[1:] if pids else ()) if known else None


def mark(pid: int) -> tuple[int, int] | None:
    """Return what stays the same as long as a process lives as the same user; None if it is gone, or root's.

    This costs a fifth of :func:`status`. The directory of a process belongs to its effective user, or to root for one
    that has changed its user and executed nothing since (proc(5)), of which nothing can be concluded so.
    """
    try:
        found = os.stat(f"/proc/{pid}")
    except OSError as error:
        give_up_if_exhausted(error)
        return None
    return (found.st_ino, found.st_uid) if found.st_uid else None


def effective_uid(pid: int) -> int | None:
    """Return whose the directory of a process is: its effective user's or root's, as in :func:`mark`; None if gone."""
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError as error:
        give_up_if_exhausted(error)
        return None


def in_first_pid_namespace() -> bool:
    """Tell whether this service sees all processes of the machine, under the numbers that the driver has of them."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino == _FIRST_PID_NAMESPACE
    except OSError as error:
        give_up_if_exhausted(error)
        return False


def sees_machine() -> bool:
    """Tell whether no process of the machine is hidden from this service: by a pid namespace, or by hidepid of proc(5).

    Process 1 is root's, which hidepid hides from all but root and a group that may see everything.
    """
    return in_first_pid_namespace() and status(1) is not None


def has_ended(pid: int) -> bool:
    """Tell whether there is no such process, or only a zombie.

    A process whose first thread has ended is no zombie while others of it run. What /proc hides (hidepid of proc(5))
    is there all the same.
    """
    stat = read(pid, "stat", STAT_BYTES)
    if stat is None:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False
    fields = stat_fields(stat, THREADS)
    return bool(fields) and fields[STATE] in (b"Z", b"X") and fields[THREADS] in (b"0", b"1")


def stat_fields(stat: bytes, last: int) -> list[bytes]:
    """Return the fields of a stat file that come after the process's name; none if some of them are missing.

    The name may have spaces and parentheses in it: the last one ends it.

    Args:
        stat: the content of the file.
        last: the place of the last field that is wanted.
    """
    fields = stat[stat.rfind(b")") + 1 :].split(None, last + 1)
    return fields if len(fields) > last else []


def login_uid(pid: int) -> int | None:
    """Return who logged in; su and sudo leave that as it was. None for a process that no login led to."""
    content = read(pid, "loginuid", 16) or b""
    return int(content) if content.isdigit() and int(content) != NO_LOGIN else None


def start_time(pid: int) -> bytes | None:
    """Return when a process was started, which tells it from others that have its pid later; None if it is gone."""
    fields = stat_fields(read_at_once(pid, "stat", STAT_BYTES) or b"", START_TIME)
    return fields[START_TIME] if fields else None


def ancestors(pid: int) -> tuple[int, ...]:
    """Return the pids of the parent of a process, of its parent and so on, without the first process of the machine.

    Nobody can become a descendant of somebody else's process, unless that one starts a program that changes its user
    (su, sudo, runuser).
    """
    found: list[int] = []
    while len(found) < _MOST_ANCESTORS:
        fields = stat_fields(read_at_once(pid, "stat", STAT_BYTES) or b"", PARENT)
        pid = int(fields[PARENT]) if fields and fields[PARENT].isdigit() else 0
        if pid <= 1:
            break
        found.append(pid)
    return tuple(found)


def launcher(pid: int) -> int | None:
    """Return the real uid of the nearest ancestor of a process that is not root's; None where all are root's."""
    for ancestor in ancestors(pid):
        known = status(ancestor)
        if known and known.uid:
            return known.uid
    return None


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
