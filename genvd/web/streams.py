"""Byte streams of a connection, plain or with TLS, with flow control in both directions."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from genvd.web.tls import Tls

CHUNK = 16 * 1024
"""Maximum number of bytes in one read; also the maximum size of a TLS record (RFC 8446, section 5.1)."""

_FIRST_SEND_BYTES = 16 * 1024
"""Bytes that are sent in one call, header fields included. A separate call for the body would double the cost."""

_Result = TypeVar("_Result")


class PlainStream:
    """A stream without TLS. It has no buffers: it reads only on demand, and waits until the kernel accepts the data.

    Reading and writing raises OSError when the connection is broken.
    """

    def __init__(self, connected: socket.socket) -> None:
        """Take over a connected, non-blocking socket."""
        self._socket = connected
        self._loop = asyncio.get_running_loop()

    async def read(self, max_bytes: int = CHUNK) -> bytes:
        """Return the next bytes; nothing at the end."""
        return await self._loop.sock_recv(self._socket, max_bytes)

    async def write(self, head: bytes, body: bytes = b"") -> None:
        """Send a response; return when the kernel has accepted all of it. Only the beginning of the body is copied."""
        space = max(0, _FIRST_SEND_BYTES - len(head))
        await self._loop.sock_sendall(self._socket, head + body[:space])
        if len(body) > space:
            await self._loop.sock_sendall(self._socket, memoryview(body)[space:])

    def end(self, last: bytes = b"") -> None:
        """Close the sending side, after some last bytes if the kernel accepts them at once."""
        with suppress(OSError):
            self._socket.send(last)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    async def discard(self) -> int:
        """Read and discard bytes; return how many, 0 at the end."""
        return len(await self.read(4 * CHUNK))

    def close(self) -> None:
        """Close the connection."""
        descriptor = self._socket.fileno()
        self._loop.remove_reader(descriptor)
        self._loop.remove_writer(descriptor)
        self._socket.close()


class TlsStream:
    """A stream with TLS.

    OpenSSL works on memory buffers, so no client can block it. A TLS session takes tens of kilobytes, so it is created
    only after the first complete record.
    """

    def __init__(self, plain: PlainStream, tls: Tls, on_begin: Callable[[], None]) -> None:
        """Create a stream without a session.

        Args:
            plain: the stream for the encrypted bytes.
            tls: the TLS settings.
            on_begin: called before memory for the session is allocated.
        """
        self._plain = plain
        self._tls = tls
        self._on_begin: Callable[[], None] | None = on_begin
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._session: ssl.SSLObject | None = None
        self._unproductive = 0
        """Bytes received since the last application data."""

    async def read(self) -> bytes:
        """Return the next decrypted bytes, nothing at the end; do the handshake first if necessary."""
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
        """Return the first TLS record; nothing if the client does not use TLS."""
        first = b""
        while len(first) < min(_record_length(first), _MAX_FIRST_RECORD):
            received = await self._plain.read()
            if not received:
                return b""
            first += received
            if first[:1] != _HANDSHAKE:
                if first[:1].isalpha():  # an HTTP request without TLS
                    await self._plain.write(_SPEAKS_TLS)
                return b""
        return first

    async def _drive(self, operation: Callable[[], _Result]) -> _Result:
        """Run an operation of OpenSSL, and exchange bytes with the client until it is complete; return its result."""
        while True:
            try:
                return operation()
            except ssl.SSLWantReadError:
                pass
            finally:
                await self._flush()  # after an error this sends the TLS alert
            received = await self._plain.read(_TLS_READ_BYTES)
            self._unproductive += len(received)
            if not received or self._unproductive > _MAX_UNPRODUCTIVE:
                raise ConnectionAbortedError("the client closed the connection, or sends only TLS messages")
            self._incoming.write(received)
            await asyncio.sleep(0)  # bytes that have arrived are read without waiting, so let others run

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._plain.write(self._outgoing.read())

    async def write(self, head: bytes, body: bytes) -> None:
        """Send a response record by record, so that the buffer stays small. The first record starts with the head."""
        space = max(0, CHUNK - len(head))
        self._tls_session.write(head + body[:space])
        await self._flush()
        rest = memoryview(body)
        for start in range(space, len(body), CHUNK):
            self._tls_session.write(rest[start : start + CHUNK])
            await self._flush()

    def end(self) -> None:
        """Close the TLS session, then the sending side."""
        with suppress(OSError, ValueError):
            self._tls_session.unwrap()  # raises, because the client's close_notify has not arrived yet
        self._plain.end(self._outgoing.read())

    async def discard(self) -> int:
        """Read and discard bytes without decrypting them."""
        return await self._plain.discard()

    def close(self) -> None:
        """Close the connection."""
        self._plain.close()
        self._session = self._on_begin = None


Stream = PlainStream | TlsStream


def _record_length(first: bytes) -> int:
    """Return the length of the record that starts with these bytes; that of its header while it is incomplete."""
    if len(first) < _RECORD_HEADER:
        return _RECORD_HEADER
    return _RECORD_HEADER + int.from_bytes(first[3:_RECORD_HEADER], "big")


_HANDSHAKE = b"\x16"
"""The first byte of every TLS connection (RFC 8446, section 5.1)."""

_RECORD_HEADER = 5
"""Length of the record header: type (1), version (2), length (2) (RFC 8446, section 5.1)."""

_MAX_FIRST_RECORD = 4096
"""Bytes to wait for before OpenSSL gets the first record. The record is rarely larger; then OpenSSL waits for more."""

_TLS_READ_BYTES = 4096
"""Bytes that OpenSSL gets at once. Every 22 bytes may be a message for which it has to derive a key."""

_MAX_UNPRODUCTIVE = 64 * 1024
"""Maximum number of bytes without application data. A client's certificate chain takes about a tenth of it."""

_TEXT = b"This port speaks HTTPS: use https://.\n"
_SPEAKS_TLS = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(_TEXT), _TEXT)
)
