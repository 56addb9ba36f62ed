"""Worker threads for calls that may hang."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from weakref import ref

import pytest

from genvd.common.worker_pool import WorkerPool
from tests.support.waiting import wait_for

DEADLINE_SECONDS = 20.0


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return f"workers of {request.node.name}"


@pytest.fixture
def pool(name: str) -> WorkerPool:
    return WorkerPool(name)


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Lets waiting calls return, at the latest when the test ends: the interpreter joins their threads."""
    release = threading.Event()
    yield release
    release.set()


def threads(name: str) -> int:
    return sum(thread.name.startswith(name) for thread in threading.enumerate())


def soon() -> float:
    return time.monotonic() + DEADLINE_SECONDS


def test_other_calls_run_while_one_hangs(pool: WorkerPool, name: str, release: threading.Event) -> None:
    hung = pool.submit(release.wait, math.inf)
    for number in range(10):
        call = pool.submit(lambda number=number: number, math.inf)  # type: ignore[misc]
        assert pool.wait(call, soon())
        assert call.result() == number
    assert not hung.done()
    # One that hangs, and those that follow one another; on a busy machine, one takes over from one that is late.
    assert threads(name) < 8, "the threads are used again"
    release.set()
    assert pool.wait(hung, soon())


def test_threads_are_used_again(pool: WorkerPool, name: str) -> None:
    """However often a call is submitted at the moment at which a thread has finished the one before."""
    for _ in range(1000):
        assert pool.wait(pool.submit(float, math.inf), soon())
    # On a busy machine, one takes over from one that is late.
    assert threads(name) < 8


def test_a_result_is_not_kept(pool: WorkerPool) -> None:
    call = pool.submit(threading.Event, math.inf)
    assert pool.wait(call, soon())
    result = ref(call.result())
    del call
    wait_for(lambda: result() is None, "the result is freed")


def test_calls_beyond_the_most_threads_wait(
    pool: WorkerPool, name: str, release: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genvd.common.worker_pool._MAX_WORKERS", 3)
    calls = [pool.submit(release.wait, 0.0) for _ in range(10)]
    assert threads(name) == 3
    assert not any(pool.wait(call, 0.0) for call in calls)
    release.set()
    assert all(pool.wait(call, soon()) for call in calls)


def test_a_call_has_a_head_start(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genvd.common.worker_pool.HEAD_START_SECONDS", DEADLINE_SECONDS)
    order: list[str] = []

    def call() -> None:
        time.sleep(0.02)
        order.append("called")

    pool.submit(call, math.inf)
    order.append("submitted")
    assert order == ["called", "submitted"]


def test_there_is_no_head_start_after_the_deadline(pool: WorkerPool, release: threading.Event) -> None:
    started = time.monotonic()
    hung = [pool.submit(release.wait, started) for _ in range(100)]
    assert time.monotonic() - started < 100 * 0.05
    assert not any(pool.wait(one, 0.0) for one in hung)
