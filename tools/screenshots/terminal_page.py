"""Renders the content of a terminal as an HTML page."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.terminal import Terminal

_STYLE = """
body { margin: 0; background: #0d1117 }
pre { display: inline-block; margin: 0; padding: 12px; background: #0d1117; color: #e6edf3;
      font: 13px/1.35 "DejaVu Sans Mono", monospace }
b { font-weight: 700 }
"""
_COLORS = {"red": "#ff938b", "brown": "#f0b849", "green": "#57c46d", "cyan": "#56d4dd", "magenta": "#d2a8ff"}


def as_html(terminal: Terminal, columns: int, lines: int) -> str:
    """Return the HTML of the terminal's screen."""
    text = "\n".join("".join(_shown(terminal.cell[row][column]) for column in range(columns)) for row in range(lines))
    return f'<!doctype html><meta charset="utf-8"><style>{_STYLE}</style><pre>{text}</pre>'


def _shown(cell: object) -> str:
    text = html.escape(getattr(cell, "data", " "))
    if color := _COLORS.get(getattr(cell, "fg", "")):
        text = f'<span style="color: {color}">{text}</span>'
    return f"<b>{text}</b>" if getattr(cell, "bold", False) else text
