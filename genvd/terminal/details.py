"""All that is known about the selected row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.common.text_width import pad, wrap
from genvd.terminal.curves import sparkline
from genvd.terminal.gpu_table import state
from genvd.terminal.style import Line, Piece, Style, line
from genvd.terminal.tables import environment_of
from genvd.terminal.values import UNKNOWN, duration, gib, hours, integer, numbers, percent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from genvd.model.device import MigInstance
    from genvd.overview.environments import EnvironmentRow, ProcessRow
    from genvd.terminal.gpu_table import Font
    from genvd.terminal.machine import Gpu, Machine, Person
    from genvd.terminal.style import Target

Fact = tuple[str, str]
"""A name and a value."""

_LABEL_WIDTH = 18
_CURVE_WIDTH = 60


def details(machine: Machine, target: Target, columns: int, font: Font) -> list[Line] | None:
    """Return the lines about a row; None if it is no longer there.

    Args:
        machine: the data.
        target: the row.
        columns: maximum width of a line.
        font: what the terminal can show.
    """
    facts = _FACTS.get(target.table, _no_facts)(machine, target.key, font)
    if facts is None:
        return None
    (title, name), *others = facts
    lines = [line(f"{title} {name}", Style.TITLE), line()]
    for label, value in others:
        shown = wrap(value, max(20, columns - _LABEL_WIDTH))
        for number, part in enumerate(shown):
            lines.append((Piece(pad("" if number else label, _LABEL_WIDTH), Style.DIM), Piece(part)))
    return lines


def _no_facts(_: Machine, __: str, ___: Font) -> list[Fact] | None:
    return None


def _gpu_facts(machine: Machine, key: str, font: Font) -> list[Fact] | None:
    gpu = next((gpu for gpu in machine.gpus or () if str(gpu.row.index) == key), None)
    if gpu is None:
        return None
    row = gpu.row
    return [
        ("GPU", key),
        ("state", state(row, machine.now)),
        ("name", row.name or UNKNOWN),
        ("UUID", row.uuid or UNKNOWN),
        ("attached to", _holders(gpu)),
        ("utilisation", percent(row.utilization)),
        ("memory", f"{gib(row.memory_used_bytes)} of {gib(row.memory_total_bytes)} GiB"),
        *_memory_parts(gpu),
        ("temperature", _of(row.temperature_celsius, row.slowdown_celsius, "°C", "slows down at")),
        ("power", _of(row.power_watts, row.power_limit_watts, "W", "limit")),
        *([("throttled", ", ".join(row.throttled).replace("_", " "))] if row.throttled else []),
        *(("MIG device", _instance(instance)) for instance in row.mig),
        *_problems(machine, row.index),
        *_processes(machine, lambda process: row.index in process.devices),
        *_curves(machine, gpu, font),
    ]


def _of(value: float | None, limit: float | None, unit: str, words: str) -> str:
    """Return a value with its limit, as far as they are known."""
    if value is None:
        return UNKNOWN
    return f"{integer(value)} {unit}" + (f", {words} {integer(limit)} {unit}" if limit is not None else "")


def _instance(instance: MigInstance) -> str:
    memory = f"{gib(instance.memory_used_bytes)} of {gib(instance.memory_total_bytes)} GiB"
    return f"{instance.number}: {instance.profile or UNKNOWN}, {memory}"


def _holders(gpu: Gpu) -> str:
    if gpu.row.holders is None:
        return "not known"
    more = gpu.row.holders_total - len(gpu.row.holders)
    names = [
        f"{holder.name or holder.eid} ({holder.username or UNKNOWN}{', idle' if holder.idle else ''})"
        for holder in gpu.row.holders
    ]
    return ", ".join([*names, *([f"{more} more"] if more else [])]) or "no environment"


def _memory_parts(gpu: Gpu) -> list[Fact]:
    if not gpu.row.memory_by_environment:
        return []
    parts = (
        f"{'unknown environment' if part.unclear else part.name or 'outside genv'} {gib(part.memory_bytes)} GiB"
        for part in gpu.row.memory_by_environment
    )
    return [("memory of", ", ".join(parts))]


def _problems(machine: Machine, index: int) -> Iterable[Fact]:
    for problem in machine.overview.problems:
        if index in problem.devices:
            yield "problem", f"{problem.summary} {problem.action}"


def _curves(machine: Machine, gpu: Gpu, font: Font) -> Iterable[Fact]:
    points, levels = machine.curves.get(gpu.row.index), font.levels
    if points is None or levels is None:
        return
    for label, values in (("util, last hour", points.utilization), ("GiB, last hour", points.memory)):
        yield label, sparkline(points.times, values, machine.now, _CURVE_WIDTH, levels).replace(" ", "\u00a0")


def _environment_facts(machine: Machine, key: str, _: Font) -> list[Fact] | None:
    row = next((row for row in machine.environments or () if row.eid == key), None)
    if row is None:
        return None
    return [
        ("Environment", row.name),
        ("ID", row.eid),
        ("user", row.username or UNKNOWN),
        ("GPUs", numbers(row.devices)),
        *_environment_devices(row, machine.now),
        ("utilisation", percent(row.utilization)),
        ("memory", f"{gib(row.memory_bytes)} GiB"),
        ("idle", UNKNOWN if row.idle_since is None else duration(machine.now - row.idle_since)),
        ("active", UNKNOWN if row.created is None else duration(machine.now - row.created)),
        ("broken rules", ", ".join(row.violations).replace("_", " ") or "none"),
        *_processes(machine, lambda process: process.eid == row.eid),
    ]


def _environment_devices(row: EnvironmentRow, now: float) -> Iterable[Fact]:
    for use in row.uses or ():
        limit = f", limit {gib(use.memory_limit_bytes)}" if use.memory_limit_bytes is not None else ""
        attached = "" if use.attached else ", not attached"
        idle = "" if use.idle_since is None else f", idle {duration(now - use.idle_since)}"
        yield f"on GPU {use.index}", f"{percent(use.utilization)}, {gib(use.memory_bytes)} GiB{limit}{attached}{idle}"


def _person_facts(machine: Machine, key: str, _: Font) -> list[Fact] | None:
    person = next((person for person in machine.people or () if person.name == key), None)
    if person is None:
        return None
    environments = [row for row in machine.environments or () if row.username == key]
    return [
        ("User", person.name),
        ("GPUs", numbers(person.row.devices) if person.row else "none"),
        *(("environment", _environment(row, machine.now)) for row in environments),
        *_processes(machine, lambda process: process.username == key),
        *_usage(person),
    ]


def _environment(row: EnvironmentRow, now: float) -> str:
    idle_on = tuple(use.index for use in row.uses or () if use.idle_since is not None)
    idle = f", idle on {numbers(idle_on)}" if idle_on else ""
    if row.idle_since is not None:
        idle = f", idle {duration(now - row.idle_since)}"
    limit = f", limit {gib(row.memory_limit_bytes)} GiB for each GPU" if row.memory_limit_bytes is not None else ""
    return f"{row.name} on {numbers(row.devices)}: {percent(row.utilization)}, {gib(row.memory_bytes)} GiB{limit}{idle}"


def _usage(person: Person) -> Iterable[Fact]:
    usage = person.usage
    if usage is not None:
        outside = f"; {hours(usage.outside_seconds)} outside genv" if usage.outside_seconds else ""
        yield "GPU-hours", f"{hours(usage.attached_seconds)}, of which {hours(usage.idle_seconds)} idle{outside}"


def _process_facts(machine: Machine, key: str, _: Font) -> list[Fact] | None:
    row = next((row for row in machine.processes or () if str(row.pid) == key), None)
    if row is None:
        return None
    return [
        ("Process", key),
        ("command", row.command or UNKNOWN),
        ("user", row.username or UNKNOWN),
        ("environment", environment_of(row)),
        ("GPUs", numbers(row.devices)),
        ("utilisation", percent(row.utilization)),
        ("memory", f"{gib(row.memory_bytes)} GiB"),
        ("type", row.type),
        ("started", UNKNOWN if row.started is None else f"{duration(machine.now - row.started)} ago"),
        ("started by", row.started_by or UNKNOWN),
    ]


def _processes(machine: Machine, belongs: Callable[[ProcessRow], bool]) -> Iterable[Fact]:
    found: Sequence[ProcessRow] = [process for process in machine.overview.processes or () if belongs(process)]
    for process in found:
        words = (
            f"{process.pid} {process.command or UNKNOWN} ({process.username or UNKNOWN}, {environment_of(process)}):"
        )
        yield "process", f"{words} {percent(process.utilization)}, {gib(process.memory_bytes)} GiB"


def _instance_facts(machine: Machine, key: str, font: Font) -> list[Fact] | None:
    return _gpu_facts(machine, key.partition("/")[0], font)


_FACTS: dict[str, Callable[[Machine, str, Font], list[Fact] | None]] = {
    "gpu": _gpu_facts,
    "environment": _environment_facts,
    "user": _person_facts,
    "process": _process_facts,
    "mig": _instance_facts,
}
