"""Which processes live, since when, and whose they are, through psutil."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import psutil

from genvd.collectors.base import CollectorError
from genvd.collectors.host import procfs
from genvd.collectors.host.procfs import give_up_if_exhausted

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_MOST_ANCESTORS = 64
"""More generations than there are between a login and a program, so that a deep chain costs no more."""


class LiveProcess(NamedTuple):
    """A process that was there at the current reading, which may be a zombie."""

    process: psutil.Process
    since_boot: float
    """When it started, in seconds of CLOCK_BOOTTIME: with the pid, what identifies it, however the clock is set."""
    started: float
    """When it started, in Unix seconds, as the clock was set when it was seen first."""
    inode: int
    """Of its directory: the same one as long as it lives, and the kernel has the memory to remember it."""


class ProcessTable:
    """The processes of one reading; of those that were in the reading before, what does not change is kept."""

    def __init__(self) -> None:
        self._before: dict[int, LiveProcess | None] = {}
        self._now: dict[int, LiveProcess | None] = {}
        self._parents: dict[int, int] = {}
        self._boot_time = 0.0

    def begin(self) -> None:
        """Begin a reading: everything is read again when it is asked for.

        Before version 7.1, psutil keeps the boot time that it read last. It is read here, so that processes which
        started after the clock was set get the right time.

        Raises:
            CollectorError: /proc cannot be read.
        """
        self._before, self._now, self._parents = self._now, {}, {}
        self._boot_time = _or_fail(psutil.boot_time)

    def get(self, pid: int) -> LiveProcess | None:
        """Return a process, or thread, that lives; None if it is gone, or hidden from this user."""
        if pid not in self._now:
            self._now[pid] = self._find(pid)
        return self._now[pid]

    def is_same(self, pid: int, process: LiveProcess) -> bool:
        """Return whether a process that was returned by :meth:`get` has not been replaced by another since."""
        directory = procfs.directory(pid)
        return directory is not None and directory.st_ino == process.inode

    def uid(self, pid: int) -> int | None:
        """Return the real uid of a process; None as for :meth:`get`."""
        found = self.get(pid)
        uids = known(found.process.uids) if found else None
        return uids.real if uids else None

    def ancestors(self, pid: int) -> tuple[int, ...]:
        """Return the pids of the parent of a process, of its parent and so on, without the machine's first process.

        Nobody can become a descendant of somebody else's process, unless that one starts a program that changes its
        user (su, sudo, runuser).
        """
        found: list[int] = []
        while len(found) < _MOST_ANCESTORS and (pid := self._parent(pid)) > 1:
            found.append(pid)
        return tuple(found)

    def launcher(self, pid: int) -> int | None:
        """Return the real uid of the nearest ancestor of a process that is not root's; None where all are root's."""
        return next((uid for ancestor in self.ancestors(pid) if (uid := self.uid(ancestor))), None)

    def _find(self, pid: int) -> LiveProcess | None:
        directory, before = procfs.directory(pid), self._before.get(pid)
        if directory is None:
            return None
        if before is not None and before.inode == directory.st_ino:
            return before  # a tenth of what psutil takes to identify a process
        process = known(lambda: psutil.Process(pid))
        started = known(process.create_time) if process else None
        if process is None or started is None:
            return None
        since_boot = round(started - self._boot_time, 2)
        if before is not None and before.since_boot == since_boot:
            return before._replace(inode=directory.st_ino)
        return LiveProcess(process, since_boot, started, directory.st_ino)

    def _parent(self, pid: int) -> int:
        if pid not in self._parents:  # parents of psutil costs 100 µs for each generation
            self._parents[pid] = known(lambda: psutil.Process(pid).ppid()) or 0
        return self._parents[pid]


def pids() -> frozenset[int]:
    """Return the pids of all processes, zombies among them, but of no threads.

    Raises:
        CollectorError: /proc cannot be listed.
    """
    return frozenset(_or_fail(psutil.pids))


def has_ended(pid: int) -> bool:
    """Return whether there is no such process, or only a zombie.

    A process whose first thread has ended is no zombie while others of it run. What /proc hides (hidepid of proc(5))
    lives all the same, which psutil.pid_exists() denies.
    """
    process = known(lambda: psutil.Process(pid))
    if process is None:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False
    dead = known(process.status) in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    return dead and known(process.num_threads) in (0, 1)


def known(ask: Callable[[], T]) -> T | None:
    """Return what psutil says of a process; None if that is gone, or hidden from this user.

    Raises:
        CollectorError: this service or the machine has run out of descriptors or memory, so nothing is known.
    """
    try:
        return ask()
    except psutil.Error:
        return None
    except OSError as error:
        give_up_if_exhausted(error)
        return None


def _or_fail(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except OSError as error:
        give_up_if_exhausted(error)
        raise CollectorError(f"/proc: cannot be read: {error.strerror}; mount it") from None
    except (IndexError, RuntimeError):  # no process, or no time of boot
        raise CollectorError("/proc: is empty; mount it") from None
