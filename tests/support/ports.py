"""Ports for services that must be given one, because another program has to know it before they start."""

from __future__ import annotations

import random
import socket
from contextlib import suppress
from pathlib import Path

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_000
_ATTEMPTS = 1000


def _holding(port: int) -> socket.socket:
    """Listen on a port of all addresses, of both families where the machine has IPv6."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("0.0.0.0", port))


def free_port() -> int:
    """Return a TCP port on which nobody listens, and which the kernel gives to nobody who does not ask for it.

    A port that the kernel has just given us for port 0 is one that it may give to any other test or connection at the
    next moment. So this one is below that range (ip(7), ip_local_port_range).
    """
    highest = int(_EPHEMERAL.read_text().split()[0]) - 1
    ports = range(_LOWEST, highest) if highest > _LOWEST + _ATTEMPTS else range(40_000, 60_000)
    for _ in range(_ATTEMPTS):
        port = random.choice(ports)
        with suppress(OSError), _holding(port):
            return port
    raise AssertionError(f"no port of {ports} is free")
