"""The interface to systemd: notifications (sd_notify(3))."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import sdnotify

from genvd.common.descriptors import store_descriptors

if TYPE_CHECKING:
    from genvd.model.snapshot import Snapshot


class SystemdNotifier:
    """Sends notifications to systemd. It does nothing if systemd did not start this process."""

    def __init__(self) -> None:
        self.active = bool(os.environ.get("NOTIFY_SOCKET"))
        self._notifier = sdnotify.SystemdNotifier()
        self._status = ""

    def notify_ready(self) -> None:
        """Report that the start or a reload is complete."""
        self._send("READY=1")

    def notify_reloading(self) -> None:
        """Report that a reload begins. It ends with :meth:`notify_ready`."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def notify_stopping(self) -> None:
        """Report that the service is about to end."""
        self._send("STOPPING=1")

    def notify_status(self, text: str) -> None:
        """Set the line that ``systemctl status`` shows."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def ping_watchdog(self) -> None:
        """Report to the watchdog that the service makes progress."""
        self._send("WATCHDOG=1")

    def store_descriptor(self, name: str, descriptor: int) -> None:
        """Give systemd a duplicate of a descriptor; see :func:`store_descriptors`."""
        if self.active:
            store_descriptors(self._notifier.socket, name, [descriptor])

    def remove_descriptors(self, name: str) -> None:
        """Let systemd close the descriptors that it stores under this name."""
        self._send(f"FDSTOREREMOVE=1\nFDNAME={name}")

    def _send(self, state: str) -> None:
        if self.active:
            self._notifier.notify(state)


def status_line(snapshot: Snapshot, seconds: float) -> str:
    """Return a one-line summary for ``systemctl status``.

    Args:
        snapshot: the last Snapshot.
        seconds: how long its collection took.
    """
    down = [device.index for device in snapshot.devices or () if device.up is False]
    counts = (
        _count(snapshot.devices, "GPU") + (f" ({len(down)} down)" if down else ""),
        _count(snapshot.environments, "environment"),
        _count(snapshot.users, "user"),
    )
    failing = [status.name for status in snapshot.collectors if not status.success]
    failures = f"; no answer from {', '.join(failing)}, see the journal" if failing else ""
    reason = snapshot.service.config_reload_problem
    failed = f"; configuration reload failed{f': {reason}' if reason else ''}, see the journal"
    reload = "" if snapshot.service.config_reload_successful else failed
    held = [listen.address for listen in snapshot.service.listening if not listen.served]
    taken = f"; another program holds {', '.join(held)}, see the journal" if held else ""
    return f"{', '.join(counts)}; last collection {seconds * 1000:.0f} ms{failures}{reload}{taken}"


def _count(things: tuple[object, ...] | None, name: str) -> str:
    if things is None:
        return f"{name}s unknown"
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
