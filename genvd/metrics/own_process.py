"""What this process takes of the machine: the metrics that all of Prometheus' client libraries have."""

from __future__ import annotations

import os
import resource
import time
from typing import Literal

import psutil

from genvd.metrics.family import Family, Value

_STATM, _DESCRIPTORS = "/proc/self/statm", "/proc/self/fd"


class OwnProcess:
    """This process."""

    def __init__(self) -> None:
        self._page = resource.getpagesize()
        self._started = _started()

    def families(self) -> list[Family]:
        """Return the metrics; those that the system does not tell are left out."""
        found = [_family("cpu_seconds_total", "CPU time of the monitor in seconds.", time.process_time(), "counter")]
        try:
            size, resident = (int(field) * self._page for field in _content(_STATM).split()[:2])
            with os.scandir(_DESCRIPTORS) as entries:
                descriptors = sum(1 for _ in entries)
        except (OSError, ValueError):
            return found
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return [
            _family("virtual_memory_bytes", "Address space of the monitor in bytes.", size),
            _family("resident_memory_bytes", "Memory of the machine that the monitor has in bytes.", resident),
            _family("start_time_seconds", "When the monitor was started, in seconds since the epoch.", self._started),
            *found,
            _family("open_fds", "File descriptors that the monitor has open.", descriptors),
            _family(
                "max_fds",
                "File descriptors that the monitor may have open.",
                float("inf") if limit == resource.RLIM_INFINITY else limit,
            ),
        ]


def _family(name: str, help_: str, value: Value, type_: Literal["gauge", "counter"] = "gauge") -> Family:
    return Family(f"process_{name}", help_, type_, (), {(): value})


def _content(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)


def _started() -> float:
    """Return the Unix time at which this process was started; that of now if the system does not tell."""
    try:
        return psutil.Process().create_time()
    except (OSError, psutil.Error):
        return time.time()
