"""The helper's server and the watchdog."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from sdnotify import SystemdNotifier

from genvd.helper import server as server_module
from genvd.helper.messages import send
from genvd.helper.protocol import MAX_QUESTION_BYTES, encode_question
from genvd.helper.reading import BlockGuard, Reading
from genvd.helper.server import Server
from genvd.model.facts import ProcessFacts, ProcessRequest
from tests.support.manager import Manager
from tests.support.waiting import wait_for


class Slow(Reading):
    """Collects for a while, and calls back meanwhile as the real one does."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.answered = False

    def collect(self, request: ProcessRequest, on_wait: Callable[[], None]) -> ProcessFacts:
        """Wait."""
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            on_wait()
            time.sleep(0.01)
        self.answered = True
        return ProcessFacts()


class Serving:
    """A server in a thread, and a client that is connected to it."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, reading: Reading) -> None:
        monkeypatch.setattr(server_module, "_FEED_SECONDS", 0.02)
        self.manager = Manager(directory)
        monkeypatch.setenv("NOTIFY_SOCKET", str(self.manager.path))
        self._listening, self.client = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        self._listening.bind(str(directory / "socket"))
        self._listening.listen()
        self.client.connect(str(directory / "socket"))
        self._notifier = SystemdNotifier()
        server = Server(reading, BlockGuard(), self._notifier, self._listening, lambda peer: peer.pid == os.getpid())
        self.thread = Thread(target=server.serve)
        self.thread.start()

    def close(self) -> None:
        """Wait for the end of the server."""
        self.client.close()
        self.thread.join(20)
        assert not self.thread.is_alive()
        self._notifier.socket.close()
        self._listening.close()
        self.manager.close()


@pytest.mark.parametrize(("limit", "fed"), [(30.0, True), (0.0, False)])
def test_a_collection_that_takes_far_too_long_does_not_feed_the_watchdog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: float, fed: bool
) -> None:
    monkeypatch.setattr(server_module, "_MAX_COLLECT_SECONDS", limit)
    monkeypatch.setattr(server_module, "_IDLE_SECONDS", 0.5)
    slow = Slow(1)
    serving = Serving(tmp_path, monkeypatch, slow)
    wait_for(lambda: serving.manager.said("^READY=1"), "ready")
    send(serving.client, encode_question(ProcessRequest()), MAX_QUESTION_BYTES, time.monotonic() + 20)
    began = time.monotonic()
    wait_for(lambda: slow.answered, "the answer")
    during = [moment for moment in serving.manager.said("^WATCHDOG=1") if began + 0.2 < moment < began + 0.8]
    assert bool(during) == fed
    serving.close()


def test_it_ends_when_nobody_has_been_connected_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_IDLE_SECONDS", 0.5)
    serving = Serving(tmp_path, monkeypatch, Slow(0))
    serving.thread.join(1.5)
    assert serving.thread.is_alive()  # a client is connected
    serving.close()


@pytest.mark.parametrize(("watchdog", "expected"), [(None, None), (30, 15_000)], ids=["no watchdog", "watchdog"])
def test_it_sleeps_until_somebody_asks_or_the_watchdog_expects_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watchdog: int | None, expected: float | None
) -> None:
    if watchdog is not None:
        monkeypatch.setenv("WATCHDOG_USEC", str(watchdog * 1_000_000))
    waits: list[float | None] = []
    compute = Server._idle_milliseconds

    def recorded(server: Server, connected_at: float) -> float | None:
        waits.append(compute(server, connected_at))
        return waits[-1]

    monkeypatch.setattr(Server, "_idle_milliseconds", recorded)
    monkeypatch.setattr(server_module, "_IDLE_SECONDS", 0.5)
    reading = Slow(0)
    serving = Serving(tmp_path, monkeypatch, reading)
    send(serving.client, encode_question(ProcessRequest()), MAX_QUESTION_BYTES, time.monotonic() + 20)
    wait_for(lambda: reading.answered and len(waits) >= 3, "it waits for the next question")
    assert waits[2] == (expected if expected is None else pytest.approx(expected, rel=0.05))
    serving.close()
