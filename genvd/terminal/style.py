"""Lines of styled text, and how they are written to a terminal."""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from genvd.common.text import escape_unprintable
from genvd.common.text_width import truncate, width

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO


class Style(Enum):
    """Style of a piece of text, as parameters of the SGR sequence of ECMA-48."""

    PLAIN = ""
    TITLE = "1"
    DIM = "2"
    ERROR = "1;31"
    WARNING = "33"
    GOOD = "32"


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a line. Control characters in the text are escaped, so it cannot move the cursor."""

    text: str
    style: Style = Style.PLAIN

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", escape_unprintable(self.text))


Line = tuple[Piece, ...]

ISOLATES = "\N{FIRST STRONG ISOLATE}\N{POP DIRECTIONAL ISOLATE}"
"""Put around right-to-left text, so that the text around it keeps its direction (UAX 9)."""

_RIGHT_TO_LEFT = ("R", "AL", "AN")
_BETWEEN_NAMES = re.compile(r"(\s*[,():]\s*|\s{2,}|^\s+|\s+$)")


def line(text: str = "", style: Style = Style.PLAIN) -> Line:
    """Return a line with one piece."""
    return (Piece(text, style),)


def render_line(pieces: Iterable[Piece], columns: int | None, *, colors: bool, isolates: bool = False) -> str:
    """Return a line as the text that is sent to a terminal.

    Args:
        pieces: the pieces of the line.
        columns: maximum width; None for no limit.
        colors: whether styles are written.
        isolates: whether right-to-left names get :data:`ISOLATES`.
    """
    sent, left = [], columns
    for piece in pieces:
        text = piece.text if left is None else truncate(piece.text, left)
        left = None if left is None else left - width(text)
        text = isolate_names(text) if isolates else text
        sent.append(f"\x1b[{piece.style.value}m{text}\x1b[0m" if colors and piece.style.value and text else text)
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
    return stream is not None and stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def use_colors(stream: TextIO | None) -> bool:
    """Return whether output to the stream may have colours (https://no-color.org)."""
    return has_cursor(stream) and not os.environ.get("NO_COLOR")
