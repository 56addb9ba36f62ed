"""What the helper that reads processes takes, next to a monitor that reads them itself: rows of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING

from genvd.service.separation import HELPER_MEMORY
from tests.benchmarks.bench import Bench, in_turns
from tests.benchmarks.resident import started
from tests.benchmarks.subject import cpu_seconds, resident_bytes
from tests.benchmarks.table import Goal, Row, mebibytes, milliseconds
from tests.support.helper import Helper

if TYPE_CHECKING:
    from tests.benchmarks.machine import Machine

_ALONE = "without the helper"
_MEMORY = Goal(18 * 2**20, show=mebibytes)
_START = Goal(1.25)


def rows(bench: Bench, machine: Machine) -> Iterator[Row]:
    """Measure, and return the rows."""
    yield from tick_rows(bench, machine, Goal(1.05))
    bench.say("starts with the helper ...")
    found: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(bench.effort.starts):
        for separate in found:
            found[separate].append(_started(bench, machine, separate))
    yield Row(
        "from exec to READY=1, with the helper", median(found[True]), milliseconds, _ALONE, median(found[False]), _START
    )


def tick_rows(bench: Bench, machine: Machine, goal: Goal) -> Iterator[Row]:
    """Measure the ticks on this machine, and return the rows."""
    number, limit = f"{machine.shape.processes:,} processes", 100_000
    bench.say(f"the helper, {number} ...")
    with ExitStack() as stack:
        helper = stack.enter_context(_helper(bench))
        own = stack.enter_context(bench.own(machine, limits_processes=limit, limits_environments=limit))
        separate = stack.enter_context(bench.own(machine, helper, limits_processes=limit, limits_environments=limit))

        def tick() -> float:
            before = cpu_seconds(helper.process.pid)
            cost = separate.cost("tick", times)
            return (cost.cpu + cpu_seconds(helper.process.pid) - before) / times

        def tick_alone() -> float:
            return own.cost("tick", times).each

        times = max(1, bench.effort.times // (10 if machine.shape.processes > 1000 else 1))
        tasks: dict[str, Callable[[], float]] = {"separate": tick, _ALONE: tick_alone}
        ticks = in_turns(bench.effort.rounds, tasks)
        what = f"CPU of a tick with {number}, monitor and helper"
        yield Row(what, ticks["separate"], milliseconds, _ALONE, ticks[_ALONE], goal)
        resident = resident_bytes(helper.process.pid)
        small = machine.shape.processes <= 1000
        yield Row(f"resident memory of the helper, {number}", resident, mebibytes, goal=_MEMORY if small else None)


def _helper(bench: Bench) -> Helper:
    directory = bench.new_directory("helper")
    directory.mkdir()
    return Helper(directory, HELPER_MEMORY)


def _started(bench: Bench, machine: Machine, separate: bool) -> float:
    if not separate:
        return started(bench, machine)[0]
    with _helper(bench) as helper:  # systemd starts it at the same time
        return started(bench, machine, helper.variables)[0]
