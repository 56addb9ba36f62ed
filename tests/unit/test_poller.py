"""Fetches that are slow or fail."""

from __future__ import annotations

from queue import SimpleQueue

import pytest

from genvd.terminal.client import TimedSnapshot
from genvd.terminal.http_client import ServiceError
from genvd.terminal.poller import Poller
from tests.support.shown import machine

PATIENCE = 30.0


class FakeSource:
    """Answers when the test puts an answer into the queue."""

    def __init__(self) -> None:
        self.answers: SimpleQueue[TimedSnapshot | Exception] = SimpleQueue()
        self.requests: SimpleQueue[None] = SimpleQueue()

    def fetch(self) -> TimedSnapshot:
        self.requests.put(None)
        answer = self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer


class Done(SimpleQueue[None]):
    """Receives the end of each fetch."""

    def __call__(self) -> None:
        self.put(None)


def test_a_slow_fetch_blocks_nobody_and_there_is_one_at_a_time() -> None:
    first, second = TimedSnapshot(machine(), 1.0), TimedSnapshot(machine(), 2.0)
    source, done = FakeSource(), Done()
    poller = Poller(source, first, done)
    for _ in range(3):
        poller.start_fetch()
    source.requests.get(timeout=PATIENCE)
    assert poller.latest.snapshot is first
    assert poller.latest.now > first.now
    source.answers.put(second)
    done.get(timeout=PATIENCE)
    assert poller.latest.snapshot is second
    assert source.requests.empty()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(ServiceError("no answer"), "no answer"), (ValueError("x"), "unexpected ValueError: x; please report this as a")],
)
def test_a_failed_fetch_keeps_the_last_snapshot(answer: Exception, expected: str) -> None:
    first = TimedSnapshot(machine(), 1.0)
    source, done = FakeSource(), Done()
    poller = Poller(source, first, done)
    source.answers.put(answer)
    poller.start_fetch()
    done.get(timeout=PATIENCE)
    assert poller.latest.snapshot is first
    assert (poller.latest.failure or "").startswith(expected)
