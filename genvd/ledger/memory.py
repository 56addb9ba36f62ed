"""The ledger of a monitor without a file: tables in memory, which are filled when somebody reads them."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from genvd.ledger import schema
from genvd.ledger.retention import DAY, apply_retention
from genvd.ledger.store import Tables

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from genvd.ledger.pending import PendingUsage

_HOURLY_SECONDS, _DAILY_SECONDS = 35.0 * DAY, 400.0 * DAY


class MemoryLedger:
    """The tables of one monitor. Nothing is written to them until they are read for the first time."""

    def __init__(self, pending: PendingUsage, *, past: bool) -> None:
        """Create a ledger without tables.

        Args:
            pending: what is counted; it is taken when the tables are read.
            past: whether to begin with a simulated month.
        """
        self._pending = pending
        self._past = past
        self._devices: tuple[str, ...] = ()
        self._now = 0.0
        self._tables: Tables | None = None
        self._lock = threading.Lock()

    def set_devices(self, devices: Iterable[str], now: float) -> None:
        """Set the keys of the GPUs, and the Unix time."""
        self._devices, self._now = tuple(devices), now

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give a connection to the tables, with everything that was counted so far."""
        with self._lock:
            if self._tables is None:
                self._tables = Tables(schema.open_in_memory())
                if self._past:
                    from genvd.ledger.demo_past import demo_past

                    self._tables.write(demo_past(self._devices, self._now))
            self._tables.write(self._pending.take_batch())
            apply_retention(self._tables.connection, self._now, _HOURLY_SECONDS, _DAILY_SECONDS, lambda: True)
            yield self._tables.connection
