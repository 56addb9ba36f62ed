"""Lays out a table as text: columns are left out or cut if the terminal is too narrow, and use it if it is wide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

from genvd.common.text import escape_unprintable
from genvd.common.text_width import pad, width
from genvd.terminal.style import Line, Piece, Style, Target

_GAP = 2
_MARGIN = " "
"""Before a name in the first column: curses puts what takes no column, such as an isolate, into the cell before it."""

_MIN_WIDTH = 6
"""Columns are not cut to less than this."""

_COMFORTABLE_WIDTH = 14
"""As long as a column that shrinks gets this much, no column is left out."""


class Order(Enum):
    """What rows are sorted by. The value names it for people."""

    DEFAULT = "default"
    MEMORY = "memory"
    UTILIZATION = "utilisation"
    USER = "user"
    IDLE = "idle time"


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
    optional: int = 0
    """Columns with the highest number are left out first if the terminal is too narrow; 0 is never left out."""
    order: Order | None = None
    """What its title sorts by."""
    sort_key: Callable[[Any], Any] | None = None
    """The key of a row for :attr:`order`."""
    draw: Callable[[Any, int], str] | None = None
    """For a column that is drawn as wide as there is room: the text of a row for a width."""
    widths: tuple[int, int] = (0, 0)
    """The least and the greatest width of such a column."""


class Table:
    """The content of a table. What a key needs of it is computed once, as there may be thousands of rows."""

    def __init__(self, name: str, columns: Sequence[Column], rows: Sequence[Any], key: Callable[[Any], str]) -> None:
        """Create a table.

        Args:
            name: its name in targets.
            columns: from left to right.
            rows: in the default order.
            key: what a row is known by while its values change.
        """
        self.name = name
        self.columns = columns
        self.rows = rows
        self.key = key

    @cached_property
    def cells(self) -> list[tuple[str, ...]]:
        """The texts of each row."""
        return [tuple(escape_unprintable(column.text(row)) for column in self.columns) for row in self.rows]

    @cached_property
    def _widths(self) -> list[tuple[int, ...]]:
        return [tuple(map(width, texts)) for texts in self.cells]

    @cached_property
    def _searched(self) -> list[str]:
        return ["\n".join(texts).casefold() for texts in self.cells]

    def select(self, order: Order = Order.DEFAULT, needle: str = "") -> list[int]:
        """Return the numbers of the rows in an order; the default one if the table has no column for it.

        Args:
            order: what they are sorted by.
            needle: only rows with this text are returned; case does not matter.
        """
        numbers = list(range(len(self.rows)))
        if needle:
            folded = needle.casefold()
            numbers = [number for number in numbers if folded in self._searched[number]]
        for column in self.columns:
            if column.order is order and (sort_key := column.sort_key) is not None:
                return sorted(numbers, key=lambda number: sort_key(self.rows[number]))
        return numbers

    def needed_widths(self, numbers: Sequence[int]) -> list[int]:
        """Return the width that each column needs for its title and these rows."""
        titles = tuple(width(column.title) for column in self.columns)
        needed = map(max, zip(titles, *(self._widths[number] for number in numbers), strict=True))
        return [column.widths[0] if column.draw else size for column, size in zip(self.columns, needed, strict=True)]


class Block:
    """Some rows of a table in a certain width, with its heading. A line is made when it is shown."""

    def __init__(
        self, table: Table, numbers: Sequence[int], max_width: int | None, order: Order = Order.DEFAULT
    ) -> None:
        """Lay out the rows.

        Args:
            table: the table.
            numbers: the numbers of its rows, from top to bottom.
            max_width: width of the terminal; None for no limit.
            order: what the rows are sorted by; the heading shows it.
        """
        self._table = table
        self._numbers = numbers
        self._order = order
        self._margin = "" if table.columns[0].right else _MARGIN
        needed = table.needed_widths(numbers)
        kept = [number for number, column in enumerate(table.columns) if max_width is not None or not column.draw]
        if max_width is not None:
            max_width -= len(self._margin)
            kept = _kept(table.columns, needed, max_width)
        self._kept = kept
        self._columns = [table.columns[number] for number in kept]
        self._widths = [needed[number] for number in kept]
        if max_width is not None:
            self._widths = _grown(self._columns, _shrunk(self._columns, self._widths, max_width), max_width)

    def __len__(self) -> int:
        """Return the number of lines; 0 without rows."""
        return len(self._numbers) + 1 if self._numbers else 0

    @property
    def width(self) -> int:
        """The number of columns of the terminal that it takes."""
        return len(self._margin) + sum(self._widths) + _GAP * (len(self._widths) - 1)

    @property
    def targets(self) -> list[Target]:
        """The targets of the rows."""
        table = self._table
        return [Target(table.name, table.key(table.rows[number])) for number in self._numbers]

    def line(self, place: int) -> Line:
        """Return a line; the first one is the heading."""
        if not place:
            return self._line([self._title(column) for column in self._columns])
        number = self._numbers[place - 1]
        row, texts = self._table.rows[number], self._table.cells[number]
        target = Target(self._table.name, self._table.key(row))
        return self._line(
            [
                Piece(column.draw(row, size) if column.draw else texts[n], column.style(row), target)
                for n, column, size in zip(self._kept, self._columns, self._widths, strict=True)
            ]
        )

    def _title(self, column: Column) -> Piece:
        style = Style.TITLE if column.order is self._order else Style.DIM
        return Piece(column.title, style, Target("sort", column.order.name) if column.order else None)

    def _line(self, pieces: list[Piece]) -> Line:
        """Return a line. The piece of a cell ends with the gap to the next one, so that a whole row can be clicked."""
        last = len(pieces) - 1
        cells = []
        for number, (column, piece, size) in enumerate(zip(self._columns, pieces, self._widths, strict=True)):
            filled = ("" if number else self._margin) + pad(piece.text, size, right=column.right)
            cells.append(Piece(filled.rstrip() if number == last else filled + " " * _GAP, piece.style, piece.target))
        return tuple(cells)


def _kept(columns: Sequence[Column], needed: list[int], max_width: int) -> list[int]:
    """Return the numbers of the columns for which there is room."""
    kept = list(range(len(columns)))
    while True:
        comfortable = [min(needed[n], _COMFORTABLE_WIDTH) if columns[n].shrinks else needed[n] for n in kept]
        last = max(kept, key=lambda n: columns[n].optional)
        if sum(comfortable) + _GAP * (len(kept) - 1) <= max_width or not columns[last].optional:
            return kept
        kept.remove(last)


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


def _grown(columns: Sequence[Column], widths: list[int], max_width: int) -> list[int]:
    """Return the widths; columns that are drawn share the room that is left."""
    grown = list(widths)
    drawn = [number for number, column in enumerate(columns) if column.draw]
    room = max_width - sum(grown) - _GAP * (len(grown) - 1)
    while room > 0 and (growing := [n for n in drawn if grown[n] < columns[n].widths[1]]):
        narrowest = min(growing, key=lambda n: grown[n])
        grown[narrowest] += 1
        room -= 1
    return grown
