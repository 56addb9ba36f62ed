"""Prints what the monitor costs beside its peers: ``python -m tests.benchmarks [--quick] [--only ROWS] [--write]``."""

from __future__ import annotations

import argparse
import compileall
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from tests.benchmarks import collecting, large, report, resident, scraping
from tests.benchmarks.bench import FULL, QUICK, Bench, Effort
from tests.benchmarks.table import Row
from tests.support.debian import BUILD
from tests.support.virtualenvs import REPOSITORY

Part = Callable[[Bench], Iterator[Row]]

PARTS: dict[str, Part] = {
    "tick": collecting.tick,
    "sixteen": collecting.sixteen,
    "memory": resident.memory,
    "scrapes": scraping.scrapes,
    "latency": scraping.latency,
    "start": resident.start,
    "processes": large.processes,
    "idle": resident.idle,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fast look: fewer rounds, and less exact")
    parser.add_argument("--only", choices=PARTS, action="append", help="measure only these rows; may be repeated")
    parser.add_argument("--no-peers", action="store_true", help="without the exporters that have to be installed")
    parser.add_argument("--nvidia-smi-ms", type=int, default=30, help="CPU time of the realistic nvidia-smi")
    parser.add_argument(
        "--write",
        action="store_true",
        help="put the table into docs/performance.md, and a few of its figures into README.md",
    )
    options = parser.parse_args(arguments)
    if options.write and options.only:
        parser.error("--write needs all rows; leave out --only")
    if os.geteuid() != 0:
        print("not root: all processes belong to one user", file=sys.stderr)
    effort = QUICK if options.quick else FULL
    parts = options.only or tuple(PARTS)
    rows, missing = run(effort, parts, peers=not options.no_peers, nvidia_smi_ms=options.nvidia_smi_ms)
    text = report.full(rows, missing, "make bench ARGS=--quick" if options.quick else "make bench")
    print(text, end="")
    if options.write:
        report.write(text, rows)


def run(
    effort: Effort, parts: Sequence[str], *, peers: bool, nvidia_smi_ms: int = 30
) -> tuple[list[Row], dict[str, str]]:
    """Measure; return the rows, and the exporters that are not there with the reason."""
    compileall.compile_dir(REPOSITORY / "genvd", quiet=1)  # as it is where it is installed
    with _directory() as directory:
        bench = Bench(directory, effort, peers, nvidia_smi_ms)
        return [row for name in parts for row in PARTS[name](bench)], bench.missing


@contextmanager
def _directory() -> Iterator[Path]:
    """Return a new directory, whose path is short enough for a socket in it."""
    (BUILD / "bench").mkdir(parents=True, exist_ok=True)
    directory = Path(mkdtemp(prefix="run-", dir=BUILD / "bench"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
