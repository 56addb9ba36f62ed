"""Giving up processes whose files block, with pipes that nobody writes to."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from genvd.collectors.base import CollectorError
from genvd.collectors.host import procfs
from genvd.helper import reading
from genvd.helper.reading import BLOCKED_SECONDS, MAX_STUCK, BlockGuard, LeftOut, Reading, StuckError
from genvd.model.facts import ProcessFacts, ProcessRequest
from tests.support.waiting import wait_for


class Pipes:
    """A collector: reads a pipe for each requested pid. It blocks for those pids that are in :attr:`silent`."""

    name = "processes"

    def __init__(self) -> None:
        self.silent: set[int] = set()
        self.tried: list[int] = []
        self.output, self.input = os.pipe()

    def collect(self, request: ProcessRequest) -> ProcessFacts:
        """Return as live pids those that could be read."""
        return ProcessFacts(live_pids=frozenset(pid for pid in sorted(request.gpu_pids) if self.read(pid)))

    def read(self, pid: int) -> bool:
        """Return whether a pid can be read."""
        try:
            procfs.guarded(pid, lambda: self.block(pid))
        except OSError:
            return False
        return True

    def block(self, pid: int) -> None:
        """Wait if the pid is silent."""
        self.tried.append(pid)
        if pid in self.silent:
            os.read(self.output, 1)

    def let_go(self) -> None:
        """Let all go on who wait."""
        self.silent = set()
        os.write(self.input, b"x" * 100)


@pytest.fixture
def guard() -> Iterator[BlockGuard]:
    guard = BlockGuard(uid_of=lambda pid: pid)
    procfs.set_guard(guard)
    yield guard
    procfs.set_guard(procfs.ReadGuard())


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    pipes, before = Pipes(), set(threading.enumerate())
    yield pipes
    pipes.let_go()
    wait_for(lambda: set(threading.enumerate()) <= before, "all threads have ended")
    for descriptor in (pipes.output, pipes.input):
        os.close(descriptor)


@pytest.fixture
def live(pipes: Pipes, guard: BlockGuard) -> Callable[..., set[int]]:
    reading = Reading(pipes, guard)

    def collect(*pids: int) -> set[int]:
        pipes.tried.clear()
        return set(reading.collect(ProcessRequest(frozenset(pids)), lambda: None).live_pids)

    return collect


def test_the_others_are_read(pipes: Pipes, live: Callable[..., set[int]]) -> None:
    assert live(1, 2, 3) == {1, 2, 3}
    pipes.silent = {2}
    assert live(1, 2, 3) == {1, 3}
    began = time.monotonic()
    assert live(1, 2, 3) == {1, 3}
    assert time.monotonic() - began < BLOCKED_SECONDS
    assert 2 not in pipes.tried


def test_a_process_that_does_not_block_any_more_is_read_after_a_while(
    pipes: Pipes, guard: BlockGuard, live: Callable[..., set[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_LEFT_OUT_SECONDS", 0.5)
    pipes.silent = {2}
    assert live(1, 2) == {1}
    pipes.silent.clear()
    wait_for(lambda: live(1, 2) == {1, 2}, "it is tried again")
    assert not guard.left_out


def test_a_process_that_goes_on_blocking_is_tried_ever_more_rarely(
    pipes: Pipes, guard: BlockGuard, live: Callable[..., set[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_LEFT_OUT_SECONDS", 0.1)
    monkeypatch.setattr(reading, "MAX_LEFT_OUT_SECONDS", 0.2)
    pipes.silent = {2}
    seen = [guard.left_out[2].seconds for _ in range(2) if wait_for(lambda: live(1, 2) == {1} and 2 in pipes.tried, "")]
    assert seen == [0.1, 0.2]


def test_only_one_of_those_that_are_tried_again_blocks_a_collection(
    pipes: Pipes, guard: BlockGuard, live: Callable[..., set[int]]
) -> None:
    now = time.monotonic()
    guard.left_out = {2: LeftOut(now, 60), 3: LeftOut(now, 60)}
    pipes.silent = {2, 3}
    assert live(1, 2, 3) == {1}
    assert len({2, 3} & set(pipes.tried)) == 1


def test_a_user_with_many_processes_that_block_costs_a_collection_only_one(
    pipes: Pipes, guard: BlockGuard, live: Callable[..., set[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pids up to 100 are of a user with four that do not block, all others of an attacker."""
    monkeypatch.setattr(reading, "MAX_STUCK", 10)
    guard.uid_of = lambda pid: 1000 if pid <= 100 else 6666
    pipes.silent = set(range(110, 150))
    everybody = (*range(1, 5), 105, *pipes.silent)
    assert live(*everybody) == {1, 2, 3, 4, 105}
    assert len(guard.left_out) == 2 + 1
    began = time.monotonic()
    assert live(*everybody, 6) == {1, 2, 3, 4, 6, 105}
    assert time.monotonic() - began < 2 * BLOCKED_SECONDS
    assert len(guard.left_out) == 4


def test_a_process_that_does_not_block_is_read_although_others_of_its_user_do(
    pipes: Pipes, guard: BlockGuard, live: Callable[..., set[int]]
) -> None:
    guard.uid_of = lambda pid: 1000
    pipes.silent = {2, 3}
    assert live(1, 2, 3) == {1}
    assert live(1, 2, 3, 5, 6) == {1, 5}  # one that is new in each collection
    assert live(1, 2, 3, 5, 6) == {1, 5, 6}


def test_when_all_threads_are_stuck_only_a_new_start_helps(
    pipes: Pipes, guard: BlockGuard, live: Callable[..., set[int]]
) -> None:
    pipes.silent, before = set(range(10)), set(threading.enumerate())
    with pytest.raises(StuckError):
        live(*range(10))
    assert len(guard.left_out) == MAX_STUCK
    pipes.let_go()
    wait_for(lambda: set(threading.enumerate()) <= before, "the threads have ended")
    assert live(*range(MAX_STUCK), 10) == {10}


def test_a_read_that_computes_is_not_given_up(guard: BlockGuard) -> None:
    """On a busy machine a thread may not get a processor for long: that is not the fault of the process."""

    began = time.monotonic()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 100_000)
    iterations = int(100_000 * 5 * BLOCKED_SECONDS / (time.monotonic() - began))

    class Computes:
        name = "processes"

        def collect(self, request: ProcessRequest) -> ProcessFacts:
            procfs.guarded(1, lambda: hashlib.pbkdf2_hmac("sha256", b"", b"", iterations))
            return ProcessFacts()

    assert Reading(Computes(), guard).collect(ProcessRequest(), lambda: None) == ProcessFacts()
    assert not guard.left_out


@pytest.mark.parametrize("error", [CollectorError("/proc: is empty; mount procfs there"), ZeroDivisionError()])
def test_errors_are_those_of_the_collector(guard: BlockGuard, error: Exception) -> None:
    class Fails:
        name = "processes"

        def collect(self, request: ProcessRequest) -> ProcessFacts:
            raise error

    with pytest.raises(type(error)):
        Reading(Fails(), guard).collect(ProcessRequest(), lambda: None)
