"""Where the figures of a run are kept: all in docs/performance.md, a few in README.md."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.peers import NVITOP
from tests.benchmarks.table import markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.table import Row

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
ALL, FEW = "docs/performance.md", "README.md"
REPOSITORY = Path(__file__).resolve().parents[2]

_FEW_ROWS = (
    ("CPU of a complete tick, everything", NVITOP, "CPU time of a collection"),
    ("CPU of one scrape", NVITOP, "CPU time of a scrape"),
    ("resident memory after", NVITOP, "memory"),
    ("resident memory of the helper", "", "memory of its helper"),
)
"""The measurements in the README: how each begins, what it is compared with, and its name there."""


def machine_kind() -> str:
    """Return what the machine is, without its name."""
    text = Path("/proc/cpuinfo").read_text()
    match = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    model = match[1].strip() if match else platform.machine()
    return (
        f"{model}, {os.cpu_count()} cores, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
    )


def few(rows: Sequence[Row]) -> str:
    """Return the table of the README: the cost, next to that of the exporter that collects the most alike."""
    lines = [f"| | genv-monitor | {NVITOP} |", "| --- | --- | --- |"]
    for start, peer, name in _FEW_ROWS:
        row = next((row for row in rows if row.what.startswith(start) and row.peer == peer), None)
        if row:
            lines.append(f"| {name} | {' | '.join(row.shown)} |")
    return "".join(f"{line}\n" for line in lines)


def write(rows: Sequence[Row], command: str) -> None:
    """Put the tables in the place of the last ones."""
    _replace(ALL, f"`{command}` on {machine_kind()}:\n\n{markdown(rows)}")
    _replace(FEW, few(rows))


def _replace(name: str, text: str) -> None:
    path = REPOSITORY / name
    content = path.read_text(encoding="utf-8")
    changed, found = re.subn(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n{text}{END}", content, flags=re.DOTALL)
    if not found:
        raise RuntimeError(f"{path}: has no place for the table; put {BEGIN}{END} there")
    path.write_text(changed, encoding="utf-8")
