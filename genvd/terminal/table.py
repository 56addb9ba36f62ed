"""A table whose columns are as wide as they need to be, and narrower where there is no room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from genvd.common.text import harmless
from genvd.common.text_width import fill, width
from genvd.terminal.style import Line, Piece, Style

_GAP = 2
_NARROWEST = 6
"""Columns to which a name is cut at most, if that makes room."""


@dataclass(frozen=True, slots=True)
class Column:
    """What a column of the table shows of a row."""

    title: str
    text: Callable[[Any], str]
    right: bool = False
    """Whether it stands at the right, as numbers do."""
    gives: bool = False
    """Whether it is cut where there is no room."""
    style: Callable[[Any], Style] = lambda _: Style.PLAIN


def table(columns: Sequence[Column], rows: Sequence[Any], room: int | None) -> list[Line]:
    """Return the lines of a table, a heading first.

    Args:
        columns: from left to right.
        rows: from top to bottom.
        room: columns of the terminal; None for as many as it wants.
    """
    cells = [[harmless(column.text(row)) for column in columns] for row in rows]
    needed = [max([width(column.title), *(width(line[n]) for line in cells)]) for n, column in enumerate(columns)]
    widths = needed if room is None else _narrowed(columns, needed, room)
    heading = _line(columns, [column.title for column in columns], widths, [Style.DIM] * len(columns))
    return [
        heading,
        *(
            _line(columns, line, widths, [column.style(row) for column in columns])
            for row, line in zip(rows, cells, strict=True)
        ),
    ]


def _narrowed(columns: Sequence[Column], needed: list[int], room: int) -> list[int]:
    widths = list(needed)
    excess = sum(widths) + _GAP * (len(widths) - 1) - room
    while excess > 0:
        widest = max((n for n, column in enumerate(columns) if column.gives), key=lambda n: widths[n], default=None)
        if widest is None or widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
        excess -= 1
    return widths


def _line(columns: Sequence[Column], texts: list[str], widths: list[int], styles: list[Style]) -> Line:
    last = len(columns) - 1
    pieces = []
    for number, (column, text, columns_, style) in enumerate(zip(columns, texts, widths, styles, strict=True)):
        filled = fill(text, columns_, right=column.right)
        pieces.append(Piece(filled.rstrip() if number == last else filled + " " * _GAP, style))
    return tuple(pieces)
