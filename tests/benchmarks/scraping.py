"""What scrapes take: rows of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from tests.benchmarks.bench import Bench, Load
from tests.benchmarks.collecting import ALL, exposition
from tests.benchmarks.peers import CLIENT, NODE_EXPORTER, NVITOP, NVITOP_EXPORTER, as_it_comes, node_exporter
from tests.benchmarks.resident import monitor
from tests.benchmarks.subject import BARE, cpu_seconds, port_that_is_free
from tests.benchmarks.table import Goal, Row, microseconds, milliseconds, number, percent
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.benchmarks.machine import Machine

OWN, CONSTANT = "genv-monitor", "constant body, Python, epoll"


@dataclass(frozen=True)
class Server:
    """Somebody who is scraped."""

    pid: int
    port: int
    same: bool
    """Whether it gives the same each time."""


@dataclass(frozen=True)
class _Figures:
    per_second: float
    cpu: float
    """Seconds of the server for one scrape."""
    busy: float
    """Share of its time that the one who scrapes computed."""


def rows(bench: Bench, machine: Machine) -> Iterator[Row]:
    """Measure, and return the rows."""
    bench.say("scrapes ...")
    with ExitStack() as stack:
        found = _measure(bench, _servers(bench, machine, stack))
    ours = found[OWN]
    for name, goal in ((CLIENT, Goal(least=20)), (NVITOP, Goal(least=30)), (NODE_EXPORTER, Goal(least=30))):
        theirs = found[name].per_second if name in found else None
        yield Row("scrapes per second, 4 connections", ours.per_second, number, name, theirs, goal)
    yield Row("CPU of one scrape", ours.cpu, microseconds, CONSTANT, found[CONSTANT].cpu)
    for name in (CLIENT, NVITOP, NODE_EXPORTER):
        yield Row("CPU of one scrape", ours.cpu, microseconds, name, found[name].cpu if name in found else None)
    p99, median_of_client = _latencies(bench, machine)
    what = "scrape p99, 4 connections, during ticks"
    yield Row(what, p99, milliseconds, f"{CLIENT}, median", median_of_client, Goal(0.5))
    yield Row("share of a core that the client takes", ours.busy, percent)


def _latencies(bench: Bench, machine: Machine) -> tuple[float, float]:
    """Return p99 of scrapes of the monitor while it ticks, and the median of the same load on the client library."""
    with monitor(bench, machine, "-i", "1") as own:
        file = bench.new_directory("exposition")
        file.write_bytes(wait_for(lambda: own.get("/metrics").body, "a first scrape"))
        with bench.subject(machine, "client_library", str(file)) as library:
            seconds = max(1.0, bench.effort.load_seconds)
            return bench.load(own.port, seconds).p99, bench.load(library.port, seconds).p50


def _servers(bench: Bench, machine: Machine, stack: ExitStack) -> dict[str, Server]:
    own = stack.enter_context(bench.own(machine, **ALL))
    file = str(exposition(bench, own))
    library = stack.enter_context(bench.subject(machine, "client_library", file))
    constant = stack.enter_context(bench.subject(machine, "constant", file))
    servers = {
        OWN: Server(own.process.pid, own.port, same=True),
        CONSTANT: Server(constant.process.pid, constant.port, same=True),
        CLIENT: Server(library.process.pid, library.port, same=True),
    }
    if bench.peers:
        nvitop = stack.enter_context(NVITOP_EXPORTER.stepped(machine, bench.new_directory("nvitop")))
        nvitop.do("collect", 2)
        servers[NVITOP] = Server(nvitop.process.pid, nvitop.port, same=False)
        servers[NODE_EXPORTER] = _node_exporter(bench, stack)
    return servers


def _node_exporter(bench: Bench, stack: ExitStack) -> Server:
    port = port_that_is_free()
    command = [node_exporter(), f"--web.listen-address=127.0.0.1:{port}"]
    process = as_it_comes(command, BARE, bench.new_directory("node-exporter"))
    stack.callback(process.wait)
    stack.callback(process.kill)

    def answers() -> bool:
        try:
            bench.load(port, 0.01, 1)
        except RuntimeError:
            return False
        return True

    wait_for(answers, "node_exporter answers")
    return Server(process.pid, port, same=False)


def _measure(bench: Bench, servers: dict[str, Server]) -> dict[str, _Figures]:
    rounds = max(1, bench.effort.rounds // 2)
    found: dict[str, list[_Figures]] = {name: [] for name in servers}
    for turn in range(rounds + 1):
        for name, server in servers.items():
            figures = _scraped(bench, server)
            if turn:
                found[name].append(figures)
    of: Callable[[str, str], float] = lambda name, key: median(getattr(one, key) for one in found[name])  # noqa: E731
    return {name: _Figures(*(of(name, key) for key in ("per_second", "cpu", "busy"))) for name in servers}


def _scraped(bench: Bench, server: Server) -> _Figures:
    before = cpu_seconds(server.pid)
    load: Load = bench.load(server.port, bench.effort.load_seconds, same=server.same)
    cpu = cpu_seconds(server.pid) - before
    return _Figures(load.per_second, cpu / load.scrapes, load.cpu / load.seconds)
