"""What ``systemctl status`` shows of a running service."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genvd.model.snapshot import Snapshot


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
