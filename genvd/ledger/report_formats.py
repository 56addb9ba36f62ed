"""Writes a report as a table, CSV or JSON."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import re
from datetime import datetime
from typing import TYPE_CHECKING

from genvd.common.text import escape_unprintable
from genvd.common.text_width import pad, width
from genvd.ledger.report import LABELS, Report, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_PERIOD = ("since_timestamp_seconds", "until_timestamp_seconds")
_AMOUNTS = ("allocated_device_seconds", "active_device_seconds", "idle_device_seconds", "energy_joules")
_OUTSIDE = "outside_device_seconds"
_HEADINGS = ("allocated", "active", "idle", "energy")
_TIME_UNITS = (("GPU-h", 3600.0), ("GPU-min", 60.0), ("GPU-s", 1.0))
_ENERGY_UNITS = (("kWh", 3.6e6), ("Wh", 3600.0), ("J", 1.0))
_MIN_DECIMALS, _MAX_DECIMALS = 2, 4
_UNKNOWN = "-"
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
"""The beginning of a cell that a spreadsheet may take for a formula, also after spaces and in full-width characters."""
_UNKNOWN_USER = "(unknown)"
_NO_ENVIRONMENT = "(none)"


def as_table(report: Report) -> str:
    """Return aligned text with a line of totals, in local time and GPU-hours, or in smaller units for small amounts."""
    if report.since == report.until:
        return f"{_local(report.since)}: no stored hour or day begins in this period; choose a longer one.\n"
    period = " to ".join(_local(time) for time in (report.since, report.until))
    if not report.rows:
        return f"{period}: no GPU was allocated.\n"
    names = [label for label in LABELS[report.by] if label != "uid"]
    labels, amounts = [_names(report.by, row) for row in report.rows], [_amounts(row) for row in report.rows]
    if len(report.rows) > 1:
        labels.append(["total", *[""] * (len(names) - 1)])
        amounts.append(tuple(map(_sum, zip(*amounts, strict=True))))
    columns = _columns(list(zip(*amounts, strict=True)))
    lines = [[*cells, *row] for cells, row in zip([names, *labels], zip(*columns, strict=True), strict=True)]
    widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
    return f"{period}\n\n" + "".join(_line(line, widths, len(names)) for line in lines)


def as_csv(report: Report) -> str:
    """Return comma-separated values with a header; unknown values are empty. Each line has the period of the report.

    New columns come last, for programs that know the columns by their numbers.

    Text that a spreadsheet would take for a formula is prefixed with an apostrophe.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*LABELS[report.by], *_AMOUNTS, *_PERIOD, _OUTSIDE))
    period = (report.since, report.until)
    writer.writerows(
        (*map(_without_formula, row.labels), *_amounts(row), *period, row.outside_seconds) for row in report.rows
    )
    return text.getvalue()


def as_json(report: Report) -> str:
    """Return a JSON document; unknown values are null."""
    document = {
        **dict(zip(_PERIOD, (report.since, report.until), strict=True)),
        "by": report.by,
        "rows": [
            {
                **dict(zip(LABELS[report.by], map(_escaped, row.labels), strict=True)),
                **amounts_by_key(row),
            }
            for row in report.rows
        ],
        "days": [{"timestamp_seconds": row.labels[0], **amounts_by_key(row)} for row in report.days],
        "capacity_device_seconds": report.capacity,
    }
    return json.dumps(document, indent=2) + "\n"


FORMATS: dict[str, Callable[[Report], str]] = {"table": as_table, "csv": as_csv, "json": as_json}


def amounts_by_key(row: Row) -> dict[str, float | None]:
    """Return the amounts of a row by their keys in JSON."""
    return {**dict(zip(_AMOUNTS, _amounts(row), strict=True)), _OUTSIDE: row.outside_seconds}


def _amounts(row: Row) -> tuple[float | None, ...]:
    return (row.allocated_seconds, row.active_seconds, row.idle_seconds, row.energy_joules)


def _columns(columns: list[tuple[float | None, ...]]) -> Iterator[list[str]]:
    """Yield each column of amounts with its heading. All times have the same unit, so that they can be compared."""
    *times, energies = columns
    time_unit = _unit(_TIME_UNITS, itertools.chain(*times))
    units = (*[time_unit] * len(times), _unit(_ENERGY_UNITS, energies))
    for heading, (unit, size), amounts in zip(_HEADINGS, units, columns, strict=True):
        yield [f"{heading} {unit}", *_cells([None if amount is None else amount / size for amount in amounts])]


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


def _sum(amounts: tuple[float | None, ...]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None


def _names(by: str, row: Row) -> list[str]:
    if by == "device":
        return [_text(row.labels[0])]
    names = [_text(row.labels[0]) or _UNKNOWN_USER]
    if by == "environment":
        _, eid, name, created = row.labels
        names += [_text(eid) or _NO_ENVIRONMENT, _text(name), _local(created) if isinstance(created, int) else ""]
    return names


def _text(value: str | int | None) -> str:
    return "" if value is None else escape_unprintable(str(value))  # --ledger may name a file of somebody else


def _escaped(value: str | int | None) -> str | int | None:
    return escape_unprintable(value) if isinstance(value, str) else value


def _without_formula(value: str | int | None) -> str | int | None:
    """Return a cell that no spreadsheet takes for a formula (OWASP, CSV Injection)."""
    shown = _escaped(value)
    begins_formula = (
        isinstance(shown, str) and isinstance(value, str) and (_FORMULA.match(shown) or _FORMULA.match(value))
    )
    return f"'{shown}" if begins_formula else shown


def _local(time: float) -> str:
    try:
        return datetime.fromtimestamp(time).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):  # the year is outside the range of datetime
        return f"{time:.0f}"


def _line(cells: list[str], widths: list[int], texts: int) -> str:
    padded = [
        pad(cell, columns, right=number >= texts)
        for number, (cell, columns) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip() + "\n"
