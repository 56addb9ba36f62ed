"""What a connection leaves behind, and who gets a turn."""

from __future__ import annotations

import gc
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress

import pytest

from genvd.web.connections import TIMEOUTS, Stage
from genvd.web.http_connection import HttpConnection
from genvd.web.response import Job, Response
from tests.load.bad import KINDS, Kind
from tests.support.shown import Shown, machine, serving
from tests.support.waiting import wait_for

LATE = Response(b"late")
GOOD = Kind("good", lambda: b"GET /-/healthy HTTP/1.1\r\nHost: h\r\n\r\n")


@pytest.fixture(scope="module")
def shown() -> Iterator[Shown]:
    with serving() as made:
        made.show(machine())
        yield made


def connect(shown: Shown) -> socket.socket:
    return socket.create_connection(("127.0.0.1", shown.port), timeout=20)


@pytest.mark.parametrize("kind", [*KINDS, GOOD], ids=lambda kind: kind.name)
def test_a_connection_that_has_ended_is_no_garbage(shown: Shown, kind: Kind) -> None:
    """The service looks for garbage rarely, and each connection has kilobytes of buffers."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            with connect(shown) as client:
                client.sendall(kind.first())
                if not kind.drip:
                    continue
                client.settimeout(0.05)
                with suppress(OSError):
                    client.recv(1024)
        wait_for(lambda: not [one for one in gc.get_objects() if isinstance(one, HttpConnection)], "all are gone", 20)
    finally:
        gc.enable()


def test_who_waits_for_a_long_rendering_gets_it(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 0.1

    def make() -> Response:
        time.sleep(3 * limit)
        return LATE

    monkeypatch.setitem(TIMEOUTS, Stage.SENDING, limit)
    monkeypatch.setattr(shown.site, "respond", lambda _: Job("slow", make))
    with connect(shown) as client:
        client.sendall(GOOD.first())
        assert client.recv(4096).endswith(LATE.body)


def test_who_asks_for_much_at_once_gets_no_more_turns_than_others(shown: Shown) -> None:
    with ExitStack() as stack:
        greedy = [stack.enter_context(closing(connect(shown))) for _ in range(8)]
        for client in greedy:
            client.sendall(GOOD.first() * 400)
        modest = stack.enter_context(closing(connect(shown)))
        modest.sendall(GOOD.first())
        assert modest.recv(4096).startswith(b"HTTP/1.1 200 ")
        greedy[0].setblocking(False)
        received = b""
        with suppress(BlockingIOError):
            while True:
                received += greedy[0].recv(65536)
        assert received.count(b"HTTP/1.1 200 ") < 400
