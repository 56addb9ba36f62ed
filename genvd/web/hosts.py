"""Which names in a request mean this machine: what keeps a page of another site from reading ours by DNS rebinding.

Such an attacker has a browser ask this server by a name of the attacker's own, so what tells him is the Host field.
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

_HOST = re.compile(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::[0-9]*)?")


class Hosts:
    """The names that are ours. Numeric addresses are always: nobody rebinds those."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """Take names that count beside localhost and those of the machine."""
        own = socket.gethostname()
        self._names = {"localhost", *map(_plain, (own, own.partition(".")[0], *names))}
        # What the machine's full name is may be in the DNS, and that may take its time: never during a request.
        threading.Thread(target=self._add_full_name, args=(own,), name="full name", daemon=True).start()

    def _add_full_name(self, own: str) -> None:
        with suppress(OSError, UnicodeError):
            for *_, name, _ in socket.getaddrinfo(own, None, flags=socket.AI_CANONNAME):
                if name and "." in name and not _is_address(name):
                    self._names = self._names | {_plain(name)}

    def include(self, host: str | None) -> bool:
        """Tell whether a Host field, with a port or without, names this machine; none at all comes from no browser."""
        if host is None:
            return True
        match = _HOST.fullmatch(host.strip())
        if not match:
            return False
        name = match[1] if match[1] is not None else match[2]
        return _is_address(name) or _plain(name) in self._names


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True
