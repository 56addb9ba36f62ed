"""What can be scrolled: lines that are made when they are shown, and the rows in them that can be selected."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from genvd.terminal.style import Line, Piece, Target, line_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genvd.terminal.table import Block

_BETWEEN_TABLES = 4


class Content(Protocol):
    """Lines from top to bottom."""

    def __len__(self) -> int:
        """Return the number of lines."""

    def line(self, place: int) -> Line:
        """Return a line."""

    @property
    def rows(self) -> Sequence[tuple[int, Target]]:
        """The line and the target of each row that can be selected, table by table."""


class Text:
    """Lines without anything to select."""

    rows: Sequence[tuple[int, Target]] = ()

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines

    def __len__(self) -> int:
        """Return the number of lines."""
        return len(self._lines)

    def line(self, place: int) -> Line:
        """Return a line."""
        return self._lines[place]


class Blocks:
    """Tables below each other, with an empty line between two; some have another table beside them."""

    def __init__(self, blocks: Sequence[tuple[Block, ...]]) -> None:
        """Put tables together.

        Args:
            blocks: from top to bottom, the tables that are beside each other, which all have rows.
        """
        self._blocks = [group for group in blocks if group]
        self._starts: list[int] = []
        end = -1
        for group in self._blocks:
            self._starts.append(end + 1)
            end += max(map(len, group)) + 1
        self._length = max(0, end)

    def __len__(self) -> int:
        """Return the number of lines."""
        return self._length

    def line(self, place: int) -> Line:
        """Return a line."""
        number = max(n for n, start in enumerate(self._starts) if start <= place)
        within, column = place - self._starts[number], 0
        pieces: list[Piece] = []
        for block in self._blocks[number]:
            if within < len(block):
                pieces.append(Piece(" " * (column - line_width(tuple(pieces)))))
                pieces.extend(block.line(within))
            column += block.width + _BETWEEN_TABLES
        return tuple(piece for piece in pieces if piece.text)

    @cached_property
    def rows(self) -> Sequence[tuple[int, Target]]:
        """The line and the target of each row, table by table."""
        return [
            (start + place, target)
            for start, group in zip(self._starts, self._blocks, strict=True)
            for block in group
            for place, target in enumerate(block.targets, 1)
        ]


def side_width(block: Block, columns: int) -> int:
    """Return the width that is left beside a table."""
    return columns - block.width - _BETWEEN_TABLES
