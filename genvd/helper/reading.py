"""Collects in a thread, and gives up a process whose files block the thread.

Reading the variables or arguments of a process waits for locks and pages of its memory, and the owner of the process
can make that last: it executes a program, or maps its variables, from a file system that does not answer. Nothing but
a fatal signal ends such a read. So a thread that waits too long is left alone, the process is left out for a while, and
another thread collects again.
"""

from __future__ import annotations

import errno
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from genvd.collectors.host import procfs
from genvd.common.clock import AutoResetEvent

if TYPE_CHECKING:
    from genvd.collectors.base import Collector
    from genvd.model.facts import ProcessFacts, ProcessRequest

MAX_STUCK = 4
"""How many threads may be stuck. Then the helper has to start anew, which ends them."""

BLOCKED_SECONDS = 0.2
"""How long one read may wait. It takes microseconds, and 4 ms for variables of the maximum size."""

_LEFT_OUT_SECONDS, MAX_LEFT_OUT_SECONDS = 60.0, 960.0
"""How long a process is left out at first, and at most: the time doubles whenever its files still block."""

_MAX_BLOCKED = 2
"""If more processes of one user block, others of this user are read only one after the other. Each one costs the whole
machine time: without this limit a user with hundreds of them would hide all processes."""

_FORGET_SECONDS = 3600.0
"""After this time a process that nobody has asked for is forgotten."""

_YIELD_SECONDS = 0.01


class StuckError(Exception):
    """All threads are stuck, and only a new start of this program ends them."""


class _GivenUp(BaseException):
    """Ends a thread whose read has returned after it was given up. No handler of errors may catch this."""


