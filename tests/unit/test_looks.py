"""Looks at a machine that take long, or go wrong."""

from __future__ import annotations

from queue import SimpleQueue

import pytest

from genvd.terminal.client import Seen, ServiceError
from genvd.terminal.poller import Looks
from tests.support.shown import machine

PATIENCE = 30.0


class Source:
    """One that answers when the test wants it to, and what it wants."""

    def __init__(self) -> None:
        self.answers: SimpleQueue[Seen | Exception] = SimpleQueue()
        self.asked: SimpleQueue[None] = SimpleQueue()

    def look(self) -> Seen:
        self.asked.put(None)
        answer = self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer


class Ended(SimpleQueue[None]):
    """Tells that a look is over."""

    def __call__(self) -> None:
        self.put(None)


def test_nobody_waits_for_a_look_that_hangs_and_there_is_one_at_a_time() -> None:
    first, second = Seen(machine(), 1.0), Seen(machine(), 2.0)
    source, ended = Source(), Ended()
    looks = Looks(source, first, ended)
    for _ in range(3):
        looks.begin()
    source.asked.get(timeout=PATIENCE)
    assert looks.latest.seen is first
    assert looks.latest.now > first.now
    source.answers.put(second)
    ended.get(timeout=PATIENCE)
    assert looks.latest.seen is second
    assert source.asked.empty()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(ServiceError("no answer"), "no answer"), (ValueError("x"), "unexpected ValueError: x; please report this as a")],
)
def test_a_look_that_fails_leaves_what_was_seen(answer: Exception, expected: str) -> None:
    seen = Seen(machine(), 1.0)
    source, ended = Source(), Ended()
    looks = Looks(source, seen, ended)
    source.answers.put(answer)
    looks.begin()
    ended.get(timeout=PATIENCE)
    assert looks.latest.seen is seen
    assert (looks.latest.failure or "").startswith(expected)
