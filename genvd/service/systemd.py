"""What systemd and this service tell each other: sd_notify(3), the watchdog, passed sockets.

Without systemd all of it does nothing.
"""

from __future__ import annotations

import os
import re
import socket
import time
from typing import TYPE_CHECKING

import sdnotify

if TYPE_CHECKING:
    from genvd.model.snapshot import Snapshot


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


def status_line(snapshot: Snapshot, seconds: float) -> str:
    """Return the Snapshot in one line.

    Args:
        snapshot: what the machine looks like.
        seconds: how long it took to look.
    """
    down = [device.index for device in snapshot.devices or () if device.up is False]
    counts = (
        _count(snapshot.devices, "device") + (f" ({len(down)} down)" if down else ""),
        _count(snapshot.environments, "environment"),
        _count(snapshot.users, "user"),
    )
    failing = [status.name for status in snapshot.collectors if not status.success]
    trouble = f"; no answer from {', '.join(failing)}, see the journal" if failing else ""
    broken = "" if snapshot.service.config_reload_successful else "; the configuration is broken and was not applied"
    held = [listen.address for listen in snapshot.service.listening if not listen.served]
    elsewhere = f"; another program holds {', '.join(held)}, see the journal" if held else ""
    return f"{', '.join(counts)}; last collection {seconds * 1000:.0f} ms{trouble}{broken}{elsewhere}"


def _count(things: tuple[object, ...] | None, name: str) -> str:
    if things is None:
        return f"{name}s unknown"
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
