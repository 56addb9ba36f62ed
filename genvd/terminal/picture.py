"""The machine at a glance, in lines of text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genvd.terminal.paint import Line, Piece, Style, line
from genvd.terminal.table import Column, table
from genvd.terminal.values import UNKNOWN, count, duration, gib, numbers, percent, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genvd.overview import Overview
    from genvd.overview.devices import DeviceRow, Holder
    from genvd.overview.people import EnvironmentRow, ProcessRow
    from genvd.overview.problems import Problem

_LATE_INTERVALS, _LATE_SECONDS = 3, 5
"""How old facts may be, in intervals and beyond that in seconds, before they are said to be stale."""

_BAR = 8
_ROOM_FOR_BARS = 110
_PROBLEM_SHARE = 3
"""Problems may take the third part of a screen."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What the lines have to fit into, and what is known beside the machine."""

    now: float
    """Unix time in seconds, by the clock of the machine."""
    columns: int | None = None
    """None for as many as it wants; likewise the next."""
    lines: int | None = None
    note: str | None = None
    """Where the facts come from, if that is worth a word."""
    failure: str | None = None
    """Why there are no newer facts."""
    blocks: bool = True
    """Whether bars can be drawn."""


def picture(overview: Overview, frame: Frame) -> list[Line]:
    """Return the lines of the whole picture."""
    head = [*_head(overview, frame), *_problems(overview.problems, frame)]
    sections = [
        table(_device_columns(overview, frame), overview.devices or (), frame.columns),
        table(_environments(overview.timestamp), _by_work(overview.environments), frame.columns),
        table(_USERS, overview.users or (), frame.columns) if frame.lines is None else [],
        table(_PROCESSES, _by_memory(overview.processes), frame.columns),
    ]
    shown = [section for section in sections if len(section) > 1]
    if frame.lines is not None:
        shown = _fitted(shown, frame.lines - len(head) - len(shown))
        return [*head, *(one for section in shown for one in (line(), *section))][: frame.lines]
    return [*head, *(one for section in shown for one in (line(), *section))]


def is_stale(overview: Overview, now: float) -> bool:
    """Tell whether the facts are older than they should ever be."""
    return now - overview.timestamp > _LATE_INTERVALS * (overview.interval_seconds or 0) + _LATE_SECONDS


def _head(overview: Overview, frame: Frame) -> list[Line]:
    age = duration(max(0.0, frame.now - overview.timestamp))
    stale = is_stale(overview, frame.now)
    title = [Piece(f"genv-monitor {overview.host or ''}".rstrip(), Style.TITLE)]
    if overview.simulated:
        title.append(Piece("  simulated machine", Style.WARNING))
    title.append(Piece(f"  as of {age} ago", Style.ERROR if stale else Style.DIM))
    if frame.note:
        title.append(Piece(f"  {frame.note}", Style.DIM))
    lines: list[Line] = [tuple(title), _counts(overview)]
    if frame.failure:
        lines.append(line(f"! {frame.failure}", Style.ERROR))
    elif stale:
        lines.append(line("! The facts are old: see 'journalctl -u genv-monitor'.", Style.ERROR))
    return lines


def _counts(overview: Overview) -> Line:
    works = overview.driver_state == "ok"
    version = overview.driver.driver if overview.driver else None
    state = "works" if works else overview.driver_state.replace("_", " ")
    down = sum(device.up is False for device in overview.devices or ())
    idle = sum(one.idle_since is not None for one in overview.environments or ())
    return (
        Piece(f"driver {f'{version} ' if version else ''}{state}", Style.GOOD if works else Style.ERROR),
        Piece(f"  {count(overview.devices, 'device', 'devices')}"),
        Piece(f" ({down} down)" if down else "", Style.ERROR),
        Piece(f"  {count(overview.environments, 'environment', 'environments')}{f' ({idle} idle)' if idle else ''}"),
        Piece(f"  {count(overview.users, 'user', 'users')}"),
        Piece(f"  {count(overview.processes, 'GPU process', 'GPU processes')}"),
    )


