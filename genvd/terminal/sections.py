"""The tables of ``top``: their columns and the format of their values. An unknown value is shown as a dash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.terminal.style import Style
from genvd.terminal.table import Column, table

if TYPE_CHECKING:
    from genvd.overview import Overview
    from genvd.overview.devices import DeviceRow, Holder
    from genvd.overview.environments import EnvironmentRow, ProcessRow
    from genvd.terminal.style import Line


BLOCKS = "█░"
"""Characters of a bar: filled and empty."""

_BAR_WIDTH = 8
_BARS_MIN_COLUMNS = 110
"""Bars are drawn on terminals of at least this width."""


def devices(overview: Overview, columns: int | None, *, blocks: bool) -> list[Line]:
    """Return the table of GPUs. Like the other tables, it has no lines if it has no rows.

    Args:
        overview: the data.
        columns: width of the terminal; None for no limit.
        blocks: whether the terminal can show bars.
    """
    bars = blocks and columns is not None and columns >= _BARS_MIN_COLUMNS
    return _unless_empty(table(_device_columns(overview, bars=bars), overview.devices or (), columns))


def instances(overview: Overview, columns: int | None) -> list[Line]:
    """Return the table of MIG devices."""
    rows = [(device.index, instance) for device in overview.devices or () for instance in device.mig]
    return _unless_empty(table(_INSTANCES, rows, columns))


def environments(overview: Overview, columns: int | None) -> list[Line]:
    """Return the table of environments: those that violate a rule first, then by utilisation."""
    rows = _by_utilization(overview.environments)
    return _unless_empty(table(_environment_columns(overview.timestamp), rows, columns))


def users(overview: Overview, columns: int | None) -> list[Line]:
    """Return the table of users."""
    return _unless_empty(table(_USERS, overview.users or (), columns))


def processes(overview: Overview, columns: int | None) -> list[Line]:
    """Return the table of processes, those with the most memory first."""
    return _unless_empty(table(_PROCESSES, _by_memory(overview.processes), columns))


def _unless_empty(lines: list[Line]) -> list[Line]:
    return lines if len(lines) > 1 else []


def _device_columns(overview: Overview, *, bars: bool) -> tuple[Column, ...]:
    def bar(ratio: float | None) -> str:
        return f" {_bar(ratio)}" if bars else ""

    return (
        Column("GPU", lambda d: str(d.index), right=True),
        Column("NAME", lambda d: d.name or UNKNOWN, shrinks=True),
        Column("UTIL", lambda d: percent(d.utilization) + bar(d.utilization), right=True),
        Column("GiB", lambda d: _memory(d) + bar(_used_ratio(d)), right=True),
        Column("°C", lambda d: integer(d.temperature_celsius), right=True, style=_temperature_style),
        Column("W", lambda d: integer(d.power_watts), right=True),
        Column("ATTACHED TO", _holders, shrinks=True),
        Column(
            "STATE",
            lambda d: _state(d, overview.timestamp),
            style=_state_style,
        ),
    )


def _state(device: DeviceRow, now: float) -> str:
    if device.up is False:
        return "does not answer"
    if device.idle_since is not None:
        return f"idle {duration(now - device.idle_since)}"
    words = ["MIG"] if device.mig_enabled else []
    if device.holders:
        words.append("in use")
    elif device.holders == () and device.running_total:
        words.append("used, not attached")
    return ", ".join(words)


def _state_style(device: DeviceRow) -> Style:
    if device.up is False:
        return Style.ERROR
    return Style.PLAIN if device.holders and device.idle_since is None else Style.WARNING


_INSTANCES = (
    Column("GPU", lambda row: str(row[0]), right=True),
    Column("MIG", lambda row: str(row[1].number), right=True),
    Column("PROFILE", lambda row: row[1].profile or UNKNOWN),
    Column("GiB", lambda row: f"{gib(row[1].memory_used_bytes)}/{gib(row[1].memory_total_bytes)}", right=True),
    Column("UTIL", lambda row: percent(row[1].activity.graphics_ratio), right=True),
    Column("SM", lambda row: percent(row[1].activity.sm_ratio), right=True),
    Column("UUID", lambda row: row[1].uuid or UNKNOWN, shrinks=True),
)


def _bar(ratio: float | None) -> str:
    filled = round(min(1.0, max(0.0, ratio or 0.0)) * _BAR_WIDTH)
    return BLOCKS[0] * filled + BLOCKS[1] * (_BAR_WIDTH - filled)


def _memory(device: DeviceRow) -> str:
    if device.host_memory_total_bytes is None:
        return f"{gib(device.memory_used_bytes)}/{gib(device.memory_total_bytes)}"
    return f"host {gib(device.host_memory_used_bytes)}/{gib(device.host_memory_total_bytes)}"


def _used_ratio(device: DeviceRow) -> float | None:
    used, total = device.memory_used_bytes, device.memory_total_bytes
    if device.host_memory_total_bytes is not None:
        used, total = device.host_memory_used_bytes, device.host_memory_total_bytes
    return used / total if used is not None and total else None


def _temperature_style(device: DeviceRow) -> Style:
    heat, limit = device.temperature_celsius, device.slowdown_celsius
    return Style.ERROR if heat is not None and limit is not None and heat >= limit else Style.PLAIN


def _holders(device: DeviceRow) -> str:
    if device.holders is None:
        return UNKNOWN
    more = device.holders_total - len(device.holders)
    return ", ".join([*map(_holder, device.holders), *([f"{more} more"] if more else [])]) or "nobody"


def _holder(holder: Holder) -> str:
    return f"{holder.name or holder.eid} ({holder.username})" if holder.username else holder.name or holder.eid


def _by_utilization(rows: tuple[EnvironmentRow, ...] | None) -> list[EnvironmentRow]:
    return sorted(rows or (), key=lambda row: (not row.violations, -(row.utilization or 0), -(row.memory_bytes or 0)))


def _by_memory(rows: tuple[ProcessRow, ...] | None) -> list[ProcessRow]:
    return sorted(rows or (), key=lambda row: (-(row.memory_bytes or 0), row.pid))


def _environment_columns(timestamp: float) -> tuple[Column, ...]:
    def since(moment: float | None) -> str:
        return UNKNOWN if moment is None else duration(timestamp - moment)

    return (
        Column("ENVIRONMENT", lambda e: e.name or e.eid, shrinks=True),
        Column("USER", lambda e: e.username or UNKNOWN, shrinks=True),
        Column("GPUS", lambda e: numbers(e.devices), shrinks=True),
        Column("PROCS", lambda e: integer(e.processes), right=True),
        Column("GiB", lambda e: gib(e.memory_bytes), right=True),
        Column("UTIL", lambda e: percent(e.utilization), right=True),
        Column("IDLE", lambda e: since(e.idle_since), right=True),
        Column("ACTIVE", lambda e: since(e.created), right=True),
        Column("VIOLATIONS", lambda e: ", ".join(e.violations).replace("_", " "), style=lambda _: Style.ERROR),
    )


_USERS = (
    Column("USER", lambda u: u.username, shrinks=True),
    Column("ENVIRONMENTS", lambda u: str(u.environments), right=True),
    Column("GPUS", lambda u: numbers(u.devices), shrinks=True),
    Column("PROCS", lambda u: integer(u.processes), right=True),
    Column("GiB", lambda u: gib(u.memory_bytes), right=True),
    Column("OUTSIDE", lambda u: integer(u.unmanaged), right=True, style=lambda u: _warn_if(bool(u.unmanaged))),
)


def _environment_of(process: ProcessRow) -> str:
    if process.unmanaged:
        return "outside genv"
    return process.environment or ("unknown" if process.unmanaged is None else UNKNOWN)


_PROCESSES = (
    Column("PID", lambda p: str(p.pid), right=True),
    Column("COMMAND", lambda p: p.command or UNKNOWN, shrinks=True),
    Column("USER", lambda p: p.username or UNKNOWN, shrinks=True),
    Column(
        "ENVIRONMENT",
        _environment_of,
        shrinks=True,
        style=lambda p: _warn_if(p.unmanaged is True),
    ),
    Column("GPUS", lambda p: numbers(p.devices), shrinks=True),
    Column("GiB", lambda p: gib(p.memory_bytes), right=True),
    Column("UTIL", lambda p: percent(p.utilization), right=True),
    Column("TYPE", lambda p: p.type),
)


def _warn_if(wrong: bool) -> Style:
    return Style.WARNING if wrong else Style.PLAIN


UNKNOWN = "-"
_GIB = 2**30


def gib(value: int | None) -> str:
    """Format bytes in GiB."""
    return UNKNOWN if value is None else f"{value / _GIB:.1f}"


def percent(ratio: float | None) -> str:
    """Format a ratio in percent."""
    return UNKNOWN if ratio is None else f"{ratio * 100:.0f}%"


def integer(value: float | None) -> str:
    """Format a number, rounded to an integer."""
    return UNKNOWN if value is None else f"{value:.0f}"


def numbers(values: tuple[int, ...]) -> str:
    """Format a list of numbers, such as GPU indices."""
    return ",".join(map(str, values)) or UNKNOWN


def duration(seconds: float | None) -> str:
    """Format a duration with one or two units."""
    if seconds is None:
        return UNKNOWN
    rest = max(0, round(seconds))
    if rest < 60:
        return f"{rest}s"
    if rest < 3600:
        return f"{rest // 60}m"
    if rest < 48 * 3600:
        return f"{rest // 3600}h{rest % 3600 // 60:02d}m"
    return f"{rest // 86400}d"


def count(things: tuple[object, ...] | None, one: str, many: str) -> str:
    """Format the number of things, such as ``2 users``."""
    if things is None:
        return f"{many} unknown"
    return f"{len(things)} {one if len(things) == 1 else many}"
