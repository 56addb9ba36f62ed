"""``python -m tools.soak [--ticks N] [--only demo|standin]``: exit status 1 if the monitor grows."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil

from tools.soak.machine import ChangingMachine
from tools.soak.measure import EARLY_TICKS, MIB, Finding, Sample, highest, judge, take
from tools.soak.scraper import Scraper

Subject = subprocess.Popen[str]

SUBJECT = (sys.executable, "-m", "tools.soak.subject")
_DEMO_DEVICES = 8
_ROUNDS = 40, 1000
"""Minimum and maximum number of rounds; in between, one for each hundred ticks."""


def main(arguments: list[str] | None = None, subject: Sequence[str] = SUBJECT) -> int:
    """Run the soak test in the chosen modes; return the exit status.

    Args:
        arguments: the command line.
        subject: the command to measure.
    """
    parser = argparse.ArgumentParser(prog="python -m tools.soak", description=__doc__)
    parser.add_argument("--ticks", type=int, default=100_000)
    parser.add_argument("--only", choices=("demo", "standin"))
    options = parser.parse_args(arguments)
    grows = False
    for mode in (options.only,) if options.only else ("demo", "standin"):
        with ExitStack() as stack:
            if mode == "demo":
                findings = _soak([*subject, "--demo", str(_DEMO_DEVICES)], options.ticks, {}, lambda: None)
            else:
                directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="genv-monitor-soak-"))
                machine = stack.enter_context(ChangingMachine(Path(directory)))
                findings = _soak(list(subject), options.ticks, machine.environment, machine.change)
        _show(mode, findings)
        grows = grows or any(finding.grows for finding in findings)
    return int(grows)


def _soak(command: list[str], ticks: int, environment: dict[str, str], change: Callable[[], None]) -> list[Finding]:
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as log, ExitStack() as stack:
        subject = stack.enter_context(
            subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        )
        stack.callback(subject.kill)
        scraper = Scraper(int(_read_line(subject)))
        _tick(subject, 1)
        parts = _parts(ticks - 1)
        samples = [_round(subject, part, scraper, change) for part in parts]
        log.seek(0)
        if "Traceback" in (said := log.read()):
            raise RuntimeError(f"the monitor has a bug:\n{said[:5000]}")
    print(f"{ticks} ticks and {scraper.requests} requests in {time.monotonic() - started:.0f} s", flush=True)
    return [*judge(samples), highest(samples[_early(parts)], samples)]


def _early(parts: Sequence[int]) -> int:
    """Return the number of the first round after which :data:`EARLY_TICKS` ticks have run."""
    made = 1
    for number, part in enumerate(parts):
        made += part
        if made >= EARLY_TICKS:
            return number
    return len(parts) - 1


def _parts(ticks: int) -> list[int]:
    least, most = _ROUNDS
    rounds = max(least, min(most, ticks // 100))
    return [ticks * number // rounds - ticks * (number - 1) // rounds for number in range(1, rounds + 1)]


def _round(subject: Subject, ticks: int, scraper: Scraper, change: Callable[[], None]) -> Sample:
    """Run ticks, and meanwhile change the machine and send requests. Return a sample taken afterwards."""
    _send_ticks(subject, ticks)
    change()
    scraper.send_all()
    _read_line(subject)
    return take(psutil.Process(subject.pid))


def _tick(subject: Subject, ticks: int) -> None:
    _send_ticks(subject, ticks)
    _read_line(subject)


def _send_ticks(subject: Subject, ticks: int) -> None:
    assert subject.stdin
    subject.stdin.write(f"{ticks}\n")
    subject.stdin.flush()


def _read_line(subject: Subject) -> str:
    assert subject.stdout
    line = subject.stdout.readline()
    if not line:
        raise RuntimeError(f"the monitor ended with status {subject.wait()}")
    return line


def _show(mode: str, findings: list[Finding]) -> None:
    print(f"{mode:<20}{'start':>12}{'end':>12}")
    for finding in findings:
        unit, name = (MIB, f"{finding.name}, MiB") if "memory" in finding.name else (1, finding.name)
        shown = [f"{value / unit:>12.{int(unit > 1)}f}" for value in (finding.start, finding.end)]
        print(f"{name:<20}{''.join(shown)}{'   GROWS' if finding.grows else ''}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
