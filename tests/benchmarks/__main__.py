"""Prints what the monitor costs beside its peers: ``python -m tests.benchmarks [--quick] [--only PART] [--write]``."""

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

from tests.benchmarks import collecting, large, report, resident, scraping, separated
from tests.benchmarks.bench import FULL, QUICK, Bench, Effort
from tests.benchmarks.machine import Machine
from tests.benchmarks.table import Goal, Row, markdown
from tests.support.debian import BUILD
from tests.support.virtualenvs import REPOSITORY

Part = Callable[[Bench, Machine], Iterator[Row]]

PARTS: dict[str, Part] = {
    "collecting": collecting.rows,
    "scraping": scraping.rows,
    "resident": resident.rows,
    "separated": separated.rows,
    "large": large.rows,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fast look: fewer rounds, and less exact")
    parser.add_argument("--only", choices=PARTS, action="append", help="measure this part only; may be repeated")
    parser.add_argument("--no-peers", action="store_true", help="without the exporters that have to be installed")
    parser.add_argument("--nvidia-smi-ms", type=int, default=30, help="CPU time of the realistic nvidia-smi")
    parser.add_argument(
        "--write",
        action="store_true",
        help="put the table into docs/performance.md, and a few of its figures into README.md",
    )
    options = parser.parse_args(arguments)
    if os.geteuid() != 0:
        print("not root: all processes are of one user, and nobody else's are looked at", file=sys.stderr)
    effort = QUICK if options.quick else FULL
    parts = options.only or tuple(PARTS)
    rows = run(effort, parts, peers=not options.no_peers, nvidia_smi_ms=options.nvidia_smi_ms)
    print(markdown(rows), end="")
    if options.write:
        report.write(rows, "make bench ARGS=--quick" if options.quick else "make bench")


def run(effort: Effort, parts: Sequence[str], *, peers: bool, nvidia_smi_ms: int = 30) -> list[Row]:
    """Measure; return the rows."""
    rows: list[Row] = []
    compileall.compile_dir(REPOSITORY / "genvd", quiet=1)  # as it is where it is installed
    with _directory() as directory:
        bench = Bench(directory, effort, peers, nvidia_smi_ms)
        small = [name for name in parts if name != "large"]
        if small:
            with bench.machine(effort.small) as machine:
                for name in small:
                    rows += PARTS[name](bench, machine)
        if "large" in parts:
            with bench.machine(effort.large) as machine:
                rows += separated.tick_rows(bench, machine, Goal(1.1))
                rows += large.rows(bench, machine)
    return rows


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
