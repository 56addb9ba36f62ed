"""The HTTP protocol on one connection."""

from __future__ import annotations

import logging
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from genvd import __version__
from genvd.text import clean
from genvd.web.site import Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from genvd.web.connections import Connection, Connections
    from genvd.web.site import Site

log = logging.getLogger(__name__)

IDLE_SECONDS = 120
"""How long a connection may wait for its next request; longer than scrape intervals, so that it is used again."""

BUSY_SECONDS = 10
"""How long a client may take to send a request or to take the answer."""

_METHODS = ("GET", "HEAD")


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    timeout = BUSY_SECONDS
    disable_nagle_algorithm = True

    def __init__(self, site: Site, connections: Connections, connection: Connection, address: Any) -> None:
        """Serve the connection until it ends."""
        self._site = site
        self._connections = connections
        self._connection = connection
        super().__init__(connection.socket, address, None)  # type: ignore[arg-type]

    def parse_request(self) -> bool:
        """Read the header fields; the request line has come."""
        self._connection.asks()
        self.connection.settimeout(BUSY_SECONDS)
        if not super().parse_request():
            return False
        if self.headers.defects or any(name != name.strip() for name in self.headers):
            self.send_error(HTTPStatus.BAD_REQUEST)  # where such a request ends is anybody's guess
            return False
        options = ",".join(self.headers.get_all("Connection", [])).lower().split(",")
        if "close" in map(str.strip, options):
            self.close_connection = True
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no request, and close the connection."""
        self.close_connection = True
        status = HTTPStatus(code)
        body = f"{status.value} {status.phrase}\n".encode()
        self.wfile.write(self._head(Response(body, status=status)) + body)

    def do_GET(self) -> None:
        """Answer with the page."""
        self._send(self._site.respond(_path(self.path), self.headers))

    do_HEAD = do_GET  # noqa: N815 (the name that http.server looks for)

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Give any other method the same answer."""
        if name.startswith("do_"):
            return self._refuse_method
        raise AttributeError(name)

    def _refuse_method(self) -> None:
        allow = (("Allow", ", ".join(_METHODS)),)
        self._send(Response(b"Only GET and HEAD are served.\n", status=HTTPStatus.METHOD_NOT_ALLOWED, headers=allow))

    def _send(self, response: Response) -> None:
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # a body that nobody reads must not be taken for the next request
        body = b"" if self.command == "HEAD" else response.body
        self.wfile.write(self._head(response) + body)  # at once: a second packet costs a scrape as much again
        self.log_request(response.status, len(response.body))
        self._connection.waits()
        self._connections.changed()
        self.connection.settimeout(IDLE_SECONDS)

    def _head(self, response: Response) -> bytes:
        headers = (
            ("Server", self.version_string()),
            ("Date", self.date_time_string()),
            ("Content-Type", response.content_type),
            ("Content-Length", str(len(response.body))),
            ("X-Content-Type-Options", "nosniff"),
            *response.headers,
            *((("Connection", "close"),) if self.close_connection else ()),
        )
        status = HTTPStatus(response.status)
        lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in headers)]
        return "\r\n".join((*lines, "", "")).encode("latin-1")

    def version_string(self) -> str:
        """Return what is running, without the Python version, which is nobody's business."""
        return f"genv-monitor/{__version__}"

    def log_message(self, format: str, *args: Any) -> None:
        """Log a request; only on the lowest level, since scrapes come all the time."""
        log.debug("%s: %s", self.address_string(), clean(format % args))


def _path(target: str) -> str:
    """Return the path of a request target, which may be an absolute URL (RFC 9112, section 3.2.2)."""
    target = target.split("?", 1)[0]
    _, scheme_end, rest = target.partition("://")
    return "/" + rest.partition("/")[2] if scheme_end else target


def serve(site: Site, connections: Connections, connection: Connection, address: Any) -> None:
    """Answer the requests of one connection until it ends; a client that goes away is not worth a line in the log."""
    try:
        Handler(site, connections, connection, address)
    except (TimeoutError, OSError, ValueError):
        log.debug("connection from %s ended", address, exc_info=True)
    except Exception:
        log.exception("a request failed unexpectedly; please report this")
    finally:
        connections.remove(connection)
