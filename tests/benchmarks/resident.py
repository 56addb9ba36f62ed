"""What the running service takes: its memory, its start, and what it does while there is nothing to do."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from threading import Thread
from typing import TYPE_CHECKING

from tests.benchmarks.bench import Bench, least
from tests.benchmarks.peers import (
    EXISTING,
    GENV,
    NODE_EXPORTER,
    NVITOP,
    NVITOP_EXPORTER,
    Peer,
    as_it_comes,
    node_exporter,
)
from tests.benchmarks.subject import BARE, Subject, cpu_seconds, port_that_is_free, resident_bytes, waits
from tests.benchmarks.table import Goal, Row, mebibytes, milliseconds, number
from tests.support.monitor import Monitor, series
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.benchmarks.machine import Machine

_PROGRAM = Path(sys.executable).with_name("genv-monitor")
_COLLECTIONS = series("genv_monitor_collections_total")
_TICK_SECONDS = 0.1
"""The least that the configuration takes."""
_DEPENDENCIES = ("prometheus_client", "pynvml", "psutil", "sdnotify", "yaml", "h11")


def rows(bench: Bench, machine: Machine) -> Iterator[Row]:
    """Measure, and return the rows."""
    yield from _memory(bench, machine)
    yield from _start(bench, machine)
    yield from _idle(bench, machine)


@contextmanager
def monitor(bench: Bench, machine: Machine, *arguments: str) -> Iterator[Monitor]:
    """Run the monitor as its users do."""
    directory = bench.new_directory("monitor")
    directory.mkdir()
    environment = {**machine.environment(directory.name), "STATE_DIRECTORY": str(directory)}
    with Monitor([*arguments, "--config-dir", directory / "published"], environment) as running:
        yield running


# --- Memory --------------------------------------------------------------------------------------------------


def _memory(bench: Bench, machine: Machine) -> Iterator[Row]:
    ticks = bench.effort.ticks
    bench.say(f"memory after {ticks} ticks ...")
    found: dict[str, float | None] = {GENV: None, NVITOP: None}
    with ExitStack() as stack:
        own = stack.enter_context(monitor(bench, machine, "-i", str(_TICK_SECONDS)))
        threads = []
        for peer in (EXISTING, NVITOP_EXPORTER) if bench.peers else ():
            subject = stack.enter_context(peer.stepped(machine, bench.new_directory(peer.program)))
            threads.append(Thread(target=_collect, args=(bench, subject, ticks, found)))
            threads[-1].start()
        while own.metrics()[_COLLECTIONS] < ticks:
            time.sleep(10 * _TICK_SECONDS)  # as long as that takes; scraped meanwhile
        ours = resident_bytes(own.process.pid)
        for thread in threads:
            thread.join()
    peer_name, theirs = least(list(found.items()))
    what = f"resident memory after {ticks:,} ticks"
    yield Row(what, ours, mebibytes, peer_name, theirs)
    yield Row(what, ours, mebibytes, goal=Goal(45 * 2**20, show=mebibytes))
    other = NVITOP if peer_name == GENV else GENV
    yield Row(what, ours, mebibytes, other, found[other])
    yield Row(what, ours, mebibytes, "bare imports of the six dependencies", _bare_imports())


def _collect(bench: Bench, subject: Subject, ticks: int, found: dict[str, float | None]) -> None:
    for _ in range(10):
        subject.do("collect", max(1, ticks // 10))
        bench.load(subject.port, 0.001, 1)
    found[subject.name] = subject.resident_bytes


def _bare_imports() -> int:
    code = f"import {', '.join(_DEPENDENCIES)}; print(open('/proc/self/status').read())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    match = re.search(r"^VmRSS:\s+(\d+)", done.stdout, re.MULTILINE)
    assert match
    return int(match[1]) * 1024


# --- The start -----------------------------------------------------------------------------------------------


def _start(bench: Bench, machine: Machine) -> Iterator[Row]:
    bench.say("starts ...")
    starts = [started(bench, machine) for _ in range(bench.effort.starts + 1)][1:]
    wall, cpu = (median(values) for values in zip(*starts, strict=True))
    yield Row("from exec to READY=1", wall, milliseconds, goal=Goal(0.4, show=milliseconds))
    yield Row("from exec to READY=1, CPU", cpu, milliseconds)


def started(bench: Bench, machine: Machine, variables: Mapping[str, str] | None = None) -> tuple[float, float]:
    """Return the seconds from exec to READY=1, of the wall and of the CPU."""
    directory = bench.new_directory("start")
    directory.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(directory / "notify"))
        manager.settimeout(60)
        environment = {
            **machine.environment("start"),
            "STATE_DIRECTORY": str(directory),
            "NOTIFY_SOCKET": str(directory / "notify"),
            **(variables or {}),
        }
        begun = time.monotonic()
        process = as_it_comes([str(_PROGRAM), "--port", "0"], environment, directory / "log")
        try:
            while b"READY=1" not in manager.recv(4096):
                pass
            return time.monotonic() - begun, cpu_seconds(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


# --- Idle ----------------------------------------------------------------------------------------------------


def _idle(bench: Bench, machine: Machine) -> Iterator[Row]:
    bench.say("wakeups ...")
    with ExitStack() as stack:
        own = stack.enter_context(monitor(bench, machine, "-i", "300"))
        pids = {"genv-monitor": own.process.pid}
        if bench.peers:
            pids |= {peer.name: _running(bench, machine, peer, stack) for peer in (EXISTING, NVITOP_EXPORTER)}
            command = [node_exporter(), f"--web.listen-address=127.0.0.1:{port_that_is_free()}"]
            pids[NODE_EXPORTER] = _kept(as_it_comes(command, BARE, bench.new_directory("node-exporter")), stack)
        time.sleep(bench.effort.idle_seconds / 2)  # until whatever the start has left to do is done
        before = {name: waits(pid) for name, pid in pids.items()}
        time.sleep(bench.effort.idle_seconds)
        found = {name: (waits(pid) - before[name]) / bench.effort.idle_seconds for name, pid in pids.items()}
    ours = found.pop("genv-monitor")
    what = "wakeups per second between two ticks"
    yield Row(what, ours, number, goal=Goal(0, show=number))
    for name in (GENV, NVITOP, NODE_EXPORTER):
        yield Row(what, ours, number, name, found.get(name))


def _running(bench: Bench, machine: Machine, peer: Peer, stack: ExitStack) -> int:
    programs, directory = peer.installed(), bench.new_directory(peer.program)
    directory.mkdir()
    port = port_that_is_free()
    command = [str(programs / peer.program), *peer.arguments(port, 300, directory)]
    process = as_it_comes(command, machine.environment(directory.name), directory / "log")
    pid = _kept(process, stack)
    wait_for(lambda: _serves(port), f"{peer.name} serves")
    return pid


def _kept(process: subprocess.Popen[bytes], stack: ExitStack) -> int:
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process.pid


def _serves(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
