"""The cost of a tick: rows of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from genvd.service.separation import HELPER_MEMORY
from tests.benchmarks.bench import Bench, each, in_turns, scraped, series_in
from tests.benchmarks.peers import CLIENT, EXISTING, GENV, NVITOP, NVITOP_EXPORTER
from tests.benchmarks.subject import resident_bytes
from tests.benchmarks.table import Goal, Row, mebibytes, milliseconds, number, percent
from tests.support.helper import Helper

if TYPE_CHECKING:
    from tests.benchmarks.machine import Machine
    from tests.benchmarks.subject import Subject

ALL: dict[str, object] = {"metrics_pcie_throughput": True}
_GROUPS = (
    *("device_details", "memory_health", "nvlink", "mig", "xid", "pcie_throughput", "gpm"),
    *("processes", "environments", "users", "policy"),
)
SIXTEEN: dict[str, object] = {"ledger_enabled": False, **{f"metrics_{group}": False for group in _GROUPS}}
FLOOR = "bare reads"
LIMIT = f"{FLOOR}, and {CLIENT} writing a third"
"""What no monitor can go below that leaves the writing to the library: a third of the series changes at each tick."""

_ALONE = "without the helper"


def tick(bench: Bench) -> Iterator[Row]:
    """Measure a tick with everything, and return the rows."""
    bench.say("ticks ...")
    with ExitStack() as stack:
        machine = stack.enter_context(bench.machine(bench.effort.small))
        helper = stack.enter_context(new_helper(bench))
        own = stack.enter_context(bench.own(machine, helper, **ALL))
        alone = stack.enter_context(bench.own(machine, **ALL))
        times = bench.effort.times
        floor = stack.enter_context(bench.subject(machine, "floor", *map(str, machine.pids)))
        tasks = {
            "own": each(own, "tick", times, helper),
            _ALONE: each(alone, "tick", times),
            FLOOR: each(floor, "look", times),
            CLIENT: client_library(bench, machine, own, stack),
        }
        peer_series = None
        if bench.has(NVITOP):
            nvitop = stack.enter_context(NVITOP_EXPORTER.stepped(machine, bench.new_directory("nvitop")))
            tasks[NVITOP] = each(nvitop, "collect", max(1, times // 4))
            nvitop.do("collect", 2)
            peer_series = series_in(scraped(nvitop.port))
        share = own.do("moved")["share"]
        series = own.do("series")["series"]
        found = in_turns(bench.effort.rounds, tasks)
        resident = resident_bytes(helper.process.pid)
    ticks = found["own"]
    yield Row(
        *("CPU of a tick, everything", ticks, milliseconds, NVITOP, found.get(NVITOP), Goal(1 / 2)),
        limit=(LIMIT, found[FLOOR] + found[CLIENT] / 3),
    )
    yield Row("series of such a tick", series, number, NVITOP, peer_series)
    yield Row("share of the series that change at a tick", share, percent, goal=Goal(least=1 / 3, show=percent))
    yield Row("CPU of a tick, monitor and helper", ticks, milliseconds, _ALONE, found[_ALONE], Goal(1.1))
    yield Row("resident memory of the helper", resident, mebibytes, goal=Goal(18 * 2**20, show=mebibytes))


def sixteen(bench: Bench) -> Iterator[Row]:
    """Measure a tick with the sixteen metrics of the existing genv monitor, and return the rows."""
    bench.say("ticks with the sixteen metrics ...")
    with ExitStack() as stack:
        machine = stack.enter_context(bench.machine(bench.effort.small))
        helper = stack.enter_context(new_helper(bench))
        own = stack.enter_context(bench.own(machine, helper, **SIXTEEN))
        floor = stack.enter_context(bench.subject(machine, "floor", "sixteen", *map(str, machine.pids)))
        times = bench.effort.times
        tasks = {
            "own": each(own, "tick", times, helper),
            FLOOR: each(floor, "look", times),
            CLIENT: client_library(bench, machine, own, stack),
        }
        for name, milliseconds_of_smi in ((GENV, 0), ("realistic", bench.nvidia_smi_ms)) if bench.has(GENV) else ():
            slow = {"NVIDIA_SMI_CPU_MS": str(milliseconds_of_smi)} if milliseconds_of_smi else {}
            existing = stack.enter_context(EXISTING.stepped(machine, bench.new_directory("genv"), slow))
            tasks[name] = each(existing, "collect", max(1, times // 5))
        found = in_turns(bench.effort.rounds, tasks)
    what, limit = "CPU of a tick, the sixteen metrics only", (LIMIT, found[FLOOR] + found[CLIENT] / 3)
    yield Row(what, found["own"], milliseconds, GENV, found.get(GENV), Goal(1 / 3), limit)
    realistic = f"{GENV}, nvidia-smi takes {bench.nvidia_smi_ms} ms"
    yield Row(what, found["own"], milliseconds, realistic, found.get("realistic"), Goal(1 / 15), limit)


def client_library(bench: Bench, machine: Machine, own: Subject, stack: ExitStack) -> Callable[[], float]:
    """Return what measures the CPU seconds in which the client library writes all series of a monitor once."""
    own.do("tick", 2)
    library = stack.enter_context(bench.subject(machine, "client_library", str(bench.exposition(own.port))))
    return each(library, "render", 1)


@contextmanager
def new_helper(bench: Bench) -> Iterator[Helper]:
    """Return a running helper, as its unit starts it."""
    directory = bench.new_directory("helper")
    directory.mkdir()
    with Helper(directory, HELPER_MEMORY) as helper:
        yield helper
