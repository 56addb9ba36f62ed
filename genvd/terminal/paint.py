"""Lines of text in colours, and when there are to be any."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from genvd.terminal.columns import cut, width
from genvd.text import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO


class Style(Enum):
    """How a piece of text looks: ECMA-48, select graphic rendition."""

    PLAIN = ""
    TITLE = "1"
    DIM = "2"
    ERROR = "1;31"
    WARNING = "33"
    GOOD = "32"


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a line. Whatever it consists of, it only shows: nothing in it moves the cursor."""

    text: str
    style: Style = Style.PLAIN

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", harmless(self.text))


Line = tuple[Piece, ...]


def line(text: str = "", style: Style = Style.PLAIN) -> Line:
    """Return a line of one piece."""
    return (Piece(text, style),)


def painted(pieces: Iterable[Piece], columns: int | None, *, colors: bool) -> str:
    """Return a line as it is sent to a terminal.

    Args:
        pieces: of the line.
        columns: that it may take; None for as many as it wants.
        colors: whether styles show.
    """
    sent, left = [], columns
    for piece in pieces:
        text = piece.text if left is None else cut(piece.text, left)
        left = None if left is None else left - width(text)
        sent.append(f"\x1b[{piece.style.value}m{text}\x1b[0m" if colors and piece.style.value and text else text)
    return "".join(sent)


def has_cursor(stream: TextIO | None) -> bool:
    """Tell whether a stream is a terminal whose cursor can be moved."""
    return stream is not None and stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def wants_colors(stream: TextIO | None) -> bool:
    """Tell whether what goes to a stream may have colours (https://no-color.org)."""
    return has_cursor(stream) and not os.environ.get("NO_COLOR")
