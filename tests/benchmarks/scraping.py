"""The cost of scrapes: rows of the table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tests.benchmarks.bench import Bench, in_turns, series_in
from tests.benchmarks.collecting import ALL
from tests.benchmarks.peers import CLIENT, NODE_EXPORTER, NVITOP, NVITOP_EXPORTER, as_it_comes, node_exporter
from tests.benchmarks.service import running
from tests.benchmarks.subject import BARE, port_that_is_free
from tests.benchmarks.table import Goal, Row, milliseconds, number
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.benchmarks.machine import Machine, Shape

OWN, CONSTANT = "genv-monitor", "constant body, Python, epoll"
_LIMIT = 100_000
"""Entities with series of their own: all of them."""
_TICK_SECONDS = 2
"""Five times as often as by default."""
_INTERVAL_SECONDS = 0.1
"""Seconds between two scrapes on one connection while the service ticks."""
_ROUNDS = 3


@dataclass(frozen=True)
class Server:
    """A server that is scraped."""

    port: int
    same: bool
    """Whether its metrics do not change."""


def scrapes(bench: Bench) -> Iterator[Row]:
    """Measure scrapes per second, and return the rows."""
    bench.say("scrapes ...")
    with ExitStack() as stack:
        machine = stack.enter_context(bench.machine(bench.effort.small))
        servers = _servers(bench, machine, stack)
        tasks = {name: partial(_per_second, bench, server) for name, server in servers.items()}
        found = in_turns(_ROUNDS if bench.effort.rounds > 1 else 1, tasks)
    for name in (NVITOP, NODE_EXPORTER, CLIENT):
        limit = CONSTANT, found[CONSTANT]
        what = "scrapes per second, 4 connections"
        yield Row(what, found[OWN], number, name, found.get(name), Goal(least=10), limit)


def _per_second(bench: Bench, server: Server) -> float:
    return bench.load(server.port, bench.effort.load_seconds, same=server.same).per_second


def latency(bench: Bench) -> Iterator[Row]:
    """Measure how long scrapes take while the service ticks, and return the rows."""
    for shape in bench.effort.served:
        yield _latency(bench, shape)


def _latency(bench: Bench, shape: Shape) -> Row:
    """Return the row of one machine.

    The monitor is scraped on four connections, and its 99th percentile counts; the client library on one, where no
    scrape waits for another, and its median counts.
    """
    configuration = bench.new_directory("configuration")
    configuration.write_text(f"limits: {{processes: {_LIMIT}, environments: {_LIMIT}}}\n")
    arguments = ("-c", str(configuration), "-i", str(_TICK_SECONDS))
    with ExitStack() as stack:
        machine = stack.enter_context(bench.machine(shape))
        own = stack.enter_context(running(bench, machine, *arguments))
        file = bench.exposition(own.port)
        series = series_in(file.read_bytes())
        bench.say(f"latencies, {series:,} series ...")
        library = stack.enter_context(bench.subject(machine, "client_library", str(file)))
        seconds = bench.effort.load_seconds
        tasks = {
            OWN: lambda: bench.load(own.port, seconds, interval=_INTERVAL_SECONDS).p99,
            CLIENT: lambda: bench.load(library.port, seconds, connections=1).p50,
        }
        found = in_turns(_ROUNDS if bench.effort.rounds > 1 else 1, tasks)
    what = f"scrape p99 while ticking, {series:,} series"
    return Row(what, found[OWN], milliseconds, f"{CLIENT}, median", found[CLIENT], Goal(1 / 2))


def _servers(bench: Bench, machine: Machine, stack: ExitStack) -> dict[str, Server]:
    own = stack.enter_context(bench.own(machine, **ALL))
    own.do("tick", 2)
    file = str(bench.exposition(own.port))
    library = stack.enter_context(bench.subject(machine, "client_library", file))
    constant = stack.enter_context(bench.subject(machine, "constant", file))
    servers = {
        OWN: Server(own.port, same=True),
        CONSTANT: Server(constant.port, same=True),
        CLIENT: Server(library.port, same=True),
    }
    if bench.has(NVITOP):
        nvitop = stack.enter_context(NVITOP_EXPORTER.stepped(machine, bench.new_directory("nvitop")))
        nvitop.do("collect", 2)
        servers[NVITOP] = Server(nvitop.port, same=False)
    if bench.has(NODE_EXPORTER):
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
    return Server(port, same=False)
