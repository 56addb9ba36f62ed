"""Writes a report as a table for people: ranks, efficiency, bars, days, and what became of the time of all GPUs."""

from __future__ import annotations

import itertools
import math
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from genvd.common.text import escape_unprintable
from genvd.common.text_width import pad, width, wrap
from genvd.ledger.amounts import CAPACITY_STATES
from genvd.ledger.report import Report, Row, total

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_TIMES = ("attached", "active", "idle", "outside")
_TIME_UNITS = (("GPU-h", 3600.0), ("GPU-min", 60.0), ("GPU-s", 1.0))
_ENERGY_UNITS = (("kWh", 3.6e6), ("Wh", 3600.0), ("J", 1.0))
_MIN_DECIMALS, _MAX_DECIMALS = 2, 4
_UNKNOWN = "-"
_UNKNOWN_USER = "(unknown)"
_NO_ENVIRONMENT = "(none)"
_MIN_NAME, _MIN_BAR, _MAX_BAR = 8, 8, 40
_MAX_DAYS = 31
"""Reports of more days have a line for each month."""

BLOCKS, ASCII = "█▒░", "#=o"
"""The parts of a bar: active, idle and outside."""


class Layout(NamedTuple):
    """How a table is written."""

    columns: int | None = None
    """Width of the terminal: names are shortened and bars drawn to fit. None for as wide as it is, without bars."""
    bars: str = ASCII
    now: float = math.inf
    """Unix time in seconds; a period that ends later ends now."""


class _Section(NamedTuple):
    """A part of the table: names and amounts of its rows."""

    headings: tuple[str, ...]
    names: list[list[str]]
    rows: list[Row]


def as_table(report: Report, layout: Layout | None = None) -> str:
    """Return aligned text with totals, in local time and GPU-hours, or in smaller units for small amounts."""
    layout = layout or Layout()
    if report.since == report.until:
        return f"{_local(report.since)}: no stored hour or day begins in this period; choose a longer one.\n"
    if not report.rows and not report.days:
        return f"{_period(report, layout)}: no GPU was attached or used.\n{_note(report)}"
    sections = [section for section in (_main(report), _days(report)) if section.rows]
    everything = [row for section in sections for row in section.rows]
    units = _units(everything)
    title = f"{_period(report, layout)}, in {units[0][0]}\n\n"
    lines = [_lines(section, units, layout) for section in sections]
    legend = _legend(layout) if any(has_bars for _, has_bars in lines) else ""
    parts = [text for text, _ in lines]
    return title + "\n".join((*parts, *filter(None, (_capacity(report, units[0], layout) + legend, _note(report)))))


def _main(report: Report) -> _Section:
    names = [label for label in report.labels if label != "uid"]
    cells = [[str(rank), *_names(report.labels, row)] for rank, row in enumerate(report.rows, 1)]
    rows = list(report.rows)
    if len(rows) > 1:
        cells.append(["", "total", *[""] * (len(names) - 1)])
        rows.append(total(rows))
    return _Section(("#", *names), cells, rows)


def _days(report: Report) -> _Section:
    """Return a line for each day, or for each month of a long report; none for a single day."""
    style = "%Y-%m-%d %a" if len(report.days) <= _MAX_DAYS else "%Y-%m"
    days: dict[str, list[Row]] = {}
    for row in report.days:
        days.setdefault(_day(row, style), []).append(row)
    rows = [total(same) for same in days.values()]
    if len(rows) < 2 and report.rows:
        return _Section((), [], [])
    return _Section(("", "day" if len(report.days) <= _MAX_DAYS else "month"), [["", day] for day in days], rows)


def _day(row: Row, style: str) -> str:
    """Return a day where it was counted, in words."""
    begin, date = row.labels
    try:
        return datetime.strptime(str(date), "%Y-%m-%d").strftime(style)
    except ValueError:  # an early version, or a year outside the range of datetime
        return _local(begin, style)


