"""The listening sockets in systemd's file descriptor store, which keeps them open while the service restarts."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from genvd.web.listening import STORED_PREFIX, ListenSockets, listen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from genvd.service.systemd import SystemdNotifier


class SocketStore:
    """Stores the listening sockets (FileDescriptorStoreMax= of systemd.service(5)).

    Until the next process takes them up, clients wait in them, and no other program can listen on the port.
    """

    def __init__(self, systemd: SystemdNotifier, passed: Iterable[tuple[str, int]]) -> None:
        """Find the stored sockets among the descriptors that systemd passed to this process; close invalid ones.

        Args:
            systemd: the connection to systemd.
            passed: name and number of each descriptor. Those with other names are ignored.
        """
        self._systemd = systemd
        self._stored: set[str] = set()
        found: list[socket.socket] = []
        invalid: set[str] = set()
        for name, descriptor in passed:
            if not name.startswith(STORED_PREFIX):
                continue
            if (sock := _listening_socket(descriptor)) is None:
                os.close(descriptor)
                invalid.add(name)
            elif name != _name(sock) or name in self._stored:
                sock.close()
                invalid.add(name)
            else:
                found.append(sock)
                self._stored.add(name)
        for name in invalid:
            self._remove(name)
        self._found = ListenSockets("", tuple(found)) if found else None

    @property
    def holds_clients(self) -> bool:
        """Whether clients may wait in sockets of the previous process."""
        return self._found is not None

    def listen(self, name: str, port: int) -> ListenSockets:
        """Open listening sockets as :func:`genvd.web.listening.listen` does. Stored ones are used again.

        Raises:
            ListenError: the machine does not have the address, or the port is in use or not permitted.
        """
        if self._found is None:
            return listen(name, port)
        with self._found.allow_reuse():
            sockets = listen(name, port, self._found)
        self._found.close()  # the sockets that are used again are duplicates
        return sockets

    def keep(self, sockets: Sequence[socket.socket]) -> None:
        """Store these sockets, and remove all others from the store."""
        wanted = {_name(sock): sock for sock in sockets}
        for name in self._stored - wanted.keys():
            self._remove(name)
        for name in wanted.keys() - self._stored:
            self._systemd.store_descriptor(name, wanted[name].fileno())
            self._stored.add(name)

    def _remove(self, name: str) -> None:
        self._systemd.remove_descriptors(name)
        self._stored.discard(name)


def _listening_socket(descriptor: int) -> socket.socket | None:
    """Return the socket if the descriptor is a TCP socket that listens; else None."""
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError:
        return None
    tcp = sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type == socket.SOCK_STREAM
    if tcp and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return sock
    sock.detach()
    return None


def _name(sock: socket.socket) -> str:
    """Return the name of a socket in the store: its address and port. It must not contain a colon (sd_notify(3))."""
    address, port, *_ = sock.getsockname()
    return f"{STORED_PREFIX}{address.replace(':', '_')}-{port}"
