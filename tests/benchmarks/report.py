"""Where the figures of a run are kept: all in docs/performance.md, a few in README.md."""

from __future__ import annotations

import os
import platform
import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.table import markdown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.benchmarks.table import Row

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
ALL, FEW = "docs/performance.md", "README.md"
REPOSITORY = Path(__file__).resolve().parents[2]

_FEW_ROWS = (
    ("CPU of a tick, everything", "CPU time of a collection"),
    ("scrapes per second", "scrapes per second"),
    ("resident memory after", "memory"),
    ("resident memory of the helper", "memory of its helper"),
)
"""The measurements in the README: how each begins, and its name there. The first row of each counts."""


def machine_kind() -> str:
    """Return what the machine is, without its name."""
    text = Path("/proc/cpuinfo").read_text()
    match = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    model = match[1].strip() if match else platform.machine()
    return (
        f"{model}, {os.cpu_count()} cores, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
    )


def full(rows: Sequence[Row], missing: Mapping[str, str], command: str) -> str:
    """Return the whole table, with the date, the machine, and what is not there."""
    lines = "".join(f"\nNot measured: {name}: {why}\n" for name, why in missing.items())
    return f"`{command}` on {date.today()}: {machine_kind()}.\n\n{markdown(rows)}{lines}"


def few(rows: Sequence[Row]) -> str:
    """Return the table of the README: a few figures, next to those of another exporter."""
    lines = ["| | genv-monitor | other exporter |", "| --- | --- | --- |"]
    for start, name in _FEW_ROWS:
        row = next((row for row in rows if row.what.startswith(start)), None)
        if row:
            ours, theirs = row.shown
            lines.append(f"| {name} | {ours} | {f'{theirs} ({row.peer})' if theirs else ''} |")
    return "".join(f"{line}\n" for line in lines)


def write(text: str, rows: Sequence[Row]) -> None:
    """Replace the tables in the documents."""
    _replace(ALL, text)
    _replace(FEW, few(rows))


def _replace(name: str, text: str) -> None:
    path = REPOSITORY / name
    content = path.read_text(encoding="utf-8")
    changed, found = re.subn(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n{text}{END}", content, flags=re.DOTALL)
    if not found:
        raise RuntimeError(f"{path}: has no place for the table; put {BEGIN}{END} there")
    path.write_text(changed, encoding="utf-8")
