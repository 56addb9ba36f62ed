"""The live processes of the machine, their start times, owners and ancestors, through psutil."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import psutil

from genvd.collectors.base import CollectorError
from genvd.collectors.host import procfs
from genvd.collectors.host.procfs import raise_if_exhausted

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

MAX_ANCESTORS = 64
"""Maximum ancestors to read: more than there are between a login and a program."""


class LiveProcess(NamedTuple):
    """A process that existed in this collection. It may be a zombie."""

    since_boot: float
    """Start time in seconds of CLOCK_BOOTTIME. With the pid it identifies the process, even if the clock is set."""
    started: float
    """Start time in Unix seconds, by the clock at the time when the process was first seen."""
    inode: int
    """Inode of its directory in /proc. It stays the same for the whole life unless the kernel is short of memory."""


class ProcessTable:
    """The live processes in one collection. Constant values are kept from one collection to the next."""

    def __init__(self) -> None:
        self._previous: dict[int, LiveProcess | None] = {}
        self._now: dict[int, LiveProcess | None] = {}
        self._parents: dict[int, int] = {}
        self._boot_time = 0.0

    def refresh(self) -> None:
        """Begin a new collection, in which everything is read again on demand.

        psutil before version 7.1 caches the boot time. It is read again here, so that processes that started after the
        clock was set get the right start time.

        Raises:
            CollectorError: /proc cannot be read.
        """
        self._previous, self._now, self._parents = self._now, {}, {}
        self._boot_time = _or_raise(psutil.boot_time)

    def get(self, pid: int) -> LiveProcess | None:
        """Return a live process or thread; None if it does not exist, is hidden from this user, or blocks."""
        if pid not in self._now:
            self._now[pid] = self._find(pid)
        return self._now[pid]

    def is_same(self, pid: int, process: LiveProcess) -> bool:
        """Return whether the pid still belongs to this process, which :meth:`get` returned."""
        directory = procfs.stat_directory(pid)
        return directory is not None and directory.st_ino == process.inode

    def uid(self, pid: int) -> int | None:
        """Return the real uid of a process; None if it does not exist, or is hidden from this user."""
        if self.get(pid) is None and not procfs.is_left_out(pid):
            return None
        return procfs.real_uid(pid)

    def ancestors(self, pid: int) -> tuple[int, ...]:
        """Return the pids of the parent of a process, its parent and so on, without process 1.

        A user's process can be a descendant of another user's process only through a program that changes the user
        (su, sudo, runuser).
        """
        found: list[int] = []
        while len(found) < MAX_ANCESTORS and (pid := self._parent(pid)) > 1:
            found.append(pid)
        return tuple(found)

    def launcher_uid(self, pid: int) -> int | None:
        """Return the real uid of the nearest ancestor that does not belong to root; None if all do."""
        return next((uid for ancestor in self.ancestors(pid) if (uid := self.uid(ancestor))), None)

    def _find(self, pid: int) -> LiveProcess | None:
        directory, previous = procfs.stat_directory(pid), self._previous.get(pid)
        if directory is None:
            return None
        if previous is not None and previous.inode == directory.st_ino:
            return previous  # takes a tenth of the time of psutil
        process = _find(pid)
        started = or_none(lambda: procfs.guarded(pid, process.create_time)) if process else None
        if process is None or started is None:
            return None
        since_boot = round(started - self._boot_time, 2)
        if previous is not None and previous.since_boot == since_boot:
            return previous._replace(inode=directory.st_ino)
        return LiveProcess(since_boot, started, directory.st_ino)

    def _parent(self, pid: int) -> int:
        if pid not in self._parents:  # psutil's parents() takes 100 µs for each generation
            self._parents[pid] = procfs.parent(pid)
        return self._parents[pid]


def pids() -> frozenset[int]:
    """Return the pids of all processes, including zombies, but not those of threads.

    Raises:
        CollectorError: /proc cannot be listed.
    """
    return frozenset(_or_raise(psutil.pids))


def has_ended(pid: int) -> bool:
    """Return whether the process does not exist or is a zombie.

    A process whose first thread has ended is not a zombie while other threads run. A process that /proc hides (hidepid
    of proc(5)) has not ended; psutil.pid_exists() would be wrong about it.
    """
    process = _find(pid)
    if process is None:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False
    dead = or_none(process.status) in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    return dead and or_none(process.num_threads) in (0, 1)


def _find(pid: int) -> psutil.Process | None:
    return or_none(lambda: procfs.guarded(pid, psutil.Process, pid))


def or_none(read: Callable[[], T]) -> T | None:
    """Return what a call of psutil returns; None if the process does not exist, or is hidden from this user.

    Raises:
        CollectorError: this service or the machine has run out of descriptors or memory.
    """
    try:
        return read()
    except psutil.Error:
        return None
    except OSError as error:
        raise_if_exhausted(error)
        return None


def _or_raise(read: Callable[[], T]) -> T:
    try:
        return read()
    except OSError as error:
        raise_if_exhausted(error)
        raise CollectorError(f"/proc: cannot be read: {error.strerror}; mount procfs there") from None
    except (IndexError, RuntimeError):  # no process, or no boot time
        raise CollectorError("/proc: is empty; mount procfs there") from None
