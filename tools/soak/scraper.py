"""HTTP clients of the soak test: valid requests, and connections that break off."""

from __future__ import annotations

import http.client
import socket

_REQUESTS: tuple[tuple[str, dict[str, str]], ...] = (
    ("/metrics", {}),
    ("/metrics", {"Accept": "application/openmetrics-text", "Accept-Encoding": "gzip"}),
    ("/api/v1/snapshot", {}),
    ("/", {}),
)


class Scraper:
    """Sends requests to one server."""

    def __init__(self, port: int) -> None:
        self.requests = 0
        self._port = port

    def send_all(self) -> None:
        """Send one request of each kind, valid and broken."""
        for path, headers in _REQUESTS:
            self._get(path, headers)
        for data in (b"", b"GET /metrics HTTP/1.1\r\n", b"\x16\x03\x01 no HTTP\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", self._port), timeout=20) as connection:
                connection.sendall(data)

    def _get(self, path: str, headers: dict[str, str]) -> None:
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
