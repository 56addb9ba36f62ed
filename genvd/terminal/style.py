"""Lines of styled text, and how they are written to a terminal."""

from __future__ import annotations

import os
import re
import shutil
import sys
import unicodedata
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Literal

from genvd.common.text import escape_unprintable
from genvd.common.text_width import truncate, width

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

Color = Literal["auto", "always", "never"]
"""The values of ``--color``."""


class Style(Enum):
    """Style of a piece of text, as parameters of the SGR sequence of ECMA-48."""

    PLAIN = ""
    TITLE = "1"
    DIM = "2"
    ERROR = "1;31"
    WARNING = "33"
    GOOD = "1;32"
    LOW_LOAD = "36"
    HIGH_LOAD = "1;35"
    SELECTED = "7"


@dataclass(frozen=True, slots=True)
class Target:
    """What a piece of the screen stands for: a click on it or Enter selects that."""

    table: str
    key: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a line. Control characters in the text are escaped, so it cannot move the cursor."""

    text: str
    style: Style = Style.PLAIN
    target: Target | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", escape_unprintable(self.text))


Line = tuple[Piece, ...]

ISOLATES = "\N{FIRST STRONG ISOLATE}\N{POP DIRECTIONAL ISOLATE}"
"""Put around right-to-left text, so that the text around it keeps its direction (UAX 9)."""

_RIGHT_TO_LEFT = ("R", "AL", "AN")
_BETWEEN_NAMES = re.compile(r"(\s*[,():]\s*|\s{2,}|^\s+|\s+$)")


def line(text: str = "", style: Style = Style.PLAIN, target: Target | None = None) -> Line:
    """Return a line with one piece."""
    return (Piece(text, style, target),)


def line_width(pieces: Line) -> int:
    """Return the number of columns of a line."""
    return sum(width(piece.text) for piece in pieces)


def spread(left: Line, right: Line, columns: int | None) -> Line:
    """Return a line whose second part ends at the last column; without that part if there is no room for both."""
    if columns is None:
        return (*left, Piece("  "), *right)
    gap = columns - line_width(left) - line_width(right)
    return left if gap < 2 else (*left, Piece(" " * gap), *right)


def selected(pieces: Line, target: Target | None) -> Line:
    """Return the line with the pieces of this target shown as selected."""
    if target is None:
        return pieces
    return tuple(replace(piece, style=Style.SELECTED) if piece.target == target else piece for piece in pieces)


def pieces_in(pieces: Iterable[Piece], columns: int) -> Iterator[tuple[int, str, Piece]]:
    """Yield the first column, the text and the piece, for each piece that is within this many columns."""
    column = 0
    for piece in pieces:
        if column >= columns:
            return
        text = truncate(piece.text, columns - column)
        yield column, text, piece
        column += width(text)


def render_line(pieces: Iterable[Piece], columns: int | None, *, colors: bool, isolates: bool = False) -> str:
    """Return a line as the text that is written at once to a terminal or a file.

    Args:
        pieces: the pieces of the line.
        columns: maximum width; None for no limit.
        colors: whether styles are written.
        isolates: whether right-to-left names get :data:`ISOLATES`.
    """
    sent = []
    fitting = ((0, piece.text, piece) for piece in pieces) if columns is None else pieces_in(pieces, columns)
    for _, part, piece in fitting:
        text = isolate_names(part) if isolates else part
        sgr = piece.style.value
        sent.append(f"\x1b[{sgr}m{text}\x1b[0m" if colors and sgr and text else text)
    return "".join(sent)


def isolate_names(text: str) -> str:
    """Return the text with :data:`ISOLATES` around each right-to-left name. They take no columns."""
    if text.isascii():
        return text
    return "".join(
        f"{ISOLATES[0]}{part}{ISOLATES[1]}"
        if any(unicodedata.bidirectional(character) in _RIGHT_TO_LEFT for character in part)
        else part
        for part in _BETWEEN_NAMES.split(text)
    )


def can_encode(encoding: str, text: str) -> bool:
    """Return whether the encoding has all of these characters."""
    try:
        text.encode(encoding)
    except UnicodeError:
        return False
    return True


def has_cursor(stream: TextIO | None) -> bool:
    """Return whether the stream is a terminal whose cursor can be moved."""
    return stream is not None and stream.isatty() and (os.environ.get("TERM") or "dumb") != "dumb"


def use_colors(stream: TextIO | None, color: Color = "auto") -> bool:
    """Return whether output to the stream gets colours (https://no-color.org)."""
    return color == "always" or (color == "auto" and has_cursor(stream) and not os.environ.get("NO_COLOR"))


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
