"""The listening sockets of a server: on one address, or for localhost on both loopback addresses."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from genvd.common.host_names import LOCALHOST, LOOPBACK, is_localhost
from genvd.common.output import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BACKLOG = 1024

STORED_PREFIX = "listen-"
"""Begins the names of the sockets that a previous process of this service has stored in systemd."""

_WILDCARDS = frozenset({"0.0.0.0", "::"})

_PORTS_TRIED = 16
"""Attempts to find a port that is free on both loopback addresses."""

_NO_SUCH_ADDRESS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""The machine does not have the address: IPv6 is disabled, or not in the kernel."""


class ListenError(CommandError):
    """The server cannot listen on the address."""

    @property
    def reason(self) -> str:
        """What failed and why, without what to do."""
        return str(self).partition(";")[0]


class ListenSockets(NamedTuple):
    """The listening sockets of one server, at least one. All have the same port."""

    name: str
    """The address from the configuration."""
    sockets: tuple[socket.socket, ...]
    taken: tuple[str, ...] = ()
    """Loopback addresses that are not served because another program listens there."""
    unavailable: tuple[str, ...] = ()
    """Loopback addresses that are not served because the machine does not have them."""
    carried_over: tuple[socket.socket, ...] = ()
    """Sockets of the previous server, on addresses that one of ``sockets`` includes. The kernel prefers them for new
    connections, and closing them would reset connections that are being established, so they are served too."""

    @property
    def port(self) -> int:
        """The port of the sockets."""
        return int(self.sockets[0].getsockname()[1])

    @property
    def addresses(self) -> tuple[str, ...]:
        """The numeric addresses that are served."""
        return tuple(str(sock.getsockname()[0]) for sock in self.sockets)

    @property
    def all(self) -> tuple[socket.socket, ...]:
        """All sockets, with those that were carried over."""
        return self.sockets + self.carried_over

    def missing_address_available(self) -> bool:
        """Return whether the machine now has an address that was unavailable. Takes two system calls for each."""
        return any(_is_local_address(address) for address in self.unavailable)

    def same_addresses(self, other: ListenSockets) -> bool:
        """Return whether the addresses that are served, taken and unavailable are the same."""
        return (self.addresses, self.taken, self.unavailable) == (other.addresses, other.taken, other.unavailable)

    def find(self, address: tuple[object, ...]) -> socket.socket | None:
        """Return the socket that is bound to this socket address, if any."""
        return next((sock for sock in self.all if sock.getsockname() == address), None)

    @contextmanager
    def allow_reuse(self) -> Iterator[None]:
        """Allow this process to bind the same port on a wildcard or specific address within the context."""
        self._set_reuse_port(1)
        try:
            yield
        finally:
            self._set_reuse_port(0)

    def _set_reuse_port(self, value: int) -> None:
        for sock in self.all:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, value)

    def close(self) -> None:
        """Close all sockets."""
        for sock in self.all:
            sock.close()


def _is_local_address(address: str) -> bool:
    """Return whether the machine has an address, by binding an ephemeral port on it."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def wrap_inherited(passed: Iterable[tuple[str, int]]) -> ListenSockets | None:
    """Return the IP sockets of a socket unit; None if there are none.

    Args:
        passed: name and number of each descriptor that systemd passed to this process.
    """
    sockets = [socket.socket(fileno=number) for name, number in passed if not name.startswith(STORED_PREFIX)]
    found = tuple(sock for sock in sockets if sock.family in (socket.AF_INET, socket.AF_INET6))
    if not found:
        return None
    addresses = [str(sock.getsockname()[0]) for sock in found]
    return ListenSockets(LOCALHOST if set(LOOPBACK) <= set(addresses) else addresses[0], found)


def listen(name: str, port: int, existing: ListenSockets | None = None) -> ListenSockets:
    """Open listening sockets.

    Args:
        name: a host name or an IPv4 or IPv6 address; localhost for both loopback addresses, of which one must be free.
        port: the port; 0 for any free one.
        existing: the current sockets of this process. Those with the same address and port are used again, with the
            connections that wait in them.

    Raises:
        ListenError: the machine does not have the address, or the port is in use or not permitted.
    """
    if not is_localhost(name):
        opened = _listen_on(name, name, port, existing)
        return ListenSockets(name, (opened,), carried_over=_covered_sockets(opened, existing) if existing else ())
    for _ in range(_PORTS_TRIED if port == 0 else 1):
        found = _listen_on_loopback(name, port, existing)
        if not found.taken or port:
            break
        found.close()
    else:
        found = _listen_on_loopback(name, port, existing)
    return found


def _covered_sockets(wildcard: socket.socket, previous: ListenSockets) -> tuple[socket.socket, ...]:
    """Return duplicates of the previous sockets whose address and port a wildcard socket includes."""
    address, port, *_ = wildcard.getsockname()
    if address not in _WILDCARDS:
        return ()
    families = {wildcard.family}
    if wildcard.family == socket.AF_INET6 and not wildcard.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        families.add(socket.AF_INET)
    addresses = [sock.getsockname() for sock in previous.all]
    return tuple(
        sock.dup()
        for sock, (host, its_port, *_) in zip(previous.all, addresses, strict=True)
        if sock.family in families and its_port == port and host not in _WILDCARDS
    )


def _listen_on_loopback(name: str, port: int, existing: ListenSockets | None) -> ListenSockets:
    """Return sockets on both loopback addresses, or on the one that is available."""
    found: list[socket.socket] = []
    problems: dict[str, ListenError] = {}
    taken, unavailable = [], []
    for address in LOOPBACK:
        try:
            found.append(_listen_on(name, address, port, existing))
            port = int(found[0].getsockname()[1])
        except ListenError as error:
            number = error.__cause__.errno if isinstance(error.__cause__, OSError) else None
            if number == errno.EADDRINUSE:
                taken.append(address)
            elif number in _NO_SUCH_ADDRESS:
                unavailable.append(address)
            else:
                ListenSockets(name, tuple(found)).close()
                raise
            problems[address] = error
    if not found:
        raise problems[(taken or unavailable)[0]]
    return ListenSockets(name, tuple(found), tuple(taken), tuple(unavailable))


def _listen_on(name: str, address: str, port: int, existing: ListenSockets | None) -> socket.socket:
    """Return a listening socket: a duplicate of an existing one with this address, or a new one."""
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, socket_address = found[0]
        if existing and (same := existing.find(socket_address)):
            return same.dup()
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, existing is not None)
            listener.bind(socket_address)
            listener.listen(_BACKLOG)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
        except OSError:
            listener.close()
            raise
    except (OSError, UnicodeError) as error:
        raise ListenError(_describe(name, port, error)) from error
    return listener


def _describe(address: str, port: int, error: Exception) -> str:
    where = f"cannot listen on {address} port {port}"
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, socket.gaierror | UnicodeError) or number == errno.EADDRNOTAVAIL:
        return f"{where}: that is not an address of this machine; choose another one with --address or listen.address"
    if number == errno.EADDRINUSE:
        return f"{where}: another program uses it; stop it, or choose another port with --port or listen.port"
    if number == errno.EACCES:
        return f"{where}: not permitted to this user; choose a port of 1024 or above with --port or listen.port"
    reason = os.strerror(number) if number else str(error)
    return f"{where}: {reason}; choose another with --address and --port, or in listen"
