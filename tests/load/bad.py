"""Clients that mean no good: each kind holds connections open in its own way, and comes again when it is shut out."""

from __future__ import annotations

import random
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

_CHUNK = 65536


@cache
def client_hello() -> bytes:
    """Return a flawless beginning of TLS."""
    context, sent = ssl.create_default_context(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost").do_handshake()
    return sent.read()


@dataclass(frozen=True)
class Kind:
    """A way to be a nuisance."""

    name: str
    first: Callable[[], bytes]
    """What is sent at once."""
    drip: bytes = b""
    """What is sent every second from then on."""
    reads: bool = True
    """Whether it takes what the server sends."""
    stays: float = float("inf")
    """Seconds after which it hangs up and connects again."""


KINDS = (
    Kind("silent", lambda: b""),
    Kind("slow loris", lambda: b"GET /metrics HTTP/1.1\r\nHost: h\r\nX-A: ", drip=b"b"),
    Kind("never reads", lambda: b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n" * 500, drip=b"G", reads=False),
    Kind("garbage", lambda: random.randbytes(300), drip=b"\0"),
    Kind("TLS garbage", lambda: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + random.randbytes(200), drip=b"\x16"),
    Kind("huge header", lambda: b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 15_000, drip=b"a"),
    Kind("comes and goes", lambda: b"GET", stays=0.5),
    Kind("slow TLS", lambda: b"\x16", drip=b"\x03"),
    Kind("TLS that stops", client_hello),
)


class Bad(threading.Thread):
    """So many bad connections, open all the time, in one thread."""

    def __init__(self, address: tuple[str, int], connections: int) -> None:
        super().__init__(name="bad", daemon=True)
        self._address = address
        self._wanted = connections
        self._selector = selectors.DefaultSelector()
        self._since: dict[socket.socket, tuple[Kind, float]] = {}
        self._ended = False
        self.all_open = threading.Event()
        """Set once all connections are there."""
        self.made = 0
        """Connections that were made, those again included."""

    def run(self) -> None:
        """Be a nuisance until the end."""
        next_drip = 0.0
        while not self._ended:
            for _ in range(min(100, self._wanted - len(self._since))):
                self._connect(KINDS[self.made % len(KINDS)])
            if len(self._since) >= self._wanted:
                self.all_open.set()
            for key, _ in self._selector.select(0.02):
                self._take(key.data)
            if time.monotonic() > next_drip:
                next_drip = time.monotonic() + 1
                self._drip()
        for connection in list(self._since):
            self._drop(connection)

    def end(self) -> None:
        """Hang up everywhere."""
        self._ended = True
        self.join()

    def _connect(self, kind: Kind) -> None:
        connection = socket.socket()
        try:
            connection.settimeout(5)
            connection.connect(self._address)
            connection.setblocking(False)
            with suppress(BlockingIOError):
                connection.send(kind.first())
        except OSError:
            connection.close()
            return
        self.made += 1
        self._since[connection] = (kind, time.monotonic())
        if kind.reads:
            self._selector.register(connection, selectors.EVENT_READ, connection)

    def _take(self, connection: socket.socket) -> None:
        try:
            came = connection.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            came = b""
        if not came:
            self._drop(connection)

    def _drip(self) -> None:
        now = time.monotonic()
        for connection, (kind, since) in list(self._since.items()):
            if now - since > kind.stays:
                self._drop(connection)
                continue
            try:
                if kind.drip:
                    connection.send(kind.drip)
            except BlockingIOError:
                pass
            except OSError:
                self._drop(connection)

    def _drop(self, connection: socket.socket) -> None:
        kind, _ = self._since.pop(connection)
        if kind.reads:
            self._selector.unregister(connection)
        connection.close()
