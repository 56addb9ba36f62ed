"""Names of this machine: what localhost means, and which names a request may have in its Host field.

A page of another site can read ours by DNS rebinding: its owner has a browser ask this server by a name of his own. So
only names that are ours are served.
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

_MAX_HOST_CHARACTERS = 300
"""A name has at most 253 (RFC 1035, section 2.3.4), and an address with its zone and the port are shorter."""


_HOST = re.compile(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::[0-9]*)?")


class HostNames:
    """The names that are ours. Numeric addresses are always: nobody rebinds those."""

    def __init__(self) -> None:
        self._allowed = _own_names()
        self._full_names: frozenset[str] = frozenset()

    def set_configured(self, names: Iterable[str]) -> None:
        """Take these names beside localhost and those of the machine, in place of those that were given before."""
        self._allowed = _own_names() | set(map(_plain, names))
        # What the machine's full name is may be in the DNS, and that may take its time: never during a request.
        with suppress(RuntimeError):  # there can be no more threads; then the name of before stands
            threading.Thread(target=self._look_up_full_names, name="full name", daemon=True).start()

    def _look_up_full_names(self) -> None:
        """Find the full name; that of before stands as long as there is no answer."""
        with suppress(OSError, UnicodeError):
            found = {name for *_, name, _ in socket.getaddrinfo(socket.gethostname(), None, flags=socket.AI_CANONNAME)}
            full = frozenset(_plain(name) for name in found if "." in name and not _is_address(name))
            self._full_names = full or self._full_names

    def allows(self, host: str | None) -> bool:
        """Tell whether a Host field, with a port or without, names this machine; none at all comes from no browser."""
        if host is None:
            return True
        match = _HOST.fullmatch(host.strip(" \t")) if len(host) <= _MAX_HOST_CHARACTERS else None
        if not match:
            return False
        name = match[1] if match[1] is not None else match[2]
        return _is_address(name) or _plain(name) in self._allowed | self._full_names


def _own_names() -> frozenset[str]:
    own = socket.gethostname()
    return frozenset({"localhost", _plain(own), _plain(own.partition(".")[0])})


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


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
