"""The HTTP server: the listening socket, and a thread for each connection, in bounded number."""

from __future__ import annotations

import errno
import logging
import os
import select
import selectors
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from genvd.waker import Waker
from genvd.web.connections import Connections
from genvd.web.handing_over import refuse_new
from genvd.web.handler import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genvd.web.site import Site

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 256

_BACKLOG = 1024
_GRACE_SECONDS = 0.5
"""For requests that are being answered when the server stops."""
_ARRIVAL_SECONDS = 0.05
"""Within which a connection that is being made arrives."""
_PAUSE_SECONDS = 0.1
"""When no connection can be accepted, because there are no more descriptors or threads."""


class ListenError(Exception):
    """The server cannot listen. The text is one line: the thing, the reason, the way out."""


class Server:
    """Serves a site on a listening socket."""

    def __init__(self, site: Site, listener: socket.socket) -> None:
        self._site = site
        self._listener = listener
        self._listener.setblocking(False)
        self._connections = Connections(MAX_CONNECTIONS)
        self._waker = Waker()
        self._stopping = False
        self._thread = threading.Thread(target=self._accept_all, name="http", daemon=True)

    @property
    def port(self) -> int:
        """The port that is served."""
        return int(self._listener.getsockname()[1])

    def start(self) -> None:
        """Begin to serve, in a thread of its own."""
        self._thread.start()

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Let this process listen on the same port on a wider or narrower address meanwhile."""
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            yield
        finally:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)

    @property
    def started(self) -> bool:
        """Whether it was started."""
        return self._thread.ident is not None

    def stop(self, *, take_queued: bool) -> None:
        """Take no further connections, answer what was asked already, and close.

        Args:
            take_queued: answer also who has connected and was not accepted yet; not so where the socket lives on and
                somebody else will accept them.
        """
        self._stopping = True
        self._waker.wake()
        if self.started:
            self._thread.join()
        if take_queued:
            self._take_queued()
        self._listener.close()
        self._connections.close(_GRACE_SECONDS)

    def _take_queued(self) -> None:
        refuse_new(self._listener)
        arrivals = select.poll()
        arrivals.register(self._listener, select.POLLIN)
        deadline = time.monotonic() + _GRACE_SECONDS  # whoever connects again and again must not keep this going
        while time.monotonic() < deadline and arrivals.poll(_ARRIVAL_SECONDS * 1000) and self._accept():
            pass

    def _accept_all(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._waker, selectors.EVENT_READ)
            while not self._stopping:
                selector.select()  # without a timeout: an idle server does not wake up
                self._accept()

    def _accept(self) -> bool:
        try:
            accepted, address = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        except OSError as error:
            log.debug("no connection can be accepted: %s", error)
            self._connections.make_room()
            self._pause()
            return False
        connection = self._connections.add(accepted)
        arguments = (self._site, self._connections, connection, address)
        try:
            threading.Thread(target=serve, args=arguments, name="connection", daemon=True).start()
        except RuntimeError as error:
            log.debug("no connection can be served: %s", error)
            self._connections.remove(connection)
            self._pause()
            return False
        return True

    def _pause(self) -> None:
        if self._waker.wait(_PAUSE_SECONDS):
            self._waker.wake()


def listen(address: str, port: int, *, beside: bool = False) -> socket.socket:
    """Return a listening socket.

    Args:
        address: a name or a numeric address, IPv4 or IPv6.
        port: 0 for one that is free.
        beside: whether another server of this process, which allows it, may have the port already.

    Raises:
        ListenError: the address is not one of this machine, or the port is taken or not allowed.
    """
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, where = found[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, beside)
            listener.bind(where)
            listener.listen(_BACKLOG)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
        except OSError:
            listener.close()
            raise
    except (OSError, UnicodeError) as error:
        raise ListenError(_why_not(address, port, error)) from None
    return listener


def _why_not(address: str, port: int, error: Exception) -> str:
    where = f"cannot listen on {address} port {port}"
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, socket.gaierror | UnicodeError) or number == errno.EADDRNOTAVAIL:
        return f"{where}: that is no address of this machine; choose another one with --address or listen.address"
    if number == errno.EADDRINUSE:
        return f"{where}: another program does; stop it, or choose another port with --port or listen.port"
    if number == errno.EACCES:
        return f"{where}: not permitted to this user; choose a port of 1024 or above with --port or listen.port"
    reason = os.strerror(number) if number else str(error)
    return f"{where}: {reason}; choose another with --address and --port, or in listen"
