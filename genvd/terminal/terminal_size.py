"""The size of the terminal of standard output."""

from __future__ import annotations

import os
import shutil
import sys


def terminal_size() -> tuple[int, int]:
    """Return columns and lines of the terminal; if it reports 0, those of the environment variables."""
    try:
        columns, lines = os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        columns = lines = 0
    if columns > 0 and lines > 0:
        return columns, lines
    fallback = shutil.get_terminal_size()  # uses COLUMNS and LINES
    return columns or fallback.columns or 80, lines or fallback.lines or 24
