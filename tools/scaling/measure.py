"""Measures the series and bytes of a scrape, and the disk that samples take."""

from __future__ import annotations

import gzip
import subprocess
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from genvd.config.schema import Config
from genvd.metrics.exposition import GZIP_LEVEL, OPENMETRICS
from tests.support import debian
from tools.fleet.machines import SimulatedMachine, Watched
from tools.scaling.machine import Shape, collectors

_STARTED = 1_790_000_000
_LOOKS = 3
"""The ledger counts from the second one on."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a scrape has, or a part of it."""

    series: float
    bytes: float
    compressed: float
    """Bytes with gzip."""

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.series - other.series, self.bytes - other.bytes, self.compressed - other.compressed)

    def __mul__(self, number: float) -> Cost:
        return Cost(self.series * number, self.bytes * number, self.compressed * number)


def cost(shape: Shape, config: Config | None = None) -> Cost:
    """Return what a scrape of a machine has, in the format that Prometheus asks for.

    Args:
        shape: how many of everything there are.
        config: which groups of metrics there are; as shipped if there is none.
    """
    config = config or Config()
    machine = Watched(collectors(shape), config)
    for _ in range(_LOOKS):
        snapshot = machine.look()
    body = machine.exposition(snapshot, OPENMETRICS)
    series = sum(not line.startswith(b"#") for line in body.splitlines())
    return Cost(series, len(body), len(gzip.compress(body, GZIP_LEVEL, mtime=0)))


def bytes_per_sample(directory: Path, devices: int, interval: int, hours: int = 2) -> float:
    """Return the bytes that a sample takes in Prometheus' database, with its index, once it is in a block.

    Args:
        directory: for the database, which is left there.
        devices: of the simulated machine that is scraped.
        interval: seconds from one scrape to the next.
        hours: a block has two, before blocks are joined.
    """
    machine, samples = SimulatedMachine(devices, 0, interval), 0
    file = directory / "samples.txt"
    with file.open("wb") as out:
        for moment in range(_STARTED // 7200 * 7200, _STARTED // 7200 * 7200 + hours * 3600, interval):
            with patch("time.time", return_value=float(moment)), patch("time.monotonic", return_value=float(moment)):
                body = machine.exposition(machine.look())
            lines = [line for line in body.splitlines() if not line.startswith(b"#")]
            samples += len(lines)
            out.writelines(b"%s %d\n" % (line, moment) for line in lines)
        out.write(b"# EOF\n")
    database = directory / "data"
    promtool = debian.program("promtool", "prometheus")
    command = (promtool, "tsdb", "create-blocks-from", "openmetrics", str(file), str(database))
    subprocess.run(command, check=True, capture_output=True)
    return sum(path.stat().st_size for path in database.rglob("*") if path.is_file()) / samples
