"""The HTTP server: where it listens, and what the rest of the program does with it."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from genvd.web.loop import Loop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genvd.web.security import Security
    from genvd.web.site import Site

_BACKLOG = 1024


class ListenError(Exception):
    """The server cannot listen. The text is one line: the thing, the reason, the way out."""


class Server:
    """Serves a site on a listening socket."""

    def __init__(self, site: Site, security: Security, listener: socket.socket) -> None:
        self._listener = listener
        self._loop = Loop(site, security, listener)

    @property
    def port(self) -> int:
        """The port that is served."""
        return int(self._listener.getsockname()[1])

    def start(self) -> None:
        """Begin to serve, in a thread of its own."""
        self._loop.start()

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
        return self._loop.started

    def stop(self, *, take_queued: bool) -> None:
        """Take no further connections, answer what was asked already, and close.

        Args:
            take_queued: answer also who has connected and was not accepted yet; not so where the socket lives on and
                somebody else will accept them.
        """
        if not self.started:
            if not take_queued:
                self._listener.close()
                return
            self.start()
        self._loop.stop(take_queued=take_queued)


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
