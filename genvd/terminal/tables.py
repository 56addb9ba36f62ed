"""The tables of ``top`` but for that of the GPUs: their columns and rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from genvd.terminal.style import Style
from genvd.terminal.table import Column, Order, Table
from genvd.terminal.values import (
    LAST,
    UNKNOWN,
    duration,
    gib,
    hours,
    integer,
    largest_first,
    load_style,
    numbers,
    oldest_first,
    percent,
    warn_if,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genvd.model.device import MigInstance
    from genvd.overview.environments import EnvironmentRow, ProcessRow
    from genvd.terminal.machine import Machine, Person


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables but for that of the GPUs, which depends on the width of the terminal."""

    people: Table
    environments: Table
    processes: Table
    instances: Table


@lru_cache(maxsize=1)
def tables_of(machine: Machine) -> Tables:
    """Return the tables; the last result is kept with the texts of its rows."""
    return Tables(people(machine), environments(machine), processes(machine), instances(machine))


def instances(machine: Machine) -> Table:
    """Return the table of MIG devices."""
    return Table("mig", _INSTANCES, machine.instances, _instance_key)


def environments(machine: Machine) -> Table:
    """Return the table of environments: those that break a rule first, then by utilisation."""
    rows = sorted(
        machine.environments or (),
        key=lambda row: (not row.violations, -(row.utilization or 0), -(row.memory_bytes or 0)),
    )
    listed = _environment_columns(machine.now)
    if any(row.violations for row in rows):
        listed.append(Column("VIOLATIONS", _violations, shrinks=True, style=lambda _: Style.WARNING))
    return Table("environment", listed, rows, lambda e: e.eid)


def _violations(row: EnvironmentRow) -> str:
    return ", ".join(row.violations).replace("_", " ")


def people(machine: Machine) -> Table:
    """Return the table of users."""
    return Table("user", _person_columns(machine), machine.people or (), lambda p: p.name)


def processes(machine: Machine) -> Table:
    """Return the table of processes, those with the most memory first."""
    rows = sorted(machine.processes or (), key=lambda row: (-(row.memory_bytes or 0), row.pid))
    return Table("process", _PROCESSES, rows, lambda p: str(p.pid))


def _instance_key(row: tuple[int, MigInstance]) -> str:
    return f"{row[0]}/{row[1].number}"


_INSTANCES = (
    Column("GPU", lambda row: str(row[0]), right=True),
    Column("MIG", lambda row: str(row[1].number), right=True),
    Column("PROFILE", lambda row: row[1].profile or UNKNOWN),
    Column("GiB", lambda row: f"{gib(row[1].memory_used_bytes)}/{gib(row[1].memory_total_bytes)}", right=True),
    Column("UTIL", lambda row: percent(row[1].activity.graphics_ratio), right=True),
    Column("SM", lambda row: percent(row[1].activity.sm_ratio), right=True),
    Column("UUID", lambda row: row[1].uuid or UNKNOWN, shrinks=True),
)


def _environment_columns(now: float) -> list[Column]:
    def since(moment: float | None) -> str:
        return UNKNOWN if moment is None else duration(now - moment)

    return [
        Column("USER", lambda e: e.username or UNKNOWN, shrinks=True, style=_bold, order=Order.USER, sort_key=_by_user),
        Column("ENVIRONMENT", lambda e: e.name, shrinks=True),
        Column("GPUS", lambda e: numbers(e.devices), shrinks=True),
        Column(
            "UTIL",
            lambda e: percent(e.utilization),
            right=True,
            style=lambda e: load_style(e.utilization),
            order=Order.UTILIZATION,
            sort_key=lambda e: largest_first(e.utilization),
        ),
        Column("GiB", lambda e: gib(e.memory_bytes), right=True, order=Order.MEMORY, sort_key=_by_memory),
        Column("LIMIT/GPU", lambda e: gib(e.memory_limit_bytes), right=True, optional=2),
        Column("PROCS", lambda e: integer(e.processes), right=True, optional=3),
        Column(
            "IDLE",
            lambda e: since(e.idle_since),
            right=True,
            style=lambda e: warn_if(e.idle_since is not None),
            order=Order.IDLE,
            sort_key=lambda e: oldest_first(e.idle_since),
        ),
        Column("ACTIVE", lambda e: since(e.created), right=True, optional=4),
    ]


