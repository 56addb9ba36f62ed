"""Running a collector."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from unittest.mock import ANY

import pytest

from genvd.collectors.base import CollectorError
from genvd.collectors.runner import GRACE_TICKS, HUNG, STEADY_TICKS, Runner
from genvd.common.worker_pool import WorkerPool
from genvd.model.snapshot import CollectorStatus
from tests.support.waiting import wait_for


class Controlled:
    """A collector that the test controls."""

    name = "outside"

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.go_on = threading.Event()
        self.go_on.set()
        self.requests: list[int] = []

    def collect(self, request: int) -> int:
        self.requests.append(request)
        self.go_on.wait()
        if self.error:
            raise self.error
        return request * 10


@pytest.fixture
def outside() -> Iterator[Controlled]:
    outside = Controlled()
    yield outside
    outside.go_on.set()  # the interpreter joins the worker threads


@pytest.fixture
def runner(outside: Controlled) -> Runner[int, int]:
    return Runner(outside, WorkerPool("collectors"))


def run(runner: Runner[int, int], request: int, seconds: float = 10) -> tuple[int | None, CollectorStatus]:
    runner.start(request, time.monotonic() + seconds)
    return runner.result()


def test_facts_are_returned_and_timed(outside: Controlled, runner: Runner[int, int]) -> None:
    facts, status = run(runner, 4)
    assert facts == 40
    assert status.success
    assert status.name == "outside"
    assert 0 <= status.duration_seconds < 10


def test_the_last_facts_are_kept_for_a_few_ticks_after_a_failure(
    outside: Controlled, runner: Runner[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    run(runner, 1)
    outside.error = CollectorError("it is broken; mend it")
    with caplog.at_level(logging.INFO):
        given = [run(runner, 2) for _ in range(GRACE_TICKS + 2)]
        assert [facts for facts, _ in given] == [10] * GRACE_TICKS + [None, None]
        assert not any(status.success for _, status in given)
        assert [record.message for record in caplog.records] == ["outside: it is broken; mend it"]
        outside.error = None
        for _ in range(STEADY_TICKS):
            assert run(runner, 3)[0] == 30
    assert caplog.records[-1].message.startswith("outside: works again")
    outside.error = CollectorError("again")
    assert run(runner, 4)[0] == 30


def test_a_bug_is_logged_once_with_its_traceback(
    outside: Controlled, runner: Runner[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    outside.error = KeyError("x")
    for _ in range(3):
        facts, status = run(runner, 1)
        assert facts is None
        assert status.error and "KeyError" in status.error
    assert sum(bool(record.exc_info) for record in caplog.records) == 1


def test_a_hanging_collector_is_called_once_and_a_soon_result_counts(
    outside: Controlled, runner: Runner[int, int]
) -> None:
    outside.go_on.clear()
    before = set(threading.enumerate())
    for _ in range(GRACE_TICKS):
        facts, status = run(runner, 1, seconds=0.01)
        assert facts is None
        assert (status.success, status.reason) == (False, HUNG)
        assert status.duration_seconds > 0
    assert outside.requests == [1]
    assert len(set(threading.enumerate()) - before) == 1
    outside.go_on.set()
    wait_for(lambda: not runner.busy, "it has returned")
    assert run(runner, 2) == (10, CollectorStatus("outside", True, ANY))


def test_a_collector_that_hung_for_long_is_called_again(outside: Controlled, runner: Runner[int, int]) -> None:
    outside.go_on.clear()
    for _ in range(GRACE_TICKS + 3):
        run(runner, 1, seconds=0.01)
    assert outside.requests == [1]
    outside.go_on.set()
    wait_for(lambda: not runner.busy, "it has returned")
    assert run(runner, 2)[0] == 20


def test_a_discarded_result_does_not_count_later(outside: Controlled, runner: Runner[int, int]) -> None:
    run(runner, 1)
    outside.go_on.clear()
    run(runner, 2, seconds=0.01)
    runner.discard()
    assert run(runner, 3, seconds=0.01)[0] is None
    outside.go_on.set()
    wait_for(lambda: not runner.busy, "it has returned")
    assert run(runner, 4)[0] == 40


def test_partial_facts_replace_the_last_ones(outside: Controlled, runner: Runner[int, int]) -> None:
    run(runner, 1)
    outside.error = CollectorError("half of it is broken; mend it", "half", partial=5)
    for _ in range(GRACE_TICKS + 2):
        facts, status = run(runner, 2)
        assert (facts, status.success, status.reason) == (5, False, "half")


def test_a_hanging_collector_is_waited_for_only_once(outside: Controlled, runner: Runner[int, int]) -> None:
    outside.go_on.clear()
    run(runner, 1, seconds=0.01)
    started = time.monotonic()
    run(runner, 2, seconds=60)
    assert time.monotonic() - started < 30
    outside.go_on.set()


def test_an_intermittent_failure_is_logged_once(
    outside: Controlled, runner: Runner[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(10):
            outside.error = CollectorError("now and then; see to it")
            run(runner, 1)
            outside.error = None
            run(runner, 1)
    assert len(caplog.records) == 1


def test_each_failure_after_a_recovery_is_logged(
    outside: Controlled, runner: Runner[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            outside.error = CollectorError("it is broken; mend it")
            for _ in range(3):
                run(runner, 1)
            outside.error = None
            for _ in range(STEADY_TICKS + 1):
                run(runner, 1)
    assert [(record.levelname, record.message.partition("; it failed")[0]) for record in caplog.records] == [
        ("WARNING", "outside: it is broken; mend it"),
        ("INFO", "outside: works again"),
    ] * 2
