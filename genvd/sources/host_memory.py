"""The memory of the host, which is that of GPUs which have none of their own."""

from __future__ import annotations

import psutil

from genvd.model.facts import HostMemory


def host_memory() -> HostMemory | None:
    """Return how much memory the host has and how much of it programs could take; None where it cannot be read."""
    try:
        memory = psutil.virtual_memory()
    except (OSError, ValueError, KeyError):  # /proc/meminfo that cannot be read, or lacks lines
        return None
    return HostMemory(memory.total, memory.available) if 0 <= memory.available <= memory.total else None