def _lines(section: _Section, units: Sequence[tuple[str, float]], layout: Layout) -> tuple[str, bool]:
    """Return the lines of a section, and whether they have bars."""
    columns = [list(column) for column in zip(section.headings, *section.names, strict=True)]
    numbers = _numbers(section.rows, units)
    _shrink(columns, numbers, layout.columns)
    texts = len(columns)
    lines = zip(*columns, *numbers, strict=True)
    widths = [max(map(width, column)) for column in (*columns, *numbers)]
    left = (layout.columns or 0) - sum(widths) - 2 * len(widths)
    summed = section.headings[0] == "#" and len(section.rows) > 1
    bars = _bars(section.rows[: len(section.rows) - summed], min(left, _MAX_BAR), layout.bars)
    shown = [_line(line, widths, texts) for line in lines]
    pairs = itertools.zip_longest(shown, bars, fillvalue="")
    return "".join(f"{line}  {bar}".rstrip() + "\n" for line, bar in pairs), bool(bars)


def _shrink(columns: list[list[str]], numbers: list[list[str]], limit: int | None) -> None:
    """Shorten the names until the lines fit; if they still do not, leave out the time of creation, then the rank."""
    if limit is None:
        return
    for column in columns:
        column[0] = "env" if column[0] == "environment" else column[0]
    fixed = sum(max(map(width, column)) + 2 for column in numbers)
    for heading in (None, "created", "#"):
        if heading is not None:
            columns[:] = [column for column in columns if column[0] != heading]
        widths = [max(map(width, column)) for column in columns]
        over = fixed + sum(widths) + 2 * (len(widths) - 1) - limit
        while over > 0 and max(widths) > _MIN_NAME:
            widths[widths.index(max(widths))] -= 1
            over -= 1
        if over <= 0 and heading is None and "created" in (column[0] for column in columns):
            shortened = any(max(map(width, column)) > size for column, size in zip(columns, widths, strict=True))
            over = int(shortened)  # a whole name is worth more than when it was created
        if over <= 0:
            break
    columns[:] = [[pad(cell, size) for cell in column] for column, size in zip(columns, widths, strict=True)]


def _numbers(rows: list[Row], units: Sequence[tuple[str, float]]) -> list[list[str]]:
    """Return the columns of numbers with their headings. All times have the same unit, so that they can be compared."""
    (_, time_size), (energy_unit, energy_size) = units
    times = zip(*map(_row_times, rows), strict=True)
    columns = [
        [heading, *_cells([None if amount is None else amount / time_size for amount in amounts])]
        for heading, amounts in zip(_TIMES, times, strict=True)
    ]
    energies = [None if row.energy_joules is None else row.energy_joules / energy_size for row in rows]
    return [*columns, ["in use", *(_percent(row.efficiency) for row in rows)], [energy_unit, *_cells(energies)]]


def _bars(rows: list[Row], columns: int, parts: str) -> list[str]:
    """Return a heading and a bar for each row, the longest one with so many columns; nothing if there is no space."""
    most = max((row.device_seconds for row in rows), default=0.0)
    if columns < _MIN_BAR or not most:
        return []
    bars = [""]
    for row in rows:
        bar, until = "", 0.0
        for part, amount in zip(parts, (row.active_seconds, row.idle_seconds, row.outside_seconds), strict=True):
            until += amount or 0.0
            bar += part * (round(columns * until / most) - len(bar))
        bars.append(bar)
    return bars


def _legend(layout: Layout) -> str:
    names = zip(layout.bars, ("active", "idle", "outside"), strict=True)
    return "bars: " + ", ".join(f"{part} {name}" for part, name in names) + "\n"


