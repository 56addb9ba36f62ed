"""The ledger that the monitor uses: it records each Snapshot and returns what each user has used so far."""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from genvd.config.paths import ledger_directory, ledger_to_read
from genvd.ledger import paths, schema
from genvd.ledger.accounting import UsageAccounting
from genvd.ledger.amounts import CAPACITY_STATES, Usage, from_thousandths
from genvd.ledger.memory import MemoryLedger
from genvd.ledger.observation import observe
from genvd.ledger.pending import PendingUsage
from genvd.ledger.store import StoredState, read_restart_state
from genvd.ledger.writer import LedgerWriter, WriterSettings
from genvd.model.identity import device_keys
from genvd.model.snapshot import EnvironmentUsage, LedgerStatus, StateTime, UserUsage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from genvd.analysis.restart_state import RestartState
    from genvd.config.schema import Config
    from genvd.ledger.amounts import Capacity, Consumer, Total, UsageKey
    from genvd.model.snapshot import Snapshot

log = logging.getLogger(__name__)

MAX_INTERVALS = 3
"""At most this many collection intervals count for one tick. If more time has passed, something was suspended."""

_LOAD_TIMEOUT_SECONDS = 0.5
"""How long the first tick waits for the file, so that the first scrape has the counters."""


class Ledger:
    """Counts usage in memory, and writes it to a file in a thread if there is a directory for it."""

    def __init__(self, config: Config, mode: str) -> None:
        """Create the ledger, and start its writer thread if it has a directory.

        Args:
            config: the configuration.
            mode: ``live`` or ``demo``.
        """
        self._pending = PendingUsage()
        self._accounting = UsageAccounting()
        self._environments: dict[str, tuple[Consumer, Usage, bool]] = {}
        """The usage of each environment by its ID, and whether its counters were shown before."""
        self._capacity: Capacity = dict.fromkeys(CAPACITY_STATES, 0)  # of all GPUs, since the start
        self._max_seconds = 0.0
        self._waited = False
        self._writer: LedgerWriter | None = None
        self._memory: MemoryLedger | None = None
        self._records = 0
        self._settings = WriterSettings(0, 0, 0)
        self.directory = directory_for(config, mode)
        self.reconfigure(config)
        if self.directory is None:
            self._pending.load(StoredState())
            self._memory = MemoryLedger(self._pending, past=mode == "demo")
        else:
            self._writer = LedgerWriter(self._pending, self.directory, mode, self._settings)
            self._writer.start()

    def reconfigure(self, config: Config) -> None:
        """Use a changed configuration, except for the directory: that needs a new ledger."""
        self._max_seconds = MAX_INTERVALS * config.collect_interval
        self._settings.collect_interval = config.collect_interval
        self._settings.write_interval = config.ledger_write_interval
        self._settings.hourly = config.ledger_hourly_retention
        self._settings.daily = config.ledger_retention
        if self._writer:
            self._writer.wake()

    def take_restart_state(self) -> RestartState | None:
        """Return the restart state in the file; None at later calls, or while the file has not been read."""
        self._wait_for_load()
        return self._pending.take_restart_state()

    def record(self, snapshot: Snapshot, restart_state: RestartState | None = None) -> LedgerStatus:
        """Count what was used since the previous Snapshot, and return what each user has used so far.

        Args:
            snapshot: the current state of the machine.
            restart_state: the state to save for the next start; None to keep the last one.
        """
        self._records += 1
        if self._memory is not None and snapshot.devices is not None:
            self._memory.set_devices(device_keys(snapshot.devices).values(), snapshot.timestamp)
        usages = self._accounting.count(observe(snapshot), time.monotonic(), self._max_seconds)
        self._pending.add(usages, snapshot.timestamp, self._accounting.capacity)
        self._count_capacity()
        self._count_environments(usages, snapshot)
        if restart_state is not None:
            self._pending.set_restart_state(restart_state)
        writer = self._writer
        self._wait_for_load()
        totals = self._pending.update_shown()
        if writer is not None and self._pending.capped:
            writer.request_write()
        return LedgerStatus(
            None if totals is None else tuple(_user_usage(name, total) for name, total in totals.items() if name),
            writer.write_success if writer else None,
            writer.last_write_timestamp if writer else None,
            tuple(StateTime(state, amount / 1000) for state, amount in self._capacity.items()),
            tuple(_environment_usage(eid, usage, shown) for eid, (_, usage, shown) in self._environments.items()),
        )

    def _count_environments(self, usages: Mapping[UsageKey, Usage], snapshot: Snapshot) -> None:
        """Add up the usage of each active environment.

        The counters of a new one are shown at 0 first, also if there was another one with the same ID: Prometheus
        sees no increase in a counter that appears with its full value.
        """
        if snapshot.environments is None:
            return
        active = {environment.eid for environment in snapshot.environments}
        self._environments = {
            eid: (consumer, usage, True) for eid, (consumer, usage, _) in self._environments.items() if eid in active
        }
        for (consumer, _), usage in usages.items():
            if consumer.eid not in active:
                continue
            known = self._environments.get(consumer.eid)
            if known is None or known[0] != consumer:
                self._environments[consumer.eid] = known = (consumer, Usage(), False)
            known[1].add(usage)

    def _count_capacity(self) -> None:
        for states in self._accounting.capacity.values():
            for state, amount in states.items():
                self._capacity[state] += amount

    @property
    def version(self) -> float:
        """A number that changes whenever :meth:`reading` may give something else."""
        return (self._writer.last_write_timestamp or 0.0) if self._writer else float(self._records)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give a connection to read what was used, from any thread.

        Raises:
            UnusableLedgerError: the file is empty, or this program cannot use it.
            OSError: there is no file.
            sqlite3.Error: it cannot be read.
        """
        if self._memory is not None:
            with self._memory.reading() as connection:
                yield connection
            return
        assert self.directory is not None
        path = self.directory / paths.FILE_NAME
        if not paths.is_regular_file(path):
            raise schema.UnusableLedgerError("it is not a regular file")
        with closing(schema.open_for_reading(path)) as connection:
            yield connection

    def _wait_for_load(self) -> None:
        if self._writer is not None and not self._waited:
            self._waited = True
            self._writer.loaded.wait(_LOAD_TIMEOUT_SECONDS)

    def stop(self) -> None:
        """Make the thread write what is pending and end; does not wait for it."""
        if self._writer:
            self._writer.stop()

    def wait(self, seconds: float) -> bool:
        """Wait at most this long until everything is written; return whether it is."""
        return self._writer is None or self._writer.wait(seconds)


def directory_for(config: Config, mode: str) -> Path | None:
    """Return the ledger's directory; None for memory only, the default for a simulated machine."""
    return config.ledger_directory if mode == "demo" else ledger_directory(config)


