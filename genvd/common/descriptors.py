"""Descriptors that systemd passes to a program, and that it stores for the next process of a service.

See sd_listen_fds(3) and FileDescriptorStoreMax= of systemd.service(5).
"""

from __future__ import annotations

import os
import re
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_FIRST_DESCRIPTOR = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""


def passed_descriptors() -> list[tuple[str, int]]:
    """Return name and number of each descriptor that systemd passed to this process (sd_listen_fds_with_names(3)).

    They are sockets of a socket unit, and descriptors that a previous process of this service has stored.
    """
    number = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not re.fullmatch("[0-9]{1,4}", number):
        return []
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    if len(names) != int(number):
        names = ["unknown"] * int(number)
    return [(name, _FIRST_DESCRIPTOR + index) for index, name in enumerate(names)]


def store_descriptors(notify_socket: socket.socket | None, name: str, descriptors: Sequence[int]) -> None:
    """Give systemd duplicates of descriptors, to be passed to the next process under this name.

    A unit without FileDescriptorStoreMax= ignores it.

    Args:
        notify_socket: the connection to systemd (sd_notify(3)); None if it did not start this process.
        name: the name. It must not contain a colon.
        descriptors: their numbers.
    """
    if notify_socket is not None:
        with suppress(OSError):  # as for all notifications
            socket.send_fds(notify_socket, [f"FDSTORE=1\nFDNAME={name}".encode()], descriptors)