class _Read(NamedTuple):
    """A read that has begun."""

    pid: int
    thread: int
    """The kernel's number of the thread."""
    began: float


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A process whose files have blocked."""

    until: float
    """When to try again, as a time of :func:`time.monotonic`."""
    seconds: float
    """How long it is left out."""
    uid: int | None = None
    """Its real uid, if known."""


@dataclass(slots=True)
class BlockGuard(procfs.ReadGuard):
    """Knows which read is going on, and which processes are left out."""

    left_out: dict[int, LeftOut] = field(default_factory=dict)
    """By pid."""
    uid_of: Callable[[int], int | None] = procfs.real_uid
    """Returns the real uid of a process. It must not block."""
    _reads: dict[int, _Read] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _may_retry: bool = True
    """Whether a process that may block can be tried: at most one of them blocks in each collection."""
    _tried: set[int] = field(default_factory=set)
    """Processes that were left out and are tried again in this collection."""
    _suspects: frozenset[int] = frozenset()
    """The uids of users with too many processes that block."""
    _readable: set[int] = field(default_factory=set)
    """Processes that did not block in this collection."""
    _readable_before: set[int] = field(default_factory=set)
    _newcomer: int | None = None
    """The process of a suspect that is tried for the first time, in this collection."""

    def new_collection(self) -> None:
        """Begin a collection."""
        self._may_retry, self._newcomer = True, None
        self._tried.clear()
        self._readable_before, self._readable = self._readable, set()
        now = time.monotonic()
        self.left_out = {pid: one for pid, one in self.left_out.items() if now < one.until + _FORGET_SECONDS}
        self._find_suspects()

    def _find_suspects(self) -> None:
        numbers = Counter(one.uid for one in self.left_out.values())
        self._suspects = frozenset(uid for uid, number in numbers.items() if uid is not None and number >= _MAX_BLOCKED)

    def end_collection(self) -> None:
        """End a collection: what was tried again and did not block is not left out any more."""
        for pid in self._tried:
            self.left_out.pop(pid, None)

    def begin(self, pid: int) -> int:
        """Return a number for this read; refuse it if the process is left out."""
        if self.leaves_out(pid):
            raise BlockingIOError(errno.EAGAIN, "left out, because it blocks")
        if pid in self.left_out:
            self._tried.add(pid)
        number = next(self._numbers)
        self._reads[number] = _Read(pid, threading.get_native_id(), time.monotonic())
        return number

    def leaves_out(self, pid: int) -> bool:
        """Return whether a process is left out now."""
        if not self.left_out:  # the usual case
            return False
        left_out = self.left_out.get(pid)
        if left_out is not None:
            return not (self._may_retry and time.monotonic() >= left_out.until)
        if not self._suspects or pid in self._readable or pid in self._readable_before:
            return False
        if self._newcomer == pid or self.uid_of(pid) not in self._suspects:
            return False
        if self._newcomer is not None or not self._may_retry:
            return True
        self._newcomer = pid
        return False

    def end(self, read: int) -> None:
        """Take note of the end of a read, or end the thread if the read was given up."""
        if (found := self._reads.pop(read, None)) is None:  # either this or :meth:`give_up` gets it
            raise _GivenUp
        self._readable.add(found.pid)

    def blocked_read(self) -> int | None:
        """Return the number of the current read if it blocks."""
        if not self._blocked_reads():
            return None
        time.sleep(_YIELD_SECONDS)  # it may have returned, and its thread may only wait for the interpreter
        return next(iter(self._blocked_reads()), None)

    def _blocked_reads(self) -> list[int]:
        limit = time.monotonic() - BLOCKED_SECONDS
        return [number for number, read in tuple(self._reads.items()) if read.began < limit and _sleeps(read.thread)]

    def give_up(self, read: int) -> bool:
        """Leave out the process of a read; return whether the read was still going on."""
        found = self._reads.pop(read, None)
        if found is None:
            return False
        self._tried.discard(found.pid)
        self._readable.discard(found.pid)
        self._readable_before.discard(found.pid)
        seconds, before = _LEFT_OUT_SECONDS, self.left_out.get(found.pid)
        if before is not None:
            seconds = min(2 * before.seconds, MAX_LEFT_OUT_SECONDS)
        if before is not None or found.pid == self._newcomer:
            self._may_retry = False
        self.left_out[found.pid] = LeftOut(time.monotonic() + seconds, seconds, self.uid_of(found.pid))
        self._find_suspects()
        return True


class Reading:
    """Collects, and survives processes whose files block. Only one thread may use it."""

    def __init__(self, collector: Collector[ProcessRequest, ProcessFacts], guard: BlockGuard) -> None:
        self._collector = collector
        self._guard = guard
        self._stuck: list[threading.Thread] = []
        self._done = AutoResetEvent()

    def collect(self, request: ProcessRequest, on_wait: Callable[[], None]) -> ProcessFacts:
        """Return the facts.

        Args:
            request: the processes.
            on_wait: called several times a second.

        Raises:
            CollectorError: there are no facts.
            StuckError: all threads are stuck.
        """
        self._guard.new_collection()
        while True:
            self._stuck = [thread for thread in self._stuck if thread.is_alive()]
            if len(self._stuck) >= MAX_STUCK:
                raise StuckError
            result = self._collect(request, on_wait)
            if isinstance(result, Exception):
                raise result
            if result is not None:
                self._guard.end_collection()
                return result

    def _collect(self, request: ProcessRequest, on_wait: Callable[[], None]) -> ProcessFacts | Exception | None:
        """Collect in a new thread; return None if it is stuck."""
        results: list[ProcessFacts | Exception] = []

        def run() -> None:
            try:
                results.append(self._collector.collect(request))
            except _GivenUp:
                return
            except Exception as error:
                results.append(error)
            self._done.set()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        while not self._done.wait(BLOCKED_SECONDS / 4):
            on_wait()
            read = self._guard.blocked_read()
            if read is not None and self._guard.give_up(read):
                self._stuck.append(thread)
                return None
        return results[0]


def _sleeps(thread: int) -> bool:
    """Return whether a thread of this process sleeps, and does not only wait for a processor."""
    try:
        with open(f"/proc/self/task/{thread}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"S", b"D")
    except OSError:
        return False