def _person_columns(machine: Machine) -> Sequence[Column]:
    def idle(person: Person) -> str:
        return UNKNOWN if person.idle_since is None else duration(machine.now - person.idle_since)

    listed = [
        Column(
            "USER",
            lambda p: p.name,
            shrinks=True,
            style=lambda p: Style.TITLE if p.row else Style.DIM,
            order=Order.USER,
            sort_key=lambda p: p.name,
        ),
        Column("GPUS", lambda p: numbers(p.row.devices) if p.row else UNKNOWN, shrinks=True),
        Column("GiB", lambda p: gib(_person_memory(p)), right=True, order=Order.MEMORY, sort_key=_by_person_memory),
        Column("PROCS", lambda p: integer(p.row.processes) if p.row else UNKNOWN, right=True, optional=2),
        Column(
            "OUTSIDE",
            lambda p: integer(p.row.unmanaged) if p.row else UNKNOWN,
            right=True,
            style=lambda p: warn_if(bool(p.row and p.row.unmanaged)),
            optional=1,
        ),
        Column(
            "IDLE",
            idle,
            right=True,
            style=lambda p: warn_if(p.idle_since is not None),
            order=Order.IDLE,
            sort_key=lambda p: oldest_first(p.idle_since),
        ),
    ]
    if any(person.usage for person in machine.people or ()):
        listed += [
            Column("GPU-HOURS", lambda p: hours(p.usage.attached_seconds) if p.usage else UNKNOWN, right=True),
            Column("IDLE SHARE", _idle_share, right=True),
        ]
    return listed


def _idle_share(person: Person) -> str:
    """Return which part of the time for which they had GPUs they did not use them."""
    usage = person.usage
    if usage is None or usage.idle_seconds is None or not usage.attached_seconds:
        return UNKNOWN
    return percent(usage.idle_seconds / usage.attached_seconds)


def _person_memory(person: Person) -> int | None:
    return person.row.memory_bytes if person.row else None


def _by_person_memory(person: Person) -> float:
    return largest_first(_person_memory(person))


def _by_memory(row: EnvironmentRow | ProcessRow) -> float:
    return largest_first(row.memory_bytes)


def _by_user(row: EnvironmentRow | ProcessRow) -> str:
    return row.username or LAST


def _bold(_: Any) -> Style:
    return Style.TITLE


def environment_of(process: ProcessRow) -> str:
    """Return the environment of a process in words."""
    if process.unmanaged:
        return "outside genv"
    return process.environment or ("unknown" if process.unmanaged is None else UNKNOWN)


_PROCESSES = (
    Column("USER", lambda p: p.username or UNKNOWN, shrinks=True, style=_bold, order=Order.USER, sort_key=_by_user),
    Column("COMMAND", lambda p: p.command or UNKNOWN, shrinks=True),
    Column("PID", lambda p: str(p.pid), right=True),
    Column("ENVIRONMENT", environment_of, shrinks=True, style=lambda p: warn_if(p.unmanaged is True)),
    Column("GPUS", lambda p: numbers(p.devices), shrinks=True),
    Column(
        "UTIL",
        lambda p: percent(p.utilization),
        right=True,
        style=lambda p: load_style(p.utilization),
        order=Order.UTILIZATION,
        sort_key=lambda p: largest_first(p.utilization),
    ),
    Column("GiB", lambda p: gib(p.memory_bytes), right=True, order=Order.MEMORY, sort_key=_by_memory),
    Column("TYPE", lambda p: p.type, optional=1),
)
