"""One client: what came from it, and what it is still to get."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    from genvd.web.connections import Stage
    from genvd.web.request import Request
    from genvd.web.tls import Tls
    from genvd.web.transport import Transport


class Connection:
    """One client. There may be thousands: what is not needed right now is not kept."""

    __slots__ = (
        "address",
        "closes",
        "descriptor",
        "ends",
        "events",
        "garbled",
        "received",
        "request",
        "stage",
        "thrown_away",
        "tls",
        "to_send",
        "transport",
    )

    def __init__(self, connected: socket.socket, address: str, transport: Transport, tls: Tls | None) -> None:
        """Take a connected socket over.

        Args:
            connected: the socket, which does not block.
            address: of the client, without the port.
            transport: what is between the socket and HTTP.
            tls: what encrypts the connection; when it is configured anew, the client has to come anew.
        """
        self.descriptor = connected.fileno()
        """Number of the socket, also after it was closed."""
        self.address = address
        self.transport = transport
        self.tls = tls
        self.stage: Stage | None = None
        """None once it is closed."""
        self.events: int | None = None
        """What epoll is told to look for; None before it is told anything."""
        self.received = b""
        """The beginning of a request, or more than one."""
        self.request: Request | None = None
        """What it asked for, while another thread works on the answer."""
        self.to_send: list[memoryview] = []
        self.closes = False
        """Whether it ends once all is sent."""
        self.ends = False
        """Whether the client has said that nothing more comes."""
        self.garbled = False
        """Whether bytes may come that are no request."""
        self.thrown_away = 0
        """Bytes that came after it was refused."""

    def flush(self) -> bool:
        """Send as much as goes; tell whether that is all.

        Raises:
            OSError: the connection is of no more use.
        """
        while self.to_send:
            sent = self.transport.send(self.to_send)
            if not sent:
                return False
            while self.to_send and sent >= len(self.to_send[0]):
                sent -= len(self.to_send.pop(0))
            if sent:
                self.to_send[0] = self.to_send[0][sent:]
        return True

    def close(self) -> None:
        """Let go of the socket and of everything that was to be sent."""
        self.to_send.clear()
        self.received = b""
        self.request = None
        with suppress(OSError):
            self.transport.close()
