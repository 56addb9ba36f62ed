"""Closing a listening socket, whose place another one has taken, without losing a connection."""

from __future__ import annotations

import ctypes
import socket
import struct
from contextlib import suppress

_SO_ATTACH_FILTER = 26
"""Of asm-generic/socket.h; see socket(7)."""

_FLAGS_OFFSET, _SYN = 13, 0x02
"""Of the TCP header (RFC 9293, section 3.1)."""

# Classic BPF (linux/filter.h), which sees a segment from its TCP header on.
_REFUSE_SYN = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, _FLAGS_OFFSET),  # load the byte of the flags
        (0x45, 0, 1, _SYN),  # if SYN is not set, skip one
        (0x06, 0, 0, 0),  # drop
        (0x06, 0, 0, 0xFFFFFFFF),  # take all of it
    )
)
_INSTRUCTIONS = 4


def refuse_new(listener: socket.socket) -> None:
    """Have the kernel drop new connections to the socket; those that are being made still arrive.

    A client whose first segment was dropped sends it again after a second, and then it reaches the other socket.
    Closing at once would reset whoever is just connecting.
    """
    program = ctypes.create_string_buffer(_REFUSE_SYN, len(_REFUSE_SYN))
    with suppress(OSError):  # then somebody may be reset, which is what closing did anyway
        listener.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", _INSTRUCTIONS, ctypes.addressof(program))
        )
