"""Snapshots for the ledger, a process that keeps one, and what is in its file."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genvd.config.schema import Config
from genvd.ledger.ledger import Ledger
from genvd.model.device import Device
from genvd.model.snapshot import Environment, Holding, ServiceStatus, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable

SERVICE = ServiceStatus("1", "live", "3", "13")
INTERVAL, WRITE_INTERVAL = 0.02, 0.1
DEVICES = 8
"""Of :data:`PROGRAM`'s machine: alice holds all of them and works on each other one."""


def snapshot(
    holders: Iterable[tuple[str, str]] = (("alice", "1"),), devices: int = 1, timestamp: float | None = None
) -> Snapshot:
    """Return a machine on which each of these users holds all devices with each of their environments."""
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


def integrity(path: Path) -> str:
    """Return what SQLite finds wrong with a file: ``ok`` as a rule."""
    with closing(sqlite3.connect(path)) as connection:
        (found,) = connection.execute("PRAGMA integrity_check").fetchone()
        return str(found)


def allocated(path: Path, table: str = "person") -> int:
    """Return the milliseconds that everybody together held devices, as the totals or another table have it."""
    with closing(sqlite3.connect(path)) as connection:
        (total,) = connection.execute(f"SELECT sum(allocated) FROM {table}").fetchone()
        return int(total or 0)


@dataclass
class Line:
    """What :data:`PROGRAM` says after each tick."""

    moment: float
    """Of CLOCK_MONOTONIC, in seconds."""
    counted: float
    """Device-seconds in memory."""
    shown: float
    """By the counters."""


class Counting:
    """A process that keeps a ledger, and can be killed."""

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
        """Kill it if it still runs; return what it logged."""
        self.process.kill()
        _, log = self.process.communicate()
        return log


def main(directory: Path) -> None:
    """Count until killed, saying after each tick what there is."""
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