def _capacity(report: Report, unit: tuple[str, float], layout: Layout) -> str:
    """Return how the time of all GPUs was spent."""
    seconds = sum((report.capacity or {}).values())
    if not report.capacity or not seconds:
        return ""
    parts = [(state, report.capacity.get(state, 0.0)) for state in CAPACITY_STATES]
    names = {"attached": "attached (use unknown)"}
    shown = ", ".join(f"{names.get(state, state)} {_percent(part / seconds)}" for state, part in parts if part)
    text = f"Of {seconds / unit[1]:,.0f} {unit[0]} of all GPUs: {shown}."
    return "\n".join(wrap(text, layout.columns or 1000)) + "\n"


def _note(report: Report) -> str:
    if report.note:
        return f"{report.note}\n"
    if not report.private or report.user is not None:
        return ""
    return "Usage is private here, so only sums are shown. Log in with --login and --password-file for your own.\n"


def _period(report: Report, layout: Layout) -> str:
    until = min(report.until, layout.now)
    zones = [_local(time, "%Z") for time in (report.since, until)]
    first = "" if zones[0] == zones[1] else f" {zones[0]}"
    now = " (now)" if report.until >= layout.now else ""
    whose = f"{escape_unprintable(report.user) or _UNKNOWN_USER}, " if report.user is not None else ""
    return f"{whose}{_local(report.since)}{first} to {_local(until)} {zones[1]}{now}"


def _units(rows: Sequence[Row]) -> tuple[tuple[str, float], tuple[str, float]]:
    """Return the unit of all times and that of all energies of a report."""
    times = itertools.chain.from_iterable(map(_row_times, rows))
    return _unit(_TIME_UNITS, times), _unit(_ENERGY_UNITS, (row.energy_joules for row in rows))


def _row_times(row: Row) -> tuple[float | None, ...]:
    return row.allocated_seconds, row.active_seconds, row.idle_seconds, row.outside_seconds


def _unit(units: Iterable[tuple[str, float]], amounts: Iterable[float | None]) -> tuple[str, float]:
    """Return the largest unit that fits into the largest amount; without any amount, the usual unit."""
    units, largest = tuple(units), max((amount or 0 for amount in amounts), default=0)
    return next((unit for unit in units if largest >= unit[1]), units[-1] if largest else units[0])


def _cells(amounts: list[float | None]) -> list[str]:
    """Return a column with enough decimals to tell its smallest amount from 0."""
    lowest = min((amount for amount in amounts if amount), default=1.0)
    wanted = 1 - math.floor(math.log10(lowest)) if lowest > 0 else _MIN_DECIMALS
    decimals = min(max(wanted, _MIN_DECIMALS), _MAX_DECIMALS)
    smallest = 10.0**-decimals
    return [
        _UNKNOWN
        if amount is None
        else f"<{smallest:.{decimals}f}"
        if 0 < amount < smallest / 2
        else f"{amount:.{decimals}f}"
        for amount in amounts
    ]


def _percent(share: float | None) -> str:
    if share is None:
        return _UNKNOWN
    return "<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def _names(labels: Sequence[str], row: Row) -> list[str]:
    cells = []
    for label, value in zip(labels, row.labels, strict=True):
        if label == "created":
            cells.append(_local(value) if isinstance(value, int) else "")
        elif label != "uid":
            cells.append(_text(value) or {"username": _UNKNOWN_USER, "environment": _NO_ENVIRONMENT}.get(label, ""))
    return cells


def _text(value: str | int | None) -> str:
    return "" if value is None else escape_unprintable(str(value))  # --ledger may name a file of somebody else


def _local(time: float | str | None, style: str = "%Y-%m-%d %H:%M") -> str:
    try:
        return datetime.fromtimestamp(float(time or 0)).astimezone().strftime(style)
    except (ValueError, OverflowError, OSError):  # the year is outside the range of datetime
        return f"{time:.0f}" if isinstance(time, int | float) and style != "%Z" else ""


def _line(cells: Sequence[str], widths: list[int], texts: int) -> str:
    padded = [
        pad(cell, columns, right=number >= texts)
        for number, (cell, columns) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()
