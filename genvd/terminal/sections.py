"""The tables of the view: which columns they have, and how values are written there; what is not known is a dash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.terminal.style import Style
from genvd.terminal.table import Column, table

if TYPE_CHECKING:
    from genvd.overview import Overview
    from genvd.overview.devices import DeviceRow, Holder
    from genvd.overview.people import EnvironmentRow, ProcessRow
    from genvd.terminal.style import Line


BLOCKS = "█░"
"""Characters of bars."""

_BAR = 8
_ROOM_FOR_BARS = 110


def devices(overview: Overview, columns: int | None, *, blocks: bool) -> list[Line]:
    """Return the lines of the devices; none if there are none, as for all that follow.

    Args:
        overview: what is shown.
        columns: that the lines may take; None for as many as they want.
        blocks: whether bars can be drawn.
    """
    bars = blocks and columns is not None and columns >= _ROOM_FOR_BARS
    return _unless_empty(table(_device_columns(overview, bars=bars), overview.devices or (), columns))


def instances(overview: Overview, columns: int | None) -> list[Line]:
    """Return the lines of the MIG devices."""
    rows = [(device.index, instance) for device in overview.devices or () for instance in device.mig]
    return _unless_empty(table(_INSTANCES, rows, columns))


def environments(overview: Overview, columns: int | None) -> list[Line]:
    """Return the lines of the environments: first those that break rules, then those that work most."""
    rows = _by_work(overview.environments)
    return _unless_empty(table(_environment_columns(overview.timestamp), rows, columns))


def users(overview: Overview, columns: int | None) -> list[Line]:
    """Return the lines of the users."""
    return _unless_empty(table(_USERS, overview.users or (), columns))


def processes(overview: Overview, columns: int | None) -> list[Line]:
    """Return the lines of the processes, those with the most memory first."""
    return _unless_empty(table(_PROCESSES, _by_memory(overview.processes), columns))


def _unless_empty(lines: list[Line]) -> list[Line]:
    return lines if len(lines) > 1 else []


def _device_columns(overview: Overview, *, bars: bool) -> tuple[Column, ...]:
    def bar(ratio: float | None) -> str:
        return f" {_bar(ratio)}" if bars else ""

    return (
        Column("GPU", lambda d: str(d.index), right=True),
        Column("NAME", lambda d: d.name or UNKNOWN, gives=True),
        Column("UTIL", lambda d: percent(d.utilization) + bar(d.utilization), right=True),
        Column("GiB", lambda d: _memory(d) + bar(_used(d)), right=True),
        Column("°C", lambda d: whole(d.temperature_celsius), right=True, style=_heat),
        Column("W", lambda d: whole(d.power_watts), right=True),
        Column("HELD BY", _holders, gives=True),
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
        words.append("used, held by nobody")
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
    Column("UUID", lambda row: row[1].uuid or UNKNOWN, gives=True),
)


def _bar(ratio: float | None) -> str:
    filled = round(min(1.0, max(0.0, ratio or 0.0)) * _BAR)
    return BLOCKS[0] * filled + BLOCKS[1] * (_BAR - filled)


def _memory(device: DeviceRow) -> str:
    if device.host_memory_total_bytes is None:
        return f"{gib(device.memory_used_bytes)}/{gib(device.memory_total_bytes)}"
    return f"host {gib(device.host_memory_used_bytes)}/{gib(device.host_memory_total_bytes)}"


def _used(device: DeviceRow) -> float | None:
    used, total = device.memory_used_bytes, device.memory_total_bytes
    if device.host_memory_total_bytes is not None:
        used, total = device.host_memory_used_bytes, device.host_memory_total_bytes
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


def _environment_columns(timestamp: float) -> tuple[Column, ...]:
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


def _environment_of(process: ProcessRow) -> str:
    if process.unmanaged:
        return "outside of any"
    return process.environment or ("not known" if process.unmanaged is None else UNKNOWN)


_PROCESSES = (
    Column("PID", lambda p: str(p.pid), right=True),
    Column("COMMAND", lambda p: p.command or UNKNOWN, gives=True),
    Column("USER", lambda p: p.username or UNKNOWN, gives=True),
    Column(
        "ENVIRONMENT",
        _environment_of,
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


UNKNOWN = "-"
_GIB = 2**30


def gib(value: int | None) -> str:
    """Return bytes in GiB."""
    return UNKNOWN if value is None else f"{value / _GIB:.1f}"


def percent(ratio: float | None) -> str:
    """Return a share of 1 in percent."""
    return UNKNOWN if ratio is None else f"{ratio * 100:.0f}%"


def whole(value: float | None) -> str:
    """Return a number without what is behind the point."""
    return UNKNOWN if value is None else f"{value:.0f}"


def numbers(values: tuple[int, ...]) -> str:
    """Return numbers, such as those of devices."""
    return ",".join(map(str, values)) or UNKNOWN


def duration(seconds: float | None) -> str:
    """Return how long something lasts, roughly."""
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
    """Return how many things there are."""
    if things is None:
        return f"{many} unknown"
    return f"{len(things)} {one if len(things) == 1 else many}"
