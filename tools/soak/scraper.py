"""Clients of a soak: one of each kind in turn, good ones and some that go without a word."""

from __future__ import annotations

import http.client
import socket

_GOOD: tuple[tuple[str, dict[str, str]], ...] = (
    ("/metrics", {}),
    ("/metrics", {"Accept": "application/openmetrics-text", "Accept-Encoding": "gzip"}),
    ("/api/v1/snapshot", {}),
    ("/", {}),
)


class Scraper:
    """Asks one server."""

    def __init__(self, port: int) -> None:
        self.requests = 0
        self._port = port

    def all_kinds(self) -> None:
        """Ask for everything that there is, and be rude."""
        for path, headers in _GOOD:
            self._ask(path, headers)
        for words in (b"", b"GET /metrics HTTP/1.1\r\n", b"\x16\x03\x01 no HTTP\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", self._port), timeout=20) as rude:
                rude.sendall(words)

    def _ask(self, path: str, headers: dict[str, str]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status != 200 or not body:
            raise RuntimeError(f"{path}: status {response.status}, {len(body)} bytes")
        self.requests += 1
