"""When processes started, in seconds since the machine did."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from genvd.sources.proc_files import START_TIME, STAT_BYTES, read_at_once, stat_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

_TICKS = os.sysconf("SC_CLK_TCK")


class StartTimes:
    """Remembers the start times of the processes that were asked for last, as they do not change."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, float]] = {}

    def read(self, processes: Mapping[int, object]) -> dict[int, float]:
        """Return seconds of CLOCK_BOOTTIME by pid; a process that is gone or hidden is missing.

        Args:
            processes: by pid an object that is the same one as long as the process is.
        """
        self._known = {
            pid: known for pid, process in processes.items() if (known := self._find(pid, process)) is not None
        }
        return {pid: start for pid, (_, start) in self._known.items()}

    def _find(self, pid: int, process: object) -> tuple[object, float] | None:
        known = self._known.get(pid)
        if known is not None and known[0] is process:
            return known
        start = start_time(pid)
        return None if start is None else (process, start)


def start_time(pid: int) -> float | None:
    """Return when a process started, in seconds of CLOCK_BOOTTIME; None if it is gone or hidden."""
    fields = stat_fields(read_at_once(pid, "stat", STAT_BYTES) or b"", START_TIME)
    return int(fields[START_TIME]) / _TICKS if fields and fields[START_TIME].isdigit() else None
