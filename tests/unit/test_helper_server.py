"""The helper's server and the watchdog."""

from __future__ import annotations

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


@pytest.mark.parametrize(("limit", "fed"), [(30.0, True), (0.0, False)])
def test_a_collection_that_takes_far_too_long_does_not_feed_the_watchdog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: float, fed: bool
) -> None:
    monkeypatch.setattr(server_module, "_MAX_COLLECT_SECONDS", limit)
    monkeypatch.setattr(server_module, "_FEED_SECONDS", 0.02)
    manager = Manager(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(manager.path))
    ours, its = socket.socketpair()
    slow = Slow(1)
    server = Server(slow, BlockGuard(), SystemdNotifier())
    server.connect(its)
    thread = Thread(target=server.serve)
    thread.start()
    wait_for(lambda: manager.said("^READY=1"), "ready")
    send(ours, encode_question(ProcessRequest()), MAX_QUESTION_BYTES, time.monotonic() + 20)
    began = time.monotonic()
    wait_for(lambda: slow.answered, "the answer")
    during = [moment for moment in manager.said("^WATCHDOG=1") if began + 0.2 < moment < began + 0.8]
    assert bool(during) == fed
    ours.close()
    thread.join()
    server.notifier.socket.close()
    manager.close()


def test_it_ends_when_nobody_has_been_connected_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_IDLE_SECONDS", 0.5)
    monkeypatch.setattr(server_module, "_FEED_SECONDS", 0.02)
    manager = Manager(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(manager.path))
    server = Server(Slow(0), BlockGuard(), SystemdNotifier())
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:
        listening.bind(str(tmp_path / "socket"))
        listening.listen()
        client.connect(str(tmp_path / "socket"))
        server.listen(listening)
        thread = Thread(target=server.serve)
        thread.start()
        thread.join(1.5)
        assert thread.is_alive()  # a client is connected
        client.close()
        thread.join(20)
        assert not thread.is_alive()
    server.notifier.socket.close()
    manager.close()
