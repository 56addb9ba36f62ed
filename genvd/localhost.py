"""The name localhost: what it means, and what this machine resolves it to."""

from __future__ import annotations

import socket
from contextlib import suppress

LOCALHOST = "localhost"

LOOPBACK = ("127.0.0.1", "::1")
"""What localhost means here, whatever it resolves to: RFC 6761, section 6.3."""


def is_localhost(name: str) -> bool:
    """Tell whether a host name means this machine."""
    return name.lower().removesuffix(".") == LOCALHOST


def resolved_localhost() -> frozenset[str]:
    """Return the numeric addresses that localhost resolves to on this machine; none if it does not resolve."""
    with suppress(OSError, UnicodeError):
        return frozenset(str(where[0]) for *_, where in socket.getaddrinfo(LOCALHOST, None, type=socket.SOCK_STREAM))
    return frozenset()
