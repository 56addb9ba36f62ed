"""Threads for what may hang: as few as will do."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from queue import Empty, SimpleQueue

import pytest

from genvd.crew import Crew
from tests.support.waiting import wait_for

DEADLINE_SECONDS = 20


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return f"crew of {request.node.name}"


@pytest.fixture
def crew(name: str) -> Iterator[Crew]:
    crew = Crew(name)
    yield crew
    crew.close()


def threads(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())


def test_what_waits_is_begun_by_another_thread_when_the_first_is_held_up(crew: Crew, name: str) -> None:
    release, answers = threading.Event(), SimpleQueue[str]()

    def held_up() -> None:
        release.wait(DEADLINE_SECONDS)

    crew.do(held_up)
    crew.do(lambda: answers.put("done"))

    assert crew.get(answers, time.monotonic() + DEADLINE_SECONDS) == "done"
    assert threads(name) == 2

    release.set()
    wait_for(lambda: threads(name) == 1, "end of the thread that is not needed any more")


def test_whoever_looks_for_an_answer_too_early_makes_no_thread(
    crew: Crew, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genvd.crew.PATIENCE_SECONDS", 3600.0)
    begun, go_on = SimpleQueue[None](), threading.Event()

    def job() -> None:
        begun.put(None)
        go_on.wait(DEADLINE_SECONDS)

    for _ in range(3):
        crew.do(job)
    begun.get(timeout=DEADLINE_SECONDS)

    with pytest.raises(Empty):
        crew.get(SimpleQueue[None](), time.monotonic())

    assert threads(name) == 1
    go_on.set()
