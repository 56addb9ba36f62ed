"""Which part of a picture is in sight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.terminal.keys import HELP, Key
from genvd.terminal.paint import Style, line

if TYPE_CHECKING:
    from genvd.terminal.paint import Line
    from genvd.terminal.picture import Picture

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
