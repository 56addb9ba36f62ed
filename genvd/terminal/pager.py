"""The part of a view that fits on the screen, and the keys that scroll it."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING

from genvd.terminal.style import Style, line

if TYPE_CHECKING:
    from genvd.terminal.style import Line
    from genvd.terminal.view import View


_FOOTER_MIN_LINES = 5
"""The footer is shown if the body has at least this many lines of the screen."""


class Pager:
    """Scrolls through a view that may have more lines than the screen."""

    def __init__(self) -> None:
        self._first = 0  # the first visible line of the body
        self._last_first = 0  # the highest value of _first
        self._page = 1
        self._show_help = False

    def press(self, key: Key) -> None:
        """Scroll, or switch the help on or off."""
        moves = {
            Key.UP: -1,
            Key.DOWN: 1,
            Key.PAGE_UP: -self._page,
            Key.PAGE_DOWN: self._page,
            Key.HOME: -self._last_first,
            Key.END: self._last_first,
        }
        self._first = min(self._last_first, max(0, self._first + moves.get(key, 0)))
        self._show_help ^= key is Key.HELP

    def visible_lines(self, view: View, height: int) -> list[Line]:
        """Return the visible lines, at most ``height``."""
        available = max(0, height - len(view.head))
        footer = self._show_help or (len(view.body) > available >= _FOOTER_MIN_LINES)
        page = max(0, available - footer)
        self._page, self._last_first = max(1, page), max(0, len(view.body) - page)
        self._first = min(self._first, self._last_first)
        body = view.body[self._first : self._first + page]
        padded = [*body, *[line()] * (page - len(body)), self._footer()] if footer else body
        return [*view.head, *padded][:height]

    def _footer(self) -> Line:
        if self._show_help:
            return line(HELP, Style.DIM)
        above, below = self._first, self._last_first - self._first
        position = f"{above} lines above, {below} below" if above else f"and {below} more lines"
        return line(f"  {position} (? shows the keys)", Style.DIM)


class Key(Enum):
    """What a key does."""

    QUIT = auto()
    UP = auto()
    DOWN = auto()
    PAGE_UP = auto()
    PAGE_DOWN = auto()
    HOME = auto()
    END = auto()
    HELP = auto()


HELP = "q quits; j k arrows: a line; space b PgDn PgUp: a page; g G Home End: the ends"
"""All keys; fits into one line of 80 columns."""

# The escape sequences are those of xterm and of the Linux console (console_codes(4)).
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
_KEY_BY_SEQUENCE = {sequence: key for key, sequences in _KEYS.items() for sequence in sequences}
_SEQUENCE = re.compile(rb"\x1b\[[0-9;]*[@-~]|\x1bO[@-~]|.", re.DOTALL)


def pressed(typed: bytes) -> list[Key]:
    """Return the keys in the input of a terminal; unknown ones are ignored."""
    return [_KEY_BY_SEQUENCE[sequence] for sequence in _SEQUENCE.findall(typed) if sequence in _KEY_BY_SEQUENCE]
