"""Lays out a table as text: columns are as wide as their content, and shrink if the terminal is too narrow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from genvd.common.text import escape_unprintable
from genvd.common.text_width import pad, width
from genvd.terminal.style import Line, Piece, Style

_GAP = 2
_MIN_WIDTH = 6
"""Columns do not become narrower than this."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its title, and how it shows a row."""

    title: str
    text: Callable[[Any], str]
    right: bool = False
    """Whether it is aligned right, as numbers are."""
    shrinks: bool = False
    """Whether it may be cut if the terminal is too narrow."""
    style: Callable[[Any], Style] = lambda _: Style.PLAIN


def table(columns: Sequence[Column], rows: Sequence[Any], max_width: int | None) -> list[Line]:
    """Return the lines of a table, the heading first.

    Args:
        columns: from left to right.
        rows: from top to bottom.
        max_width: width of the terminal; None for no limit.
    """
    cells = [[escape_unprintable(column.text(row)) for column in columns] for row in rows]
    needed = [max([width(column.title), *(width(line[n]) for line in cells)]) for n, column in enumerate(columns)]
    widths = needed if max_width is None else _shrunk(columns, needed, max_width)
    heading = _line(columns, [column.title for column in columns], widths, [Style.DIM] * len(columns))
    return [
        heading,
        *(
            _line(columns, line, widths, [column.style(row) for column in columns])
            for row, line in zip(rows, cells, strict=True)
        ),
    ]


def _shrunk(columns: Sequence[Column], needed: list[int], max_width: int) -> list[int]:
    """Return the widths of the columns; the widest ones are narrowed until the table fits, if possible."""
    widths = list(needed)
    excess = sum(widths) + _GAP * (len(widths) - 1) - max_width
    while excess > 0:
        widest = max((n for n, column in enumerate(columns) if column.shrinks), key=lambda n: widths[n], default=None)
        if widest is None or widths[widest] <= _MIN_WIDTH:
            break
        widths[widest] -= 1
        excess -= 1
    return widths


def _line(columns: Sequence[Column], texts: list[str], widths: list[int], styles: list[Style]) -> Line:
    last = len(columns) - 1
    pieces = []
    for number, (column, text, column_width, style) in enumerate(zip(columns, texts, widths, styles, strict=True)):
        filled = pad(text, column_width, right=column.right)
        pieces.append(Piece(filled.rstrip() if number == last else filled + " " * _GAP, style))
    return tuple(pieces)
