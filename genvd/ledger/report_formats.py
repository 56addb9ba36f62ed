"""Writes a report as CSV or JSON, and reads JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING, Any

from genvd.common.text import escape_unprintable
from genvd.ledger.amounts import CAPACITY_STATES
from genvd.ledger.report import LABELS, Report, Row
from genvd.ledger.report_table import as_table

if TYPE_CHECKING:
    from collections.abc import Callable

_PERIOD = ("since_timestamp_seconds", "until_timestamp_seconds")
_AMOUNTS = ("allocated_device_seconds", "active_device_seconds", "idle_device_seconds", "energy_joules")
DAY = ("timestamp_seconds", "date")
"""The keys of the labels of a day."""
_OUTSIDE = "outside_device_seconds"
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
"""The beginning of a cell that a spreadsheet may take for a formula, also after spaces and in full-width characters."""


def as_csv(report: Report) -> str:
    """Return comma-separated values with a header; unknown values are empty. Each line has the period of the report.

    New columns come last, for programs that know the columns by their numbers.

    Text that a spreadsheet would take for a formula is prefixed with an apostrophe.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*report.labels, *_AMOUNTS, *_PERIOD, _OUTSIDE))
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
        "user": report.user,
        "private": report.private,
        "rows": [
            {
                **dict(zip(report.labels, map(_escaped, row.labels), strict=True)),
                **amounts_by_key(row),
            }
            for row in report.rows
        ],
        "days": [{**dict(zip(DAY, row.labels, strict=True)), **amounts_by_key(row)} for row in report.days],
        "capacity_device_seconds": report.capacity,
    }
    return json.dumps(document, indent=2) + "\n"


FORMATS: dict[str, Callable[[Report], str]] = {"table": as_table, "csv": as_csv, "json": as_json}


def parse_json(text: bytes) -> Report:
    """Return the report in a JSON document of :func:`as_json`.

    Raises:
        ValueError: it is not such a document.
    """
    try:
        document = json.loads(text)
        by, capacity, user = document["by"], document["capacity_device_seconds"], document["user"]
        since, until = (float(document[key]) for key in _PERIOD)
        rows = tuple(_parse_row(row, LABELS[by]) for row in document["rows"])
        days = tuple(_parse_row({"date": "", **day}, DAY) for day in document["days"])  # early versions have no date
        if capacity is not None:
            capacity = {state: float(capacity[state]) for state in CAPACITY_STATES}
        private = document["private"] is True
        return Report(by, since, until, rows, days, capacity, None if user is None else str(user), private)
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"it is not a report: {type(error).__name__}") from None


def _parse_row(row: dict[str, Any], labels: tuple[str, ...]) -> Row:
    values = tuple(row[label] for label in labels)
    if not all(value is None or isinstance(value, str | int) for value in values):
        raise TypeError
    allocated, *rest = (None if row[key] is None else float(row[key]) for key in (*_AMOUNTS, _OUTSIDE))
    return Row(values, allocated or 0.0, *rest)


def amounts_by_key(row: Row) -> dict[str, float | None]:
    """Return the amounts of a row by their keys in JSON."""
    return {**dict(zip(_AMOUNTS, _amounts(row), strict=True)), _OUTSIDE: row.outside_seconds}


def _amounts(row: Row) -> tuple[float | None, ...]:
    return (row.allocated_seconds, row.active_seconds, row.idle_seconds, row.energy_joules)


def _escaped(value: str | int | None) -> str | int | None:
    return escape_unprintable(value) if isinstance(value, str) else value


def _without_formula(value: str | int | None) -> str | int | None:
    """Return a cell that no spreadsheet takes for a formula (OWASP, CSV Injection)."""
    shown = _escaped(value)
    begins_formula = (
        isinstance(shown, str) and isinstance(value, str) and (_FORMULA.match(shown) or _FORMULA.match(value))
    )
    return f"'{shown}" if begins_formula else shown
