"""The open connections: so many and no more, and who has to go when there is no room."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Connection:
    """One client."""

    socket: socket.socket
    answered: bool = False
    """It got an answer and has not asked again yet, so nobody is let down when it is closed."""
    since: float = 0.0
    """When it came into this state, of :func:`time.monotonic`."""

    def waits(self) -> None:
        """Note that the client got its answer."""
        self.answered, self.since = True, time.monotonic()

    def asks(self) -> None:
        """Note that the client has asked for something."""
        self.answered, self.since = False, time.monotonic()


class Connections:
    """All open connections.

    When there are too many, the one that has waited longest goes, those that nobody lets down first. So whoever opens
    connections and leaves them lying about shuts out himself before anybody who uses his.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: set[Connection] = set()
        self._changed = threading.Condition()

    def add(self, accepted: socket.socket) -> Connection:
        """Take a new connection in; close another one if there is no room."""
        connection = Connection(accepted, since=time.monotonic())
        with self._changed:
            if len(self._open) >= self._most:
                self._evict()
            self._open.add(connection)
        return connection

    def make_room(self) -> bool:
        """Close a connection because descriptors are used up; tell whether there was one."""
        with self._changed:
            if self._open:
                self._evict()
                return True
        return False

    def _evict(self) -> None:
        victim = min(self._open, key=lambda other: (not other.answered, other.since))
        self._open.discard(victim)
        _shut(victim.socket)

    def remove(self, connection: Connection) -> None:
        """Forget a connection and close its socket."""
        with self._changed:
            self._open.discard(connection)
            self._changed.notify_all()
        _shut(connection.socket)
        connection.socket.close()

    def close(self, seconds: float) -> None:
        """Close all; those that wait for an answer get so many seconds to have it."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while any(not connection.answered for connection in self._open):
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    break
            for connection in self._open:
                _shut(connection.socket)

    def changed(self) -> None:
        """Have :meth:`close` look again: a connection got its answer."""
        with self._changed:
            self._changed.notify_all()


def _shut(connected: socket.socket) -> None:
    """End both directions: whoever reads or writes in another thread finds the end."""
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)
