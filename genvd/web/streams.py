"""The bytes of a connection, as they are or through TLS, with flow control in both directions."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from genvd.web.tls import Tls

CHUNK = 16 * 1024
"""Bytes that are read at once; also the most that a TLS record holds (RFC 8446, section 5.1)."""

_FIRST = 16 * 1024
"""Bytes that are sent together with the head of an answer: a second packet would cost as much again."""

_Result = TypeVar("_Result")


class Stream(Protocol):
    """Reads and writes one connection."""

    async def read(self) -> bytes:
        """Return what came, at most :data:`CHUNK` bytes; nothing if that was the end.

        Raises:
            OSError: the connection is of no more use.
        """

    async def write(self, head: bytes, body: bytes) -> None:
        """Send an answer; it is done when the kernel has all of it.

        Raises:
            OSError: the connection is of no more use.
        """

    def end(self) -> None:
        """Tell the client that nothing more comes."""

    async def discard(self) -> int:
        """Read and forget; return how many bytes, 0 if that was the end."""

    def close(self) -> None:
        """Close the connection at once."""


class PlainStream:
    """Bytes as they are.

    What the kernel does not take stays where it is until the client has read, and nothing is read before somebody wants
    it: a client has no buffer of its own here.
    """

    def __init__(self, connected: socket.socket) -> None:
        """Take a connected socket over, which does not block."""
        self._socket = connected
        self._loop = asyncio.get_running_loop()

    async def read(self, max_bytes: int = CHUNK) -> bytes:
        """Return what came."""
        return await self._loop.sock_recv(self._socket, max_bytes)

    async def write(self, head: bytes, body: bytes = b"") -> None:
        """Send it. The body is not copied, but for its beginning."""
        space = max(0, _FIRST - len(head))
        await self._loop.sock_sendall(self._socket, head + body[:space])
        if len(body) > space:
            await self._loop.sock_sendall(self._socket, memoryview(body)[space:])

    def end(self, last: bytes = b"") -> None:
        """Close this direction, after a few more bytes if they go at once."""
        with suppress(OSError):
            self._socket.send(last)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    async def discard(self) -> int:
        """Read and forget."""
        return len(await self.read(4 * CHUNK))

    def close(self) -> None:
        """Close the connection."""
        descriptor = self._socket.fileno()
        self._loop.remove_reader(descriptor)
        self._loop.remove_writer(descriptor)
        self._socket.close()


class TlsStream:
    """Bytes through TLS.

    OpenSSL works on buffers in memory, so nothing that a client sends can make it wait or go on for long. A connection
    takes tens of kilobytes from the first record on, so this begins when that has come: who sends byte by byte does not
    get them.
    """

    def __init__(self, plain: PlainStream, tls: Tls, on_begin: Callable[[], None]) -> None:
        """Make one that has not begun.

        Args:
            plain: what is below.
            tls: how it is encrypted.
            on_begin: called before memory is taken for it.
        """
        self._plain = plain
        self._tls = tls
        self._on_begin: Callable[[], None] | None = on_begin
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._session: ssl.SSLObject | None = None
        self._unproductive = 0
        """Bytes that came since there was something for HTTP among them."""

    async def read(self) -> bytes:
        """Return what came, after the handshake if there was none yet."""
        if self._session is None:
            first = await self._read_first_record()
            if not first:
                return b""
            if self._on_begin:
                self._on_begin()
            self._incoming.write(first)
            self._session = self._tls.session(self._incoming, self._outgoing)
            await self._drive(self._session.do_handshake)
            self._tls.check_sans(self._session)
        try:
            received = await self._drive(lambda: self._tls_session.read(CHUNK))
        except ssl.SSLZeroReturnError:
            return b""
        self._unproductive = 0
        return received

    @property
    def _tls_session(self) -> ssl.SSLObject:
        assert self._session
        return self._session

    async def _read_first_record(self) -> bytes:
        """Return the first record, nothing if there is none of TLS."""
        first = b""
        while len(first) < min(_record_length(first), _MAX_FIRST_RECORD):
            received = await self._plain.read()
            if not received:
                return b""
            first += received
            if first[:1] != _HANDSHAKE:
                if first[:1].isalpha():  # somebody who forgot the s of https
                    await self._plain.write(_SPEAKS_TLS)
                return b""
        return first

    async def _drive(self, operation: Callable[[], _Result]) -> _Result:
        """Return the result of something that OpenSSL does, once it has got and sent all that it needs for it."""
        while True:
            try:
                return operation()
            except ssl.SSLWantReadError:
                pass
            finally:
                await self._flush()  # after an error: what is wrong
            received = await self._plain.read(_TURN)
            self._unproductive += len(received)
            if not received or self._unproductive > _MAX_UNPRODUCTIVE:
                raise ConnectionAbortedError("the client ends the connection, or sends nothing but TLS messages")
            self._incoming.write(received)
            await asyncio.sleep(0)  # what is there already is read without waiting, and others want their turn

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._plain.write(self._outgoing.read())

    async def write(self, head: bytes, body: bytes) -> None:
        """Send it, a record at a time, so that the buffer stays small; the first one has the head and what fits."""
        space = max(0, CHUNK - len(head))
        self._tls_session.write(head + body[:space])
        await self._flush()
        rest = memoryview(body)
        for start in range(space, len(body), CHUNK):
            self._tls_session.write(rest[start : start + CHUNK])
            await self._flush()

    def end(self) -> None:
        """Say so in TLS, then close this direction."""
        with suppress(OSError, ValueError):
            self._tls_session.unwrap()  # which wants the client's answer, for which nobody waits
        self._plain.end(self._outgoing.read())

    async def discard(self) -> int:
        """Read and forget, without deciphering it."""
        return await self._plain.discard()

    def close(self) -> None:
        """Close the connection."""
        self._plain.close()
        self._session = self._on_begin = None


def _record_length(first: bytes) -> int:
    """Return how long the record is of which this is the beginning, as far as it is known."""
    if len(first) < _RECORD_HEADER:
        return _RECORD_HEADER
    return _RECORD_HEADER + int.from_bytes(first[3:_RECORD_HEADER], "big")


_HANDSHAKE = b"\x16"
"""The first byte of every TLS connection (RFC 8446, section 5.1)."""

_RECORD_HEADER = 5
"""Bytes: the type, two of version, two of length (RFC 8446, section 5.1)."""

_MAX_FIRST_RECORD = 4096
"""Bytes of the first record. It is hardly ever larger; if it is, OpenSSL waits for the rest."""

_TURN = 4096
"""Bytes that OpenSSL gets at once: each 22 of them may be a message that costs it the derivation of a key."""

_MAX_UNPRODUCTIVE = 64 * 1024
"""Bytes that may come without anything for HTTP. A certificate of a client, with those above it, takes a tenth."""

_TEXT = b"This port speaks HTTPS: ask for https://.\n"
_SPEAKS_TLS = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(_TEXT), _TEXT)
)
