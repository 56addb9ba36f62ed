"""Names of this machine: the meaning of localhost, and the names that a request may have in its Host field.

With DNS rebinding, a page of another site could read ours: its owner lets a name of that site resolve to this machine,
so that the browser asks this server. Therefore only names of this machine are accepted.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LOCALHOST = "localhost"

LOOPBACK = ("127.0.0.1", "::1")
"""The addresses of localhost, whatever the name resolves to (RFC 6761, section 6.3)."""

_MAX_HOST_CHARACTERS = 300
"""A name has at most 253 characters (RFC 1035, section 2.3.4); an address with its zone and port is shorter."""

_HOST = re.compile(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::[0-9]*)?")


class HostNames:
    """The accepted names. Numeric addresses are always accepted, as DNS rebinding needs a name."""

    def __init__(self) -> None:
        self._allowed = _own_names()
        self._full_names: frozenset[str] = frozenset()

    def set_configured(self, names: Iterable[str]) -> None:
        """Accept these names in addition to localhost and the names of the machine. They replace earlier ones."""
        self._allowed = _own_names() | set(map(_normalize, names))
        # A DNS server may have the full name of the machine and may be slow, so a request must not wait for it.
        with suppress(RuntimeError):  # no further thread is possible; the previous name stays
            threading.Thread(target=self._look_up_full_names, name="full name", daemon=True).start()

    def _look_up_full_names(self) -> None:
        """Look up the full name of the machine. The previous one stays until there is an answer."""
        with suppress(OSError, UnicodeError):
            found = {name for *_, name, _ in socket.getaddrinfo(socket.gethostname(), None, flags=socket.AI_CANONNAME)}
            full = frozenset(_normalize(name) for name in found if "." in name and not _is_address(name))
            self._full_names = full or self._full_names

    def allows(self, host: str | None) -> bool:
        """Return whether a Host field, with or without a port, is accepted.

        A missing field (None) is accepted, because such a request does not come from a browser.
        """
        if host is None:
            return True
        match = _HOST.fullmatch(host.strip(" \t")) if len(host) <= _MAX_HOST_CHARACTERS else None
        if not match:
            return False
        name = match[1] if match[1] is not None else match[2]
        return _is_address(name) or _normalize(name) in self._allowed | self._full_names


def _own_names() -> frozenset[str]:
    own = socket.gethostname()
    return frozenset({LOCALHOST, _normalize(own), _normalize(own.partition(".")[0])})


def _normalize(name: str) -> str:
    return name.lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def is_localhost(name: str) -> bool:
    """Return whether a host name is localhost."""
    return _normalize(name) == LOCALHOST


def resolved_localhost() -> frozenset[str]:
    """Return the numeric addresses that localhost resolves to here; empty if it does not resolve."""
    with suppress(OSError, UnicodeError):
        return frozenset(
            str(address[0]) for *_, address in socket.getaddrinfo(LOCALHOST, None, type=socket.SOCK_STREAM)
        )
    return frozenset()
