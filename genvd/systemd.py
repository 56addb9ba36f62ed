"""What systemd and this service tell each other: sd_notify(3), the watchdog, passed sockets.

Without systemd all of it does nothing.
"""

from __future__ import annotations

import os
import re
import socket
import time

import sdnotify

_FIRST_PASSED_DESCRIPTOR = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""


class ServiceManager:
    """systemd, or nobody."""

    def __init__(self) -> None:
        self.supervised = bool(os.environ.get("NOTIFY_SOCKET"))
        self._notifier = sdnotify.SystemdNotifier()
        self._status = ""

    def ready(self) -> None:
        """Say that the service works, after the start or after a reload."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """Say that a reload begins; :meth:`ready` ends it."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Say that the service is about to end."""
        self._tell("STOPPING=1")

    def status(self, text: str) -> None:
        """Set the line that ``systemctl status`` shows."""
        if text != self._status:
            self._status = text
            self._tell(f"STATUS={text}")

    def alive(self) -> None:
        """Tell the watchdog that the service makes progress."""
        self._tell("WATCHDOG=1")

    def _tell(self, state: str) -> None:
        if self.supervised:
            self._notifier.notify(state)


def watchdog_seconds() -> float | None:
    """Return the time within which the watchdog wants to hear of this process (sd_watchdog_enabled(3)), if any."""
    try:
        if int(os.environ.get("WATCHDOG_PID", os.getpid())) != os.getpid():
            return None
        seconds = int(os.environ.get("WATCHDOG_USEC", "")) / 1e6
    except ValueError:
        return None
    return seconds if seconds > 0 else None


def passed_sockets() -> list[socket.socket]:
    """Return the listening sockets that a socket unit passed to this process (sd_listen_fds(3))."""
    number = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not re.fullmatch("[0-9]{1,4}", number):
        return []
    return [socket.socket(fileno=_FIRST_PASSED_DESCRIPTOR + one) for one in range(int(number))]
