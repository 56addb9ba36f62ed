"""How much a terminal has room for."""

from __future__ import annotations

import os
import shutil
import sys


def terminal_size() -> tuple[int, int]:
    """Return columns and lines of the terminal just now; of one that says 0, those of the environment."""
    try:
        columns, lines = os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        columns = lines = 0
    if columns > 0 and lines > 0:
        return columns, lines
    usual = shutil.get_terminal_size()  # which looks at COLUMNS and LINES first
    return columns or usual.columns or 80, lines or usual.lines or 24
