"""Messages between the monitor and its helper: their length in four bytes, then that much JSON in UTF-8.

The length is sent with its most significant byte first. Both sides limit it, and the content.
"""

from __future__ import annotations

import json
import struct
import time
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import socket

_MAX_VALUES = 2_000_000
"""Limits the Python objects that a message becomes: ``[[],[],[]...]`` takes twenty times its length."""

_MAX_DIGITS = 20

_LENGTH = struct.Struct("!I")
_CHUNK_BYTES = 64 * 1024


class ProtocolError(Exception):
    """A message is not valid. The text says why, without any part of the message."""


def send(connection: socket.socket, message: object, max_bytes: int, deadline: float) -> None:
    """Send a message.

    Args:
        connection: a stream socket.
        message: what becomes JSON.
        max_bytes: the maximum length.
        deadline: when to give up, as a time of :func:`time.monotonic`.

    Raises:
        ProtocolError: the message is too long.
        OSError: the connection is broken, or the other side does not read in time.
    """
    content = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    if len(content) > max_bytes:
        raise ProtocolError(f"more than {max_bytes} bytes")
    connection.settimeout(max(0.001, deadline - time.monotonic()))
    connection.sendall(_LENGTH.pack(len(content)) + content)


def receive(connection: socket.socket, max_bytes: int, deadline: float) -> bytes:
    """Return the content of the next message, for :func:`parse`.

    Args:
        connection: a stream socket.
        max_bytes: the maximum length.
        deadline: when to give up, as a time of :func:`time.monotonic`.

    Raises:
        ProtocolError: it is too long.
        EOFError: the other side has closed the connection.
        OSError: the connection is broken, or the message does not arrive in time.
    """
    (length,) = _LENGTH.unpack(_receive_bytes(connection, _LENGTH.size, deadline))
    if length > max_bytes:
        raise ProtocolError(f"more than {max_bytes} bytes")
    return _receive_bytes(connection, length, deadline)


def _receive_bytes(connection: socket.socket, length: int, deadline: float) -> bytes:
    content = bytearray()
    while len(content) < length:  # grows with what arrives, not with what was announced
        if (left := deadline - time.monotonic()) <= 0:
            raise TimeoutError("timed out")
        connection.settimeout(left)
        chunk = connection.recv(min(length - len(content), _CHUNK_BYTES))
        if not chunk:
            raise EOFError
        content += chunk
    return bytes(content)


def parse(content: bytes) -> object:
    """Return what the JSON says. Duplicate keys, NaN, Infinity and numbers of many digits are not allowed.

    Raises:
        ProtocolError: it is not such JSON.
    """
    if sum(map(content.count, (b"[", b"{", b","))) > _MAX_VALUES:
        raise ProtocolError(f"more than {_MAX_VALUES} values")
    try:
        return json.loads(
            content.decode(), object_pairs_hook=_object, parse_int=_parse_integer, parse_constant=_refuse_constant
        )
    except RecursionError:
        raise ProtocolError("nested too deeply") from None
    except ValueError:
        raise ProtocolError("not JSON in UTF-8") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ProtocolError("duplicate keys")
    return found


def _parse_integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:  # converting them would take time that grows with the square
        raise ProtocolError("a number of many digits")
    return int(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise ProtocolError(f"{name} as a number")
