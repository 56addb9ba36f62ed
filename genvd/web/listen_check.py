"""Checks from another process whether a running monitor could listen on a new address, before it reloads."""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import Any

import psutil

from genvd.common.host_names import LOOPBACK, is_localhost
from genvd.web.listening import STORED_PREFIX, ListenError, listen

_WILDCARDS = frozenset({"0.0.0.0", "::"})


def find_listen_problem(pid: int, name: str, port: int) -> str | None:
    """Return why the monitor with this pid cannot listen on an address; None if it can, or if that cannot be checked.

    Addresses on which the monitor itself listens do not count as in use. A free port is bound for an instant.
    """
    try:
        if _has_socket_unit(Path(f"/proc/{pid}/environ").read_bytes()):  # which sets the address
            return None
        own = _listeners(_connections(psutil.Process(pid)), port)
    except (OSError, psutil.Error):
        return None
    try:
        listen(name, port).close()
    except ListenError as error:
        number = error.__cause__.errno if isinstance(error.__cause__, OSError) else None
        if (
            number == errno.EADDRINUSE
            and own
            and not _is_held(name, port, _listeners(psutil.net_connections("tcp"), port) - own)
        ):
            return None
        return str(error)
    return None


def _has_socket_unit(environment: bytes) -> bool:
    """Return whether systemd passed a socket to a process that no previous process has stored."""
    variables = dict(one.split(b"=", 1) for one in environment.split(b"\0") if b"=" in one)
    names = variables.get(b"LISTEN_FDNAMES", b"unknown").decode(errors="replace").split(":")
    return b"LISTEN_FDS" in variables and not all(name.startswith(STORED_PREFIX) for name in names)


def _connections(process: psutil.Process) -> Any:
    """Return the TCP sockets of a process. psutil 6.0 renamed the method."""
    method = getattr(process, "net_connections", None) or process.connections
    return method("tcp")


def _listeners(connections: Any, port: int) -> frozenset[str]:
    """Return the addresses of the listening sockets on a port."""
    listening = (
        connection for connection in connections if connection.status == psutil.CONN_LISTEN and connection.laddr
    )
    return frozenset(listener.laddr.ip for listener in listening if listener.laddr.port == port)


def _is_held(name: str, port: int, others: frozenset[str]) -> bool:
    """Return whether other listeners use all addresses of a host name. For localhost, one free address is enough."""
    wanted = LOOPBACK if is_localhost(name) else (_address_of(name, port),)
    return all(bool(others) if address in _WILDCARDS else bool(others & {address, *_WILDCARDS}) for address in wanted)


def _address_of(name: str, port: int) -> str:
    return str(socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][4][0])
