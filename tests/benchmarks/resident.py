"""The memory of the running service, its start, and what it does between two ticks: rows of the table."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import ExitStack
from threading import Thread
from typing import TYPE_CHECKING

import bcrypt

from tests.benchmarks.bench import Bench, in_turns
from tests.benchmarks.peers import EXISTING, GENV, NVITOP, NVITOP_EXPORTER
from tests.benchmarks.service import DEPENDENCIES, Service, bare_imports, cpu_to_ready, running
from tests.benchmarks.subject import Subject, resident_bytes, waits
from tests.benchmarks.table import Goal, Row, mebibytes, milliseconds, number
from tests.support.monitor import series

if TYPE_CHECKING:
    from pathlib import Path

_COLLECTIONS = series("genv_monitor_collections_total")
_TICK_SECONDS = 0.1
"""The least that the configuration takes."""
_IDLE_TICK_SECONDS = 300
_USER, _PASSWORD = "prometheus", "secret"
_IMPORTS = "bare imports of the dependencies"


def memory(bench: Bench) -> Iterator[Row]:
    """Measure resident memory after many ticks, and return the rows.

    All libraries are at work: a configuration (PyYAML), a password (bcrypt), the ledger, notifications to systemd, and
    scrapes in both formats.
    """
    ticks = bench.effort.ticks
    bench.say(f"memory after {ticks} ticks ...")
    theirs: dict[str, float] = {}
    with ExitStack() as stack:
        machine = stack.enter_context(bench.machine(bench.effort.small))
        options, headers = _with_password(bench)
        service = stack.enter_context(running(bench, machine, *options, headers=headers))
        threads = []
        for peer in (EXISTING, NVITOP_EXPORTER):
            if bench.has(peer.name):
                subject = stack.enter_context(peer.stepped(machine, bench.new_directory(peer.program)))
                threads.append(Thread(target=_collect, args=(bench, subject, ticks, theirs)))
                threads[-1].start()
        while service.monitor.metrics()[_COLLECTIONS] < ticks:
            service.monitor.get("/metrics", {**headers, "Accept": "application/openmetrics-text"})
            time.sleep(10 * _TICK_SECONDS)  # 1,000 ticks take minutes
        ours = resident_bytes(service.monitor.process.pid)
        for thread in threads:
            thread.join()
    what = f"resident memory after {ticks:,} ticks"
    limit = _IMPORTS, bare_imports((*DEPENDENCIES, "bcrypt"))[1]
    smallest = min(theirs, key=theirs.__getitem__, default=GENV)
    yield Row(what, ours, mebibytes, f"{smallest}, the smallest", theirs.get(smallest), Goal(1.25), limit)
    other = NVITOP if smallest == GENV else GENV
    yield Row(what, ours, mebibytes, other, theirs.get(other), limit=limit)


def _with_password(bench: Bench) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the options of a monitor that asks for a password, and the header field with the password."""
    directory: Path = bench.new_directory("configuration")
    directory.mkdir()
    hashed = bcrypt.hashpw(_PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (directory / "web.yml").write_text(f"basic_auth_users: {{{_USER}: {hashed}}}\n")
    (directory / "monitor.yaml").write_text(f"listen: {{web_config_file: {directory / 'web.yml'}}}\n")
    credentials = base64.b64encode(f"{_USER}:{_PASSWORD}".encode()).decode()
    options = ("-c", str(directory / "monitor.yaml"), "-i", str(_TICK_SECONDS))
    return options, {"Authorization": f"Basic {credentials}"}


def _collect(bench: Bench, subject: Subject, ticks: int, found: dict[str, float]) -> None:
    for _ in range(10):
        subject.do("collect", max(1, ticks // 10))
        bench.load(subject.port, 0.001, 1)
    found[subject.name] = subject.resident_bytes


def start(bench: Bench) -> Iterator[Row]:
    """Measure the CPU time of a start, and return the row."""
    bench.say("starts ...")
    with bench.machine(bench.effort.small) as machine:
        tasks = {"own": lambda: cpu_to_ready(bench, machine), _IMPORTS: lambda: bare_imports()[0]}
        found = in_turns(bench.effort.rounds, tasks)
    yield Row("CPU from exec to READY=1", found["own"], milliseconds, _IMPORTS, found[_IMPORTS], Goal(2.5))


def idle(bench: Bench) -> Iterator[Row]:
    """Count how often threads of the service wake up between two ticks, and return the row."""
    bench.say("wake-ups ...")
    with (
        bench.machine(bench.effort.small) as machine,
        running(bench, machine, "-i", str(_IDLE_TICK_SECONDS)) as service,
    ):
        _wait_until_started(service)
        before = _waits(service)
        time.sleep(bench.effort.idle_seconds)
        woken = _waits(service) - before
    what = f"wake-ups in {bench.effort.idle_seconds:g} s without tick and scrape, monitor and helper"
    yield Row(what, woken, number, goal=Goal(0, show=number))


def _wait_until_started(service: Service) -> None:
    """Wait until nothing that the start has left to do woke a thread for three seconds; one minute at most."""
    deadline, quiet = time.monotonic() + 60, 0
    before = _waits(service)
    while quiet < 3 and time.monotonic() < deadline:
        time.sleep(1)
        quiet, before = quiet + 1 if _waits(service) == before else 0, _waits(service)


def _waits(service: Service) -> int:
    return sum(map(waits, service.pids))
