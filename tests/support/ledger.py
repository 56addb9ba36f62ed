"""Snapshots and usage for a ledger, a process that has one, and checks of its file."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genvd.config.schema import Config
from genvd.ledger.amounts import Consumer, Usage
from genvd.ledger.ledger import Ledger
from genvd.ledger.pending import PendingUsage
from genvd.ledger.retention import DAY
from genvd.ledger.store import HOUR, Store, StoredState
from genvd.model.device import Device
from genvd.model.snapshot import Environment, Holding, ServiceStatus, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable

SERVICE = ServiceStatus("1", "live", "3", "13")
NOW = 1_790_000_000 // DAY * DAY + 15 * HOUR
GPU = "GPU-0"
INTERVAL, WRITE_INTERVAL = 0.02, 0.1
DEVICES = 8
"""GPUs of the machine in :func:`main`: all are attached to alice, who usages every second one."""


def snapshot(
    holders: Iterable[tuple[str, str]] = (("alice", "1"),), devices: int = 1, timestamp: float | None = None
) -> Snapshot:
    """Return a machine on which all GPUs are attached to each of these environments, given as (username, eid)."""
    holders, indices = tuple(holders), tuple(range(devices))
    return Snapshot(
        time.time() if timestamp is None else timestamp,
        SERVICE,
        devices=tuple(Device(index, f"GPU-{index}") for index in indices),
        environments=tuple(Environment(eid, 1000, name, None, None, None, None, indices, ()) for name, eid in holders),
        holdings=tuple(
            Holding(eid, 1000, name, index, f"GPU-{index}", index % 2 == 0, None, None)
            for name, eid in holders
            for index in indices
        ),
    )


def config(directory: Path | None, write_interval: float = WRITE_INTERVAL, interval: float = INTERVAL) -> Config:
    """Return a configuration with a ledger in the directory."""
    return Config(ledger_directory=directory, ledger_write_interval=write_interval, collect_interval=interval)


def new_pending() -> PendingUsage:
    """Return pending usage for a file that is empty and can be written."""
    pending = PendingUsage()
    pending.load(StoredState())
    pending.set_ceilings({})
    return pending


def write(store: Store, pending: PendingUsage, ticks: int = 0) -> None:
    """Write a batch, as the thread of the ledger does."""
    batch = pending.take_batch(ticks)
    store.write(batch)
    pending.set_ceilings(batch.ceilings)


def fill(store: Store, start: int, hours: int, environments: int = 3) -> int:
    """Write so many hours of random usage; return the allocated milliseconds."""
    chance, pending = random.Random(6), new_pending()
    for hour in range(hours):
        usages = {
            (Consumer(f"u{number % 2}", str(number)), f"GPU-{number % 4}"): Usage(
                amount := chance.randint(1, HOUR * 1000), amount // 2, amount - amount // 2, None if number else 5
            )
            for number in range(environments)
        }
        pending.add(usages, start + hour * HOUR)
    write(store, pending)
    return allocated(store.path)


def integrity(path: Path) -> str:
    """Return what SQLite finds wrong with a file, or ``ok``."""
    with closing(sqlite3.connect(path)) as connection:
        (found,) = connection.execute("PRAGMA integrity_check").fetchone()
        return str(found)


def allocated(path: Path, table: str = "person") -> int:
    """Return the sum of allocated milliseconds in the totals or another table."""
    with closing(sqlite3.connect(path)) as connection:
        (total,) = connection.execute(f"SELECT sum(allocated) FROM {table}").fetchone()
        return int(total or 0)


@dataclass
class Line:
    """What :func:`main` prints after each tick."""

    moment: float
    """Of CLOCK_MONOTONIC, in seconds."""
    counted: float
    """Allocated seconds in memory."""
    shown: float
    """Allocated seconds that the counter shows."""


class Counting:
    """A process that writes a ledger, and can be killed."""

    def __init__(self, directory: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.ledger", str(directory)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def line(self) -> Line | None:
        """Return the next line; None at the end."""
        assert self.process.stdout
        text = self.process.stdout.readline()
        return Line(*map(float, text.split())) if text.endswith("\n") else None

    def rest(self) -> list[Line]:
        """Return the lines until the process ended."""
        lines = []
        while line := self.line():
            lines.append(line)
        return lines

    def close(self) -> str:
        """Kill the process if it still runs; return its log."""
        self.process.kill()
        _, log = self.process.communicate()
        return log


def main(directory: Path) -> None:
    """Count until killed, and print a :class:`Line` after each tick."""
    ledger = Ledger(config(directory), "live")
    machine = snapshot(devices=DEVICES)
    start = time.monotonic()
    for number in range(1, 10**9):
        status = ledger.record(machine)
        if status.users:
            counted = ledger._pending._sum_totals()["alice"].allocated / 1000
            print(time.monotonic(), counted, status.users[0].allocated_seconds, flush=True)
        time.sleep(max(0.0, start + number * INTERVAL - time.monotonic()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
