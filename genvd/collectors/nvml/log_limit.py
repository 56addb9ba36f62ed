"""Limits how many GPUs log their failures one by one, so that thousands of failing GPUs do not flood the log."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from genvd.collectors.device_set import MAX_LOGGED_DEVICES
from genvd.collectors.runner import STEADY_TICKS
from genvd.common.error_log import ErrorLog

if TYPE_CHECKING:
    from collections.abc import Hashable


class LogLimit:
    """The failing GPUs, of which :data:`MAX_LOGGED_DEVICES` at a time are logged one by one. It is thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failing: dict[int, set[str]] = {}
        """The failing parts of each GPU, by its index."""
        self._logged: set[int] = set()

    def allows(self, index: int, part: str) -> bool:
        """Record that a part of a GPU fails; return whether the failures of this GPU are logged one by one.

        Once decided, this stays the same until no part of the GPU fails any more.
        """
        with self._lock:
            if index not in self._failing and len(self._logged) < MAX_LOGGED_DEVICES:
                self._logged.add(index)
            self._failing.setdefault(index, set()).add(part)
            return index in self._logged

    def release(self, index: int, part: str) -> None:
        """Record that a part of a GPU does not fail any more."""
        with self._lock:
            parts = self._failing.get(index, set())
            parts.discard(part)
            if not parts:
                self._drop(index)

    def drop_from(self, count: int) -> None:
        """Forget the GPUs whose index is ``count`` or higher: the driver does not list them any more."""
        with self._lock:
            for index in [index for index in self._failing if index >= count]:
                self._drop(index)

    def _drop(self, index: int) -> None:
        self._failing.pop(index, None)
        self._logged.discard(index)

    @property
    def unlogged(self) -> int:
        """The number of failing GPUs that are not logged one by one."""
        with self._lock:
            return len(self._failing) - len(self._logged)


class GpuErrorLog(ErrorLog):
    """Logs the errors of one part of one GPU; those beyond the limit at the level DEBUG."""

    def __init__(self, log: logging.Logger, limit: LogLimit, index: int, part: str) -> None:
        super().__init__(log, STEADY_TICKS)
        self._limit = limit
        self._index = index
        self._part = part

    def report(
        self,
        key: Hashable,
        text: str,
        *,
        kind: Hashable = None,
        level: int = logging.WARNING,
        error: Exception | None = None,
    ) -> bool:
        """Record a failure; see :meth:`ErrorLog.report`."""
        if level > logging.INFO and not self._limit.allows(self._index, self._part):
            level = logging.DEBUG
        return super().report(key, text, kind=kind, level=level, error=error)

    def clear(self, key: Hashable, text: str) -> None:
        """Record a success; see :meth:`ErrorLog.clear`."""
        super().clear(key, text)
        if not self.active:
            self._limit.release(self._index, self._part)