def _problems(problems: Sequence[Problem], frame: Frame) -> list[Line]:
    lines = [one for problem in problems for one in _problem(problem)]
    if frame.lines is None:
        return lines
    return _shortened(lines, max(2, frame.lines // _PROBLEM_SHARE))


def _problem(problem: Problem) -> list[Line]:
    style = Style.ERROR if problem.severity == "error" else Style.WARNING
    more = f" and {problem.more} more" if problem.more else ""
    names = f" {', '.join(problem.names)}{more}" if problem.names else ""
    told = f" ({problem.detail})" if problem.detail else ""
    return [(Piece(f"! {problem.what}", style), Piece(names)), line(f"  {problem.todo}{told}", Style.DIM)]


def _fitted(sections: list[list[Line]], room: int) -> list[list[Line]]:
    """Return the sections in so many lines together: those that need little get it, the others share the rest.

    The first one has a double share.
    """
    shares = {number: 1 if number else 2 for number in range(len(sections))}
    rooms, left = {}, max(0, room)
    for number in sorted(shares, key=lambda number: len(sections[number]) / shares[number]):
        waiting = sum(share for other, share in shares.items() if other not in rooms)
        rooms[number] = min(len(sections[number]), left * shares[number] // waiting)
        left -= rooms[number]
    return [_shortened(section, rooms[number]) for number, section in enumerate(sections)]


def _shortened(lines: list[Line], room: int) -> list[Line]:
    if len(lines) <= room:
        return lines
    return [*lines[: max(0, room - 1)], line(f"  and {len(lines) - room + 1} more lines", Style.DIM)][:room]


def _device_columns(overview: Overview, frame: Frame) -> tuple[Column, ...]:
    bars = frame.blocks and frame.columns is not None and frame.columns >= _ROOM_FOR_BARS

    def bar(ratio: float | None) -> str:
        return f" {_bar(ratio)}" if bars else ""

    def state(device: DeviceRow) -> str:
        if device.up is False:
            return "does not answer"
        if device.idle_since is not None:
            return f"idle {duration(overview.timestamp - device.idle_since)}"
        return "MIG" if device.mig_enabled else ""

    return (
        Column("GPU", lambda d: str(d.index), right=True),
        Column("NAME", lambda d: d.name or UNKNOWN, gives=True),
        Column("UTIL", lambda d: percent(d.utilization) + bar(d.utilization), right=True),
        Column("GiB", lambda d: f"{gib(d.memory_used_bytes)}/{gib(d.memory_total_bytes)}{bar(_used(d))}", right=True),
        Column("°C", lambda d: whole(d.temperature_celsius), right=True, style=_heat),
        Column("W", lambda d: whole(d.power_watts), right=True),
        Column("HELD BY", _holders, gives=True),
        Column("STATE", state, style=lambda d: Style.ERROR if d.up is False else Style.WARNING),
    )


def _bar(ratio: float | None) -> str:
    filled = round(min(1.0, max(0.0, ratio or 0.0)) * _BAR)
    return "█" * filled + "░" * (_BAR - filled)


def _used(device: DeviceRow) -> float | None:
    used, total = device.memory_used_bytes, device.memory_total_bytes
    return used / total if used is not None and total else None


def _heat(device: DeviceRow) -> Style:
    heat, limit = device.temperature_celsius, device.slowdown_celsius
    return Style.ERROR if heat is not None and limit is not None and heat >= limit else Style.PLAIN


def _holders(device: DeviceRow) -> str:
    if device.holders is None:
        return UNKNOWN
    more = device.holders_total - len(device.holders)
    return ", ".join([*map(_holder, device.holders), *([f"{more} more"] if more else [])]) or "nobody"


def _holder(holder: Holder) -> str:
    return f"{holder.name or holder.eid} ({holder.username})" if holder.username else holder.name or holder.eid


def _by_work(rows: tuple[EnvironmentRow, ...] | None) -> list[EnvironmentRow]:
    return sorted(rows or (), key=lambda row: (not row.violations, -(row.utilization or 0), -(row.memory_bytes or 0)))


def _by_memory(rows: tuple[ProcessRow, ...] | None) -> list[ProcessRow]:
    return sorted(rows or (), key=lambda row: (-(row.memory_bytes or 0), row.pid))


def _environments(timestamp: float) -> tuple[Column, ...]:
    def since(moment: float | None) -> str:
        return UNKNOWN if moment is None else duration(timestamp - moment)

    return (
        Column("ENVIRONMENT", lambda e: e.name or e.eid, gives=True),
        Column("USER", lambda e: e.username or UNKNOWN, gives=True),
        Column("GPUS", lambda e: numbers(e.devices), gives=True),
        Column("PROCS", lambda e: whole(e.processes), right=True),
        Column("GiB", lambda e: gib(e.memory_bytes), right=True),
        Column("UTIL", lambda e: percent(e.utilization), right=True),
        Column("IDLE", lambda e: since(e.idle_since), right=True),
        Column("ACTIVE", lambda e: since(e.created), right=True),
        Column("BREAKS", lambda e: ", ".join(e.violations).replace("_", " "), style=lambda _: Style.ERROR),
    )


_USERS = (
    Column("USER", lambda u: u.username, gives=True),
    Column("ENVIRONMENTS", lambda u: str(u.environments), right=True),
    Column("GPUS", lambda u: numbers(u.devices), gives=True),
    Column("PROCS", lambda u: whole(u.processes), right=True),
    Column("GiB", lambda u: gib(u.memory_bytes), right=True),
    Column("OUTSIDE", lambda u: whole(u.unmanaged), right=True, style=lambda u: _wrong(bool(u.unmanaged))),
)

_PROCESSES = (
    Column("PID", lambda p: str(p.pid), right=True),
    Column("COMMAND", lambda p: p.command or UNKNOWN, gives=True),
    Column("USER", lambda p: p.username or UNKNOWN, gives=True),
    Column(
        "ENVIRONMENT",
        lambda p: "outside of any" if p.unmanaged else p.environment or UNKNOWN,
        gives=True,
        style=lambda p: _wrong(p.unmanaged is True),
    ),
    Column("GPUS", lambda p: numbers(p.devices), gives=True),
    Column("GiB", lambda p: gib(p.memory_bytes), right=True),
    Column("UTIL", lambda p: percent(p.utilization), right=True),
    Column("TYPE", lambda p: p.type),
)


def _wrong(wrong: bool) -> Style:
    return Style.WARNING if wrong else Style.PLAIN
