"""Lines of text in colours, and when there are to be any."""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from genvd.common.text import harmless
from genvd.common.text_width import cut, width

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

ISOLATES = "\N{FIRST STRONG ISOLATE}\N{POP DIRECTIONAL ISOLATE}"
"""Around text that is written from right to left, so that it turns nothing around it (UAX 9)."""

_RIGHT_TO_LEFT = ("R", "AL", "AN")
_BETWEEN_NAMES = re.compile(r"(\s*[,():]\s*|\s{2,}|^\s+|\s+$)")


def line(text: str = "", style: Style = Style.PLAIN) -> Line:
    """Return a line of one piece."""
    return (Piece(text, style),)


def painted(pieces: Iterable[Piece], columns: int | None, *, colors: bool, isolates: bool = False) -> str:
    """Return a line as it is sent to a terminal.

    Args:
        pieces: of the line.
        columns: that it may take; None for as many as it wants.
        colors: whether styles show.
        isolates: whether names that are written from right to left are kept from turning what stands beside them.
    """
    sent, left = [], columns
    for piece in pieces:
        text = piece.text if left is None else cut(piece.text, left)
        left = None if left is None else left - width(text)
        text = isolated(text) if isolates else text
        sent.append(f"\x1b[{piece.style.value}m{text}\x1b[0m" if colors and piece.style.value and text else text)
    return "".join(sent)


def isolated(text: str) -> str:
    """Return the text with :data:`ISOLATES`, which take no room, around each name that has need of them."""
    if text.isascii():
        return text
    return "".join(
        f"{ISOLATES[0]}{part}{ISOLATES[1]}"
        if any(unicodedata.bidirectional(character) in _RIGHT_TO_LEFT for character in part)
        else part
        for part in _BETWEEN_NAMES.split(text)
    )


def takes(encoding: str, text: str) -> bool:
    """Tell whether an encoding has all of these characters."""
    try:
        text.encode(encoding)
    except UnicodeError:
        return False
    return True


def has_cursor(stream: TextIO | None) -> bool:
    """Tell whether a stream is a terminal whose cursor can be moved."""
    return stream is not None and stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def wants_colors(stream: TextIO | None) -> bool:
    """Tell whether what goes to a stream may have colours (https://no-color.org)."""
    return has_cursor(stream) and not os.environ.get("NO_COLOR")
