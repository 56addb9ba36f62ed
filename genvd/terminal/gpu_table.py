"""The table of GPUs, with bars and curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genvd.terminal.curves import LEVELS, SIMPLE_LEVELS, sparkline
from genvd.terminal.style import Style
from genvd.terminal.table import Column, Order, Table
from genvd.terminal.values import (
    LAST,
    UNKNOWN,
    duration,
    gib,
    integer,
    largest_first,
    load_style,
    oldest_first,
    percent,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from genvd.analysis.availability import DeviceState
    from genvd.overview.devices import DeviceRow
    from genvd.terminal.machine import Gpu, Machine

BLOCKS = "█░"
"""Characters of a bar: filled and empty."""

CURVES_MIN_COLUMNS = 120
"""The last hour is drawn on terminals of at least this width."""

_TWO_CURVES_MIN_COLUMNS = 160
_CURVE_WIDTH = 24
"""The least width of a curve: it has a character for each 2.5 minutes then."""


@dataclass(frozen=True, slots=True)
class Font:
    """Which characters the terminal can show."""

    blocks: bool = True
    """Full and shaded blocks, for bars."""
    eighths: bool = True
    """Blocks of each height, for curves."""

    @property
    def levels(self) -> str | None:
        """The characters of a curve; None without blocks."""
        if not self.blocks:
            return None
        return LEVELS if self.eighths else SIMPLE_LEVELS


def gpus(machine: Machine, font: Font, columns: int | None) -> Table:
    """Return the table of GPUs.

    Args:
        machine: the data.
        font: what the terminal can show.
        columns: width of the terminal; None for no limit.
    """
    listed = [
        Column("GPU", lambda g: str(g.row.index), right=True, style=_gpu_style),
        Column("USER", _users, shrinks=True, style=_user_style, order=Order.USER, sort_key=_by_first_user),
        Column(
            "STATE",
            lambda g: state(g.row, machine.now),
            style=_state_style,
            order=Order.IDLE,
            sort_key=lambda g: oldest_first(g.row.idle_since),
        ),
        Column(
            "UTIL",
            lambda g: percent(g.row.utilization),
            right=True,
            style=lambda g: load_style(g.row.utilization),
            order=Order.UTILIZATION,
            sort_key=lambda g: largest_first(g.row.utilization),
        ),
        *_bar(font, lambda g: g.row.utilization, 5),
        Column(
            "GiB",
            lambda g: _memory(g.row),
            right=True,
            style=lambda g: load_style(_used_ratio(g.row)),
            order=Order.MEMORY,
            sort_key=lambda g: largest_first(_used_ratio(g.row)),
        ),
        *_bar(font, lambda g: _used_ratio(g.row), 7),
        Column("°C", lambda g: integer(g.row.temperature_celsius), right=True, style=_temperature_style, optional=3),
        Column("W", lambda g: integer(g.row.power_watts), right=True, optional=6),
        Column("ENVIRONMENT", _environments, shrinks=True, optional=2),
    ]
    if machine.one_name is None:
        listed.append(Column("NAME", lambda g: g.row.name or UNKNOWN, shrinks=True, optional=8))
    return Table("gpu", [*listed, *_curves(machine, font, columns)], machine.gpus or (), lambda g: str(g.row.index))


def _bar(font: Font, ratio: Callable[[Gpu], float | None], optional: int) -> list[Column]:
    if not font.blocks:
        return []
    return [
        Column(
            "",
            lambda _: "",
            style=lambda g: load_style(ratio(g)),
            draw=lambda g, size: bar(ratio(g), size),
            widths=(6, 12),
            optional=optional,
        )
    ]


def _curves(machine: Machine, font: Font, columns: int | None) -> list[Column]:
    """Return the columns with the last hour, as many as there is room for."""
    levels = font.levels
    if columns is None or columns < CURVES_MIN_COLUMNS or levels is None or not machine.curves:
        return []

    def curve(gpu: Gpu, size: int, *, memory: bool) -> str:
        points = machine.curves.get(gpu.row.index)
        if points is None:
            return ""
        return sparkline(points.times, points.memory if memory else points.utilization, machine.now, size, levels)

    shown = [Column("UTIL, LAST HOUR", _nothing, draw=lambda g, size: curve(g, size, memory=False), optional=4)]
    if columns >= _TWO_CURVES_MIN_COLUMNS:
        shown.append(Column("GiB, LAST HOUR", _nothing, draw=lambda g, size: curve(g, size, memory=True), optional=9))
    return [_as_curve(column) for column in shown]


def _as_curve(column: Column) -> Column:
    return Column(
        column.title,
        column.text,
        style=lambda _: Style.LOW_LOAD,
        draw=column.draw,
        widths=(_CURVE_WIDTH, 60),
        optional=column.optional,
    )


def _nothing(_: Any) -> str:
    return ""


def state(device: DeviceRow, now: float) -> str:
    """Return the state of a GPU in words."""
    words = f"{device.state_text} {duration(now - device.idle_since)}" if device.idle_since else device.state_text
    if not device.mig_enabled or device.state == "no_mig_devices":
        return words
    used = f" {device.mig_used} of {len(device.mig)}" if device.mig_used else ""
    return f"{words}, MIG{used}"


_STATE_STYLES: dict[DeviceState, Style] = {
    "free": Style.GOOD,
    "in_use": Style.PLAIN,
    "idle": Style.WARNING,
    "outside": Style.WARNING,
    "down": Style.ERROR,
    "no_mig_devices": Style.WARNING,
    "unknown": Style.DIM,
}


def _state_style(gpu: Gpu) -> Style:
    return _STATE_STYLES[gpu.row.state]


def _gpu_style(gpu: Gpu) -> Style:
    return _STATE_STYLES[gpu.row.state] if gpu.row.state in ("free", "down") else Style.PLAIN


def _users(gpu: Gpu) -> str:
    """Return the users; a plus is before those who do not have it attached."""
    if not gpu.users and (gpu.row.holders is None or gpu.row.holders_total):
        return UNKNOWN
    return ", ".join(f"+{user}" if user in gpu.guests else user for user in gpu.users)


def _user_style(gpu: Gpu) -> Style:
    return Style.WARNING if gpu.guests else Style.TITLE


def _environments(gpu: Gpu) -> str:
    return UNKNOWN if gpu.row.holders is None and not gpu.environments else ", ".join(gpu.environments)


def _by_first_user(gpu: Gpu) -> tuple[str, int]:
    return (gpu.users[0] if gpu.users else LAST, gpu.row.index)


def bar(ratio: float | None, size: int) -> str:
    """Return a bar of this many columns; nothing if the ratio is not known."""
    if ratio is None:
        return ""
    filled = round(min(1.0, max(0.0, ratio)) * size)
    return BLOCKS[0] * filled + BLOCKS[1] * (size - filled)


def _memory(device: DeviceRow) -> str:
    if device.host_memory_total_bytes is None:
        return f"{gib(device.memory_used_bytes)}/{gib(device.memory_total_bytes)}"
    return f"host {gib(device.host_memory_used_bytes)}/{gib(device.host_memory_total_bytes)}"


def _used_ratio(device: DeviceRow) -> float | None:
    used, total = device.memory_used_bytes, device.memory_total_bytes
    if device.host_memory_total_bytes is not None:
        used, total = device.host_memory_used_bytes, device.host_memory_total_bytes
    return used / total if used is not None and total else None


def _temperature_style(gpu: Gpu) -> Style:
    heat, limit = gpu.row.temperature_celsius, gpu.row.slowdown_celsius
    return Style.ERROR if heat is not None and limit is not None and heat >= limit else Style.PLAIN
