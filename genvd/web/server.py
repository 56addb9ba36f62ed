"""The HTTP server: sockets, connections and the protocol."""

from __future__ import annotations

import errno
import logging
import os
import selectors
import socket
import socketserver
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from genvd import __version__
from genvd.waker import Waker
from genvd.web.site import Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from genvd.web.site import Site

log = logging.getLogger(__name__)

IDLE_SECONDS = 75
"""How long a connection may be silent; longer than the usual scrape interval, so that it is used again."""

MAX_CONNECTIONS = 256

_METHODS = ("GET", "HEAD")


class ListenError(Exception):
    """The server cannot listen. The text is one line: the thing, the reason, the way out."""


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Serves a site on one address, each connection in a thread of its own, in bounded number."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, site: Site, address: str, port: int) -> None:
        """Listen.

        Args:
            site: what to serve.
            address: a name or a numeric address, IPv4 or IPv6.
            port: 0 for one that is free.

        Raises:
            ListenError: the address is not one of this machine, or the port is taken or not allowed.
        """
        self.site = site
        self._waker = Waker()
        self._closing = False
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        try:
            found = socket.getaddrinfo(address or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            self.address_family = found[0][0]
            super().__init__(found[0][4][:2], Handler)  # type: ignore[arg-type]
        except OSError as error:
            raise ListenError(_why_not(address, port, error)) from None

    @property
    def port(self) -> int:
        """The port that is served."""
        return int(self.socket.getsockname()[1])

    def start(self) -> None:
        """Begin to serve, in a thread of its own."""
        threading.Thread(target=self._serve, name="http", daemon=True).start()

    def stop(self) -> None:
        """Take no further connections; those that are open go on until their request is answered."""
        self._closing = True
        self._waker.wake()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self.socket, selectors.EVENT_READ)
            selector.register(self._waker, selectors.EVENT_READ)
            while not self._closing:
                selector.select()  # without a timeout: an idle monitor does not wake up
                if not self._closing:
                    self._handle_request_noblock()  # type: ignore[attr-defined]
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread, or refuse it when there are too many."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no further thread can be started
            self._places.release()
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection, and make its place free afterwards."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what went wrong on a connection; a client that goes away is not worth a line."""
        log.debug("connection from %s ended", client_address[0], exc_info=True)


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(code)d %(message)s\n"
    server: Server

    def do_GET(self) -> None:
        """Answer with the page."""
        self._send(self.server.site.respond(self.path.split("?", 1)[0], self.headers))

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
        log.debug("%s: %s", self.address_string(), format % args)


def _why_not(address: str, port: int, error: OSError) -> str:
    where = f"cannot listen on {address or '*'} port {port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where}: another program does; stop it, or choose another port with --port"
    if error.errno == errno.EACCES:
        return f"{where}: not permitted to this user; choose a port of 1024 or above with --port"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"{where}: that is no address of this machine; choose another one with --address"
    return f"{where}: {os.strerror(error.errno) if error.errno else error}; choose another with --address and --port"
