"""The bytes of a connection, as they are or through TLS. Nothing here ever waits."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genvd.web.tls import Tls, TlsSession

CHUNK = 16 * 1024
"""Bytes that are read at once; also the most that a TLS record holds (RFC 8446, section 5.1)."""


class Transport(Protocol):
    """Sends and receives as much as goes without waiting."""

    def receive(self) -> bytes | None:
        """Return what came, at most :data:`CHUNK` bytes; None if there is nothing yet, nothing if that was the end.

        Raises:
            OSError: the connection is of no more use.
        """

    def pieces(self, head: bytes, body: bytes) -> list[memoryview]:
        """Return an answer in the pieces in which it is to be sent. The body is not copied."""

    def send(self, pieces: Sequence[memoryview]) -> int:
        """Send the beginning of what is left; return how many bytes went, 0 if none can go yet.

        Raises:
            OSError: the connection is of no more use.
        """

    def end(self) -> None:
        """Tell the other side that nothing more comes."""

    def throw_away(self) -> int | None:
        """Take what came and forget it; return how many bytes, None if there is nothing yet."""

    def close(self) -> None:
        """Let go of the socket."""


class Plain:
    """Bytes as they are."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def receive(self) -> bytes | None:
        """Return what came."""
        try:
            return self._socket.recv(CHUNK)
        except BlockingIOError:
            return None

    def pieces(self, head: bytes, body: bytes) -> list[memoryview]:
        """Return head and body: they go in one call all the same, a second packet would cost as much again."""
        return [memoryview(piece) for piece in (head, body) if piece]

    def send(self, pieces: Sequence[memoryview]) -> int:
        """Send what goes."""
        try:
            return self._socket.sendmsg(pieces)
        except BlockingIOError:
            return 0

    def end(self) -> None:
        """Close this direction."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def throw_away(self) -> int | None:
        """Take what came and forget it."""
        return _throw_away(self._socket)

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()


class Encrypted:
    """Bytes through TLS.

    Nothing of it is set up before the first record is there as a whole: from then on a connection takes tens of
    kilobytes, and who sends byte by byte is not to have them.
    """

    def __init__(self, connected: socket.socket, tls: Tls) -> None:
        self._socket = connected
        self._tls = tls
        self._session: TlsSession | None = None
        self._awaited = 0
        """Bytes without which the kernel is told not to wake anybody up."""

    def receive(self) -> bytes | None:
        """Go on with the handshake until it is done, then return what came."""
        if self._session is None:
            try:
                first = self._socket.recv(_RECORD_HEADER, socket.MSG_PEEK)
            except BlockingIOError:
                return None
            if not first:
                return b""
            if first[:1] != _HANDSHAKE:
                return self._refuse_plain(first[:1])
            if not self._is_whole(first):
                return None
            self._session = self._tls.session(self._socket)
            self._socket = self._session.socket
        return self._session.receive()

    def _is_whole(self, header: bytes) -> bool:
        """Tell whether the first record is there, or there is no use in waiting for it."""
        wanted = _RECORD_HEADER
        if len(header) == _RECORD_HEADER:
            wanted += int.from_bytes(header[-2:], "big")
        there = len(self._socket.recv(_MOST_AWAITED, socket.MSG_PEEK))
        if there >= min(wanted, _MOST_AWAITED) or self._awaited == wanted:  # woken up all the same: that was the end
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            return True
        self._awaited = wanted
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, min(wanted, _MOST_AWAITED))
        return False

    def _refuse_plain(self, first: bytes) -> bytes:
        if first.isalpha():  # somebody who forgot the s of https is told so
            with suppress(OSError):
                self._socket.send(_SPEAKS_TLS)
            with suppress(OSError):
                self._socket.recv(CHUNK)  # else closing would reset the connection, and the answer be lost
        return b""

    def pieces(self, head: bytes, body: bytes) -> list[memoryview]:
        """Return the pieces: the beginning of the body goes into one record with the head."""
        room = max(0, CHUNK - len(head))
        first, rest = head + body[:room], memoryview(body)[room:]
        return [memoryview(first), rest] if rest else [memoryview(first)]

    def send(self, pieces: Sequence[memoryview]) -> int:
        """Send what goes; a record that did not go is tried again with the same bytes, as OpenSSL wants it."""
        assert self._session
        return self._session.send(pieces[0][:CHUNK])

    def end(self) -> None:
        """Say so in TLS, then close this direction."""
        if self._session:
            self._session.end()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def throw_away(self) -> int | None:
        """Take what came and forget it, without taking the trouble of deciphering it."""
        return _throw_away(self._socket)

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()


def _throw_away(connected: socket.socket) -> int | None:
    try:
        return len(socket.socket.recv(connected, 4 * CHUNK))  # of the socket itself, whatever is on top of it
    except BlockingIOError:
        return None


_HANDSHAKE = b"\x16"
"""The first byte of every TLS connection (RFC 8446, section 5.1)."""

_RECORD_HEADER = 5
"""Bytes: the type, two of version, two of length (RFC 8446, section 5.1)."""

_MOST_AWAITED = 4096
"""Bytes of the first record. It is as good as never larger; if it is, nothing is waited for."""

_TEXT = b"This port speaks HTTPS: ask for https://.\n"
_SPEAKS_TLS = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(_TEXT), _TEXT)
)
