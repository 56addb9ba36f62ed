"""Machines that are larger than there are today: rows of the table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.benchmarks.bench import Bench, each, in_turns
from tests.benchmarks.collecting import exposition
from tests.benchmarks.peers import CLIENT
from tests.benchmarks.resident import monitor
from tests.benchmarks.table import Goal, Row, microseconds, milliseconds, number
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.benchmarks.machine import Machine

_LIMIT = 100_000
_INTERVAL = 2
"""Seconds from tick to tick while scrapes are timed: five times as many as by default."""
_CONNECTIONS = 4
_NOT_DEARER = Goal(2.3)
"""1.5 times what it was before the client library wrote the metrics, with a third of the values moving."""
_WHAT = "16 devices with 7 MIG instances"


def rows(bench: Bench, machine: Machine) -> Iterator[Row]:
    """Measure, and return the rows; leaves other devices behind."""
    shape = machine.shape
    bench.say(f"{shape.processes} processes ...")
    quarter = replace(shape, processes=shape.processes // 4)
    for part, goal in ((quarter, None), (shape, _NOT_DEARER)):
        machine.write_devices(part)
        what = f"CPU of a tick for each of {part.processes:,} processes, everything rendered"
        tick, rendering = (seconds / part.processes for seconds in _tick(bench, machine))
        yield Row(what, tick, microseconds, f"{CLIENT} rendering", rendering, goal)
    p99, longest = _latency(bench, machine, 0.1)
    yield Row(f"scrape p99, {shape.processes:,} processes, during ticks", p99, milliseconds, goal=_within(10))
    yield Row("slowest of these scrapes", longest, milliseconds)
    bench.say("100,000 series ...")
    machine.write_devices(replace(shape, devices_of_process=bench.effort.devices_of_process))
    with bench.own(machine, limits_processes=_LIMIT, limits_environments=_LIMIT) as own:
        own.do("tick-two-formats", 2)
        yield Row("series", own.do("series")["series"], number)
        ticks = 3
        rendered = own.do("tick-two-formats", ticks)["rendered"] / ticks / 2
        yield Row("renderings for each tick and format", rendered, number, goal=Goal(1, show=number))
    p99, longest = _latency(bench, machine, 0.5)
    yield Row("scrape p99, 100,000 series, during ticks", p99, milliseconds, goal=_within(20))
    yield Row("slowest of these scrapes", longest, milliseconds)


def _within(most: float) -> Goal:
    return Goal(most / 1000, show=lambda value: f"{value * 1000:g} ms")


def _tick(bench: Bench, machine: Machine) -> tuple[float, float]:
    """Return the CPU time of a tick, and of the client library rendering the same series."""
    with ExitStack() as stack:
        own = stack.enter_context(bench.own(machine, limits_processes=_LIMIT, limits_environments=_LIMIT))
        library = stack.enter_context(bench.subject(machine, "client_library", str(exposition(bench, own))))
        tasks = {"tick": each(own, "tick", 3), CLIENT: each(library, "render", 1)}
        found = in_turns(max(1, bench.effort.rounds // 2), tasks)
        return found["tick"], found[CLIENT]


def _latency(bench: Bench, machine: Machine, interval: float) -> tuple[float, float]:
    """Return p99 and the longest of scrapes, each connection asking once in an interval."""
    configuration = bench.new_directory("configuration")
    configuration.write_text(f"limits: {{processes: {_LIMIT}, environments: {_LIMIT}}}\n")
    with ExitStack() as stack:
        arguments = ("-c", str(configuration), "-i", str(_INTERVAL))
        own = stack.enter_context(monitor(bench, machine, *arguments))
        wait_for(lambda: own.get("/metrics").body, "a first scrape")
        load = bench.load(own.port, bench.effort.large_seconds, _CONNECTIONS, interval)
        return load.p99, load.longest
