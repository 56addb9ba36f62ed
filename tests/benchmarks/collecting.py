"""What a collection takes: rows of the table."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.benchmarks.bench import Bench, each, in_turns
from tests.benchmarks.peers import CLIENT, EXISTING, GENV, NVITOP, NVITOP_EXPORTER
from tests.benchmarks.table import Goal, Row, milliseconds, percent

if TYPE_CHECKING:
    from pathlib import Path

    from tests.benchmarks.machine import Machine
    from tests.benchmarks.subject import Subject

ALL: dict[str, object] = {"metrics_pcie_throughput": True}
_GROUPS = (
    *("device_details", "memory_health", "nvlink", "mig", "xid", "pcie_throughput", "gpm"),
    *("processes", "environments", "users", "policy"),
)
SIXTEEN: dict[str, object] = {"ledger_enabled": False, **{f"metrics_{group}": False for group in _GROUPS}}
_NOT_DEARER = Goal(1.25)
"""Before the client library wrote the metrics it was once as much: with a third of the values moving, in turns."""


def rows(bench: Bench, machine: Machine) -> Iterator[Row]:
    """Measure, and return the rows."""
    bench.say("collections ...")
    with ExitStack() as stack:
        found = in_turns(bench.effort.rounds, _tasks(bench, machine, stack))
    with bench.own(machine, **ALL) as own:
        share = own.do("moved")["share"]
    floor, look, tick = found["floor"], found["look"], found["tick"]
    rendered = found[CLIENT] + floor
    yield Row("share of the series that move at a tick", share, percent, goal=Goal(least=1 / 3, show=percent))
    yield Row("CPU of a tick up to the Snapshot, all metrics", look, milliseconds, "floor", floor)
    name = f"{CLIENT} rendering + floor"
    yield Row("CPU of a complete tick, one format rendered", tick, milliseconds, name, rendered, _NOT_DEARER)
    yield Row("CPU of a complete tick, not scraped", found["unscraped"], milliseconds)
    sixteen = found["sixteen"]
    what = "CPU of a complete tick, the sixteen metrics only"
    yield Row(what, sixteen, milliseconds, GENV, found.get(GENV))
    realistic = f"{GENV}, nvidia-smi takes {bench.nvidia_smi_ms} ms"
    yield Row(what, sixteen, milliseconds, realistic, found.get("realistic"))
    yield Row("CPU of a complete tick, everything", tick, milliseconds, NVITOP, found.get(NVITOP))


def _tasks(bench: Bench, machine: Machine, stack: ExitStack) -> dict[str, Callable[[], float]]:
    times = bench.effort.times
    own = stack.enter_context(bench.own(machine, **ALL))
    sixteen = stack.enter_context(bench.own(machine, **SIXTEEN))
    floor = stack.enter_context(bench.subject(machine, "floor", *map(str, machine.pids)))
    library = stack.enter_context(bench.subject(machine, "client_library", str(exposition(bench, own))))
    tasks = {
        "floor": each(floor, "look", times),
        "look": each(own, "look", times),
        "tick": each(own, "tick", times),
        "sixteen": each(sixteen, "tick", times),
        CLIENT: each(library, "render", times),
    }
    unscraped = stack.enter_context(bench.own(machine, **ALL))
    tasks["unscraped"] = each(unscraped, "tick-unscraped", times)
    if bench.peers:
        some = max(1, times // 4)
        slow = {"NVIDIA_SMI_CPU_MS": str(bench.nvidia_smi_ms)}
        existing = stack.enter_context(EXISTING.stepped(machine, bench.new_directory("genv")))
        realistic = stack.enter_context(EXISTING.stepped(machine, bench.new_directory("genv"), slow))
        nvitop = stack.enter_context(NVITOP_EXPORTER.stepped(machine, bench.new_directory("nvitop")))
        tasks[GENV] = each(existing, "collect", some)
        tasks["realistic"] = each(realistic, "collect", max(1, times // 10))
        tasks[NVITOP] = each(nvitop, "collect", some)
    return tasks


def exposition(bench: Bench, own: Subject) -> Path:
    """Have the monitor tick; return a file with what it then exports."""
    own.do("tick", 2)
    path = bench.new_directory("exposition")
    with urllib.request.urlopen(f"http://127.0.0.1:{own.port}/metrics") as response:
        path.write_bytes(response.read())
    return path