def load_restart_state(config: Config) -> RestartState | None:
    """Return the restart state in the service's ledger, for ``once`` and ``top``; None without a readable ledger.

    The file is opened read-only, and the service may be writing it.
    """
    if not config.ledger_enabled:
        return None
    path = ledger_to_read(config) / paths.FILE_NAME
    try:
        if not paths.is_regular_file(path):
            return None
        with closing(schema.open_for_reading(path)) as connection:
            schema.check_mode(connection, ("live",))
            return read_restart_state(connection)
    except (OSError, sqlite3.Error, schema.UnusableLedgerError) as error:
        log.debug("%s: cannot be read: %s", path, error)
        return None


def _environment_usage(eid: str, usage: Usage, shown: bool) -> EnvironmentUsage:
    amounts = (usage.active, usage.idle, usage.energy, usage.outside)
    if not shown:
        return EnvironmentUsage(eid, 0.0, *(None if amount is None else 0.0 for amount in amounts))
    return EnvironmentUsage(eid, usage.allocated / 1000, *map(from_thousandths, amounts))


def _user_usage(username: str, total: Total) -> UserUsage:
    return UserUsage(
        username,
        total.allocated / 1000,
        from_thousandths(total.active),
        from_thousandths(total.idle),
        from_thousandths(total.energy),
        from_thousandths(total.outside),
    )
