"""The ledger as the monitor knows it: a Snapshot goes in each tick, and what everybody used comes out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from genvd.config.paths import ledger_directory
from genvd.ledger.accounting import Meter
from genvd.ledger.amounts import thousandth
from genvd.ledger.observation import look_of
from genvd.ledger.pending import Book
from genvd.ledger.store import Stored
from genvd.ledger.writer import Keeper, Retention
from genvd.model.snapshot import LedgerStatus, UserUse

if TYPE_CHECKING:
    from pathlib import Path

    from genvd.analysis.restart_state import RestartState
    from genvd.config.schema import Config
    from genvd.ledger.amounts import Total
    from genvd.model.snapshot import Snapshot

LONGEST_INTERVALS = 3
"""Intervals that count at most between two ticks: more went by only if the monitor or the machine was suspended."""

_LOADING_SECONDS = 0.5
"""That the first tick waits for the file, so that the counters are there from the first scrape on."""


class Ledger:
    """Counts in memory, and has a thread write it to a file where there is a place for one."""

    def __init__(self, config: Config, mode: str) -> None:
        """Begin counting.

        Args:
            config: whether and where it is kept.
            mode: ``live`` or ``demo``.
        """
        self._mode = mode
        self._book = Book()
        self._meter = Meter()
        self._longest = 0.0
        self._waited = False
        self._keeper: Keeper | None = None
        self._retention = Retention(0, 0, 0)
        self.directory = directory_for(config, mode)
        self.reconfigure(config)
        if self.directory is None:
            self._book.begin(Stored())
        else:
            self._keeper = Keeper(self._book, self.directory, mode, self._retention)
            self._keeper.start()

    def reconfigure(self, config: Config) -> None:
        """Count as the configuration says. Where it is kept does not change: that takes another ledger."""
        self._longest = LONGEST_INTERVALS * config.collect_interval
        self._retention.collect_interval = config.collect_interval
        self._retention.write_interval = config.ledger_write_interval
        self._retention.hourly = config.ledger_hourly_retention
        self._retention.daily = config.ledger_retention
        if self._keeper:
            self._keeper.reconfigured()

    def recalled(self) -> RestartState | None:
        """Return once what was to be known again after the start; None after that, or if it is not known."""
        self._wait()
        return self._book.recalled()

    def take(self, snapshot: Snapshot, remembered: RestartState | None = None) -> LedgerStatus:
        """Count what was used since the last Snapshot, and return what everybody has used.

        Args:
            snapshot: what the machine looks like now.
            remembered: what is to be known again, which is kept instead of what was before; None if it is not known.
        """
        self._book.add(self._meter.count(look_of(snapshot), time.monotonic(), self._longest), snapshot.timestamp)
        if remembered is not None:
            self._book.keep(remembered)
        keeper = self._keeper
        self._wait()
        totals = self._book.totals()
        if keeper is not None and self._book.held_back:
            keeper.hurry()
        return LedgerStatus(
            None if totals is None else tuple(_shown(name, total) for name, total in totals.items() if name),
            keeper.write_success if keeper else None,
            keeper.last_write_timestamp if keeper else None,
        )

    def _wait(self) -> None:
        """Wait for the file, but once and not for long."""
        if self._keeper is not None and not self._waited:
            self._waited = True
            self._keeper.loaded.wait(_LOADING_SECONDS)

    def stop(self) -> None:
        """Have what was counted written, without waiting for it."""
        if self._keeper:
            self._keeper.stop()

    def wait(self, seconds: float) -> bool:
        """Wait until it is written, but no longer than this; return whether it is."""
        return self._keeper is None or self._keeper.wait(seconds)


def directory_for(config: Config, mode: str) -> Path | None:
    """Return where the ledger is kept; None for memory, as for a simulated machine unless somebody says where."""
    return config.ledger_directory if mode == "demo" else ledger_directory(config)


def _shown(username: str, total: Total) -> UserUse:
    return UserUse(
        username,
        total.allocated / 1000,
        thousandth(total.active),
        thousandth(total.idle),
        thousandth(total.energy),
    )
