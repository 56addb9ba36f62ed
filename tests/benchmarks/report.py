"""The table of a run, with what it was made on, and where it is kept: README.md and docs/performance.md."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
PLACES = ("README.md", "docs/performance.md")
REPOSITORY = Path(__file__).resolve().parents[2]


def machine_kind() -> str:
    """Return what the machine is, without its name."""
    text = Path("/proc/cpuinfo").read_text()
    match = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    model = match[1].strip() if match else platform.machine()
    return (
        f"{model}, {os.cpu_count()} cores, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
    )


def write(table: str, command: str) -> None:
    """Put the table in the place of the last one, in all that show it."""
    text = f"{BEGIN}\n`{command}` on {machine_kind()}:\n\n{table}{END}"
    for name in PLACES:
        path = REPOSITORY / name
        content = path.read_text(encoding="utf-8")
        changed, found = re.subn(f"{BEGIN}.*?{END}", lambda _: text, content, flags=re.DOTALL)
        if not found:
            raise RuntimeError(f"{path}: has no place for the table; put {BEGIN}{END} there")
        path.write_text(changed, encoding="utf-8")
