"""Whom a service tells how it is."""

from __future__ import annotations

import re
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Manager:
    """Receives what a service tells its manager (sd_notify(3))."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "notify"
        self.messages: list[tuple[float, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        threading.Thread(target=self._receive, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """What a service needs in its environment to tell."""
        return {"NOTIFY_SOCKET": str(self.path)}

    def _receive(self) -> None:
        with suppress(OSError):  # closed
            while message := self._socket.recv(4096):
                self.messages.append((time.monotonic(), message.decode()))

    def said(self, pattern: str) -> list[float]:
        """Return when it said something of the kind."""
        return [moment for moment, message in list(self.messages) if re.search(pattern, message)]

    def close(self) -> None:
        """Hear no more."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
