"""The part of a view that is on the screen, and the keys that move it."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING

from genvd.terminal.style import Style, line

if TYPE_CHECKING:
    from genvd.terminal.style import Line
    from genvd.terminal.view import Picture


_ROOM_FOR_FOOT = 5
"""Lines below the head from which on one of them says how much is out of sight."""


class Window:
    """What is shown of a picture that may have more lines than the screen."""

    def __init__(self) -> None:
        self._first = self._last = 0  # lines of the body that the window can begin with, and does
        self._page = 1
        self._helps = False

    def press(self, key: Key) -> None:
        """Do what a key is for, by what was shown last."""
        moves = {
            Key.UP: -1,
            Key.DOWN: 1,
            Key.PAGE_UP: -self._page,
            Key.PAGE_DOWN: self._page,
            Key.HOME: -self._last,
            Key.END: self._last,
        }
        self._first = min(self._last, max(0, self._first + moves.get(key, 0)))
        self._helps ^= key is Key.HELP

    def lines(self, picture: Picture, most: int) -> list[Line]:
        """Return the lines in sight, so many at most."""
        room = max(0, most - len(picture.head))
        foot = self._helps or (len(picture.body) > room >= _ROOM_FOR_FOOT)
        page = max(0, room - foot)
        self._page, self._last = max(1, page), max(0, len(picture.body) - page)
        self._first = min(self._first, self._last)
        shown = picture.body[self._first : self._first + page]
        padded = [*shown, *[line()] * (page - len(shown)), self._foot()] if foot else shown
        return [*picture.head, *padded][:most]

    def _foot(self) -> Line:
        if self._helps:
            return line(HELP, Style.DIM)
        above, below = self._first, self._last - self._first
        told = f"and {below} more lines" if not above else f"{above} lines above, {below} below"
        return line(f"  {told} (? shows the keys)", Style.DIM)


class Key(Enum):
    """Something that the user wants."""

    QUIT = auto()
    UP = auto()
    DOWN = auto()
    PAGE_UP = auto()
    PAGE_DOWN = auto()
    HOME = auto()
    END = auto()
    HELP = auto()


HELP = "q quits; j k arrows: a line; space b PgDn PgUp: a page; g G Home End: the ends"
"""All keys, in one line of the usual terminal."""

# With escapes as xterm and the Linux console send them (console_codes(4)).
_KEYS = {
    Key.QUIT: (b"q", b"Q", b"\x03", b"\x04"),
    Key.UP: (b"k", b"\x1b[A", b"\x1bOA"),
    Key.DOWN: (b"j", b"\r", b"\n", b"\x1b[B", b"\x1bOB"),
    Key.PAGE_UP: (b"b", b"\x1b[5~"),
    Key.PAGE_DOWN: (b" ", b"f", b"\x1b[6~"),
    Key.HOME: (b"g", b"\x1b[H", b"\x1bOH", b"\x1b[1~", b"\x1b[7~"),
    Key.END: (b"G", b"\x1b[F", b"\x1bOF", b"\x1b[4~", b"\x1b[8~"),
    Key.HELP: (b"?", b"h"),
}
_BY_BYTES = {sent: key for key, several in _KEYS.items() for sent in several}
_SENT = re.compile(rb"\x1b\[[0-9;]*[@-~]|\x1bO[@-~]|.", re.DOTALL)


def pressed(typed: bytes) -> list[Key]:
    """Return the keys of what a terminal sent, without those that are for nothing."""
    return [_BY_BYTES[sent] for sent in _SENT.findall(typed) if sent in _BY_BYTES]
