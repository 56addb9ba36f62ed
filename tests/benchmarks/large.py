"""A machine with thousands of processes: rows of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.benchmarks.bench import Bench, each, in_turns
from tests.benchmarks.collecting import FLOOR, LIMIT, client_library, new_helper
from tests.benchmarks.peers import CLIENT
from tests.benchmarks.table import Goal, Row, microseconds

if TYPE_CHECKING:
    from tests.benchmarks.machine import Shape

_LIMIT = 100_000
"""Entities with series of their own: all of them."""
_OWN = "genv-monitor"
_LINEAR = 1.1
"""Twice as many processes take no more than twice the time, but for the noise."""


def processes(bench: Bench) -> Iterator[Row]:
    """Measure a tick with more and more processes, and return the rows."""
    shape = bench.effort.large
    counts = few, many = shape.processes // 2, shape.processes
    bench.say(f"{few:,} and {many:,} processes ...")
    with ExitStack() as stack:
        tasks: dict[tuple[str, int], Callable[[], float]] = {}
        for count in counts:
            tasks |= _tasks(bench, replace(shape, processes=count), stack)
        found = in_turns(max(1, bench.effort.rounds // 2), tasks)
    ticks, floors, writing = ([found[name, count] for count in counts] for name in (_OWN, FLOOR, CLIENT))
    each_tick, each_floor = ticks[1] / many, floors[1] / many
    what = f"CPU of a tick for each of {many:,} processes"
    limit = LIMIT, each_floor + writing[1] / many / 3
    yield Row(what, each_tick, microseconds, FLOOR, each_floor, Goal(1.5), limit)
    yield Row(what, each_tick, microseconds, f"for each of {few:,}", ticks[0] / few, Goal(_LINEAR))


def _tasks(bench: Bench, shape: Shape, stack: ExitStack) -> dict[tuple[str, int], Callable[[], float]]:
    """Return what measures the CPU seconds of a tick, of the bare reads, and of the client library writing all."""
    machine = stack.enter_context(bench.machine(shape))
    helper = stack.enter_context(new_helper(bench))
    own = stack.enter_context(bench.own(machine, helper, limits_processes=_LIMIT, limits_environments=_LIMIT))
    floor = stack.enter_context(bench.subject(machine, "floor", *map(str, machine.pids)))
    return {
        (_OWN, shape.processes): each(own, "tick", 3, helper),
        (FLOOR, shape.processes): each(floor, "look", 3),
        (CLIENT, shape.processes): client_library(bench, machine, own, stack),
    }
