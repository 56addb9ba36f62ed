"""Measures the series and bytes of a scrape, and the disk space of samples."""

from __future__ import annotations

import gzip
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from genvd.config.schema import Config
from genvd.metrics.exposition import GZIP_LEVEL, OPENMETRICS
from tests.support import debian
from tools.fleet.machines import SimulatedMachine, ThreadlessMonitor
from tools.scaling.machine import Shape, collectors

if TYPE_CHECKING:
    from collections.abc import Iterator

_STARTED = 1_790_000_000
_COLLECTIONS = tuple(_STARTED + 15 * number + 0.123456 for number in range(3))
"""When a machine collects, in seconds since 1970. The ledger counts from the second collection on."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The size of a scrape, or of a part of it."""

    series: float
    bytes: float
    compressed: float
    """Size in bytes with gzip."""

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.series - other.series, self.bytes - other.bytes, self.compressed - other.compressed)

    def __mul__(self, number: float) -> Cost:
        return Cost(self.series * number, self.bytes * number, self.compressed * number)


def cost(shape: Shape, config: Config | None = None) -> Cost:
    """Return the size of a scrape of a machine, in the format that Prometheus requests.

    The clock is simulated: the bytes of a number that this machine measures, such as how long a collector takes, change
    with its speed.

    Args:
        shape: the size of the machine.
        config: the configuration; by default the default one.
    """
    config = config or Config()
    machine = ThreadlessMonitor(collectors(shape), config)
    for moment in _COLLECTIONS:
        with _clock(moment):
            snapshot = machine.collect()
    body = machine.exposition(snapshot, OPENMETRICS)
    series = sum(not line.startswith(b"#") for line in body.splitlines())
    return Cost(series, len(body), len(gzip.compress(body, GZIP_LEVEL, mtime=0)))


def bytes_per_sample(directory: Path, devices: int, interval: int, hours: int = 2) -> float:
    """Return the bytes of a sample in a block of Prometheus' database, including the index.

    Args:
        directory: for the database, which is not removed.
        devices: number of GPUs of the simulated machine.
        interval: seconds from one scrape to the next.
        hours: length of a block; two before blocks are merged.
    """
    machine, samples = SimulatedMachine(devices, 0, interval), 0
    file = directory / "samples.txt"
    with file.open("wb") as out:
        for moment in range(_STARTED // 7200 * 7200, _STARTED // 7200 * 7200 + hours * 3600, interval):
            with _clock(moment):
                body = machine.exposition(machine.collect())
            lines = [line for line in body.splitlines() if not line.startswith(b"#")]
            samples += len(lines)
            out.writelines(b"%s %d\n" % (line, moment) for line in lines)
        out.write(b"# EOF\n")
    database = directory / "data"
    promtool = debian.promtool()
    command = (promtool, "tsdb", "create-blocks-from", "openmetrics", str(file), str(database))
    subprocess.run(command, check=True, capture_output=True)
    return sum(path.stat().st_size for path in database.rglob("*") if path.is_file()) / samples


@contextmanager
def _clock(moment: float) -> Iterator[None]:
    """Let it be a moment, in seconds since 1970."""
    with patch("time.time", return_value=float(moment)), patch("time.monotonic", return_value=float(moment)):
        yield
