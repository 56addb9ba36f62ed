"""What the user has chosen in ``top``: the page, the order, the filter, the selected row, how far it is scrolled."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from genvd.terminal.content import Text
from genvd.terminal.style import Target, pieces_in
from genvd.terminal.table import Order

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from genvd.terminal.content import Content
    from genvd.terminal.style import Line

SORT, PROBLEM = "sort", "problem"
"""Names of the targets that are in no table: the titles of columns, and the problems."""

_WHEEL_LINES = 3
_MAX_FILTER = 80


class Page(Enum):
    """What fills the screen."""

    TABLES = auto()
    DETAILS = auto()
    PROBLEMS = auto()
    HELP = auto()


@dataclass(frozen=True, slots=True)
class Click:
    """A click with the mouse, in lines and columns from 0."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Wheel:
    """A turn of the wheel: -1 is up, 1 is down."""

    direction: int


Event = str | Click | Wheel
"""A character, the name of a key as in curses, such as ``KEY_UP``, or the mouse."""


class Controls:
    """The choices of the user, and how keys and clicks change them."""

    def __init__(self) -> None:
        self.page = Page.TABLES
        self.order = Order.DEFAULT
        self.filter = ""
        self.typing = False
        """Whether the filter is being typed."""
        self.selected: Target | None = None
        self.first = 0
        """The first visible line of the body."""
        self._last_first = 0
        self._height = 1
        self._content: Content = Text(())
        self._others: Sequence[Target] = ()
        self._drawn: Sequence[Line] = ()
        self._follow = False  # whether the selected row has to be brought into view

    def press(self, event: Event) -> bool:
        """Handle a key or the mouse; return False if the user wants to leave."""
        if isinstance(event, Click):
            self._click(event)
        elif isinstance(event, Wheel):
            self._scroll(event.direction * _WHEEL_LINES)
        elif self.typing:
            self._type(event)
        elif event in ("q", "Q", "\x03", "\x04"):
            return False
        elif action := _ACTIONS.get(event):
            action(self)
        return True

    def place(self, content: Content, others: Sequence[Target], height: int) -> list[Line]:
        """Return the lines that are visible.

        Args:
            content: all lines of the page.
            others: further targets that can be selected, the problems.
            height: how many lines there are for the page.
        """
        self._content, self._others = content, others
        self._height, self._last_first = max(1, height), max(0, len(content) - max(0, height))
        if self._follow and self.selected is not None:
            line = {target: line for line, target in self._rows}.get(self.selected)
            if line is not None:
                self._reveal(line)
        self._follow = False
        self.first = min(self.first, self._last_first)
        return [content.line(place) for place in range(self.first, min(len(content), self.first + max(0, height)))]

    @property
    def _rows(self) -> Sequence[tuple[int | None, Target]]:
        """The line and the target of what can be selected; None for what is always visible."""
        return [*self._content.rows, *((None, target) for target in self._others)]

    def drawn(self, lines: Sequence[Line]) -> None:
        """Remember what is on the screen, for the mouse."""
        self._drawn = lines

    @property
    def lines_below(self) -> int:
        """How many lines of the body are below the visible ones."""
        return self._last_first - self.first

    def _reveal(self, line: int) -> None:
        if line < self.first or (line == 1 and self.first):
            self.first = 0 if line == 1 else line
        elif line >= self.first + self._height:
            self.first = line - self._height + 1

    def _type(self, key: str) -> None:
        if key in _ENTER or key == "\x1b":
            self.typing = False
            self.filter = "" if key == "\x1b" else self.filter
        elif key in _BACKSPACE:
            self.filter = self.filter[:-1]
        elif key == "\x15":  # Ctrl+U
            self.filter = ""
        elif len(key) == 1 and key.isprintable() and len(self.filter) < _MAX_FILTER:
            self.filter += key
        self.first = 0

    def _click(self, click: Click) -> None:
        if self.page is not Page.TABLES:
            self.close()
            return
        pieces = self._drawn[click.line] if click.line < len(self._drawn) else ()
        hit = [piece for start, _, piece in pieces_in(pieces, click.column + 1) if start <= click.column]
        target = hit[-1].target if hit else None
        if target is None:
            return
        if target.table == SORT:
            self.sort(Order[target.key])
        elif target == self.selected:
            self.open(Page.DETAILS)
        else:
            self.selected = target

    def sort(self, order: Order) -> None:
        """Sort by this; by default again if it is sorted by this already."""
        self.order = Order.DEFAULT if self.order is order else order

    def open(self, page: Page) -> None:
        """Show a page, or the tables again if it is shown already."""
        if page is self.page:
            self.close()
        elif page is not Page.DETAILS or self.selected is not None:
            self.page, self.first = page, 0

    def close(self) -> None:
        """Go back: from a page to the tables; there, take back the filter, then the selection."""
        if self.page is not Page.TABLES:
            self.page, self.first, self._follow = Page.TABLES, 0, True
        elif self.filter:
            self.filter = ""
        else:
            self.selected = None

    def start_typing(self) -> None:
        """Let the filter be typed."""
        if self.page is Page.TABLES:
            self.typing = True

    def enter(self) -> None:
        """Show the details of the selected row, or select the first one; go back from the details."""
        if self.page is not Page.TABLES:
            self.close()
        elif self.selected is None:
            self.move(1)
        else:
            self.open(Page.DETAILS)

    def move(self, by: int) -> None:
        """Select another row, or scroll where there are none."""
        targets = [target for _, target in self._rows]
        if not targets:
            self._scroll(by)
            return
        if self.selected in targets:
            place = min(len(targets) - 1, max(0, targets.index(self.selected) + by))
        else:
            place = 0 if by > 0 else len(targets) - 1
        self._select(targets[place])

    def move_table(self, by: int) -> None:
        """Select the first row of another table."""
        targets = [target for _, target in self._rows]
        tables = list(dict.fromkeys(target.table for target in targets))
        if not tables:
            return
        current = self.selected.table if self.selected else None
        place = (tables.index(current) + by) % len(tables) if current in tables else 0 if by > 0 else -1
        self._select(next(target for target in targets if target.table == tables[place]))

    def move_page(self, by: int) -> None:
        """Scroll by pages."""
        self._scroll(by * self._height)

    def move_to_end(self, *, last: bool) -> None:
        """Scroll to the start or the end."""
        self._scroll(self._last_first if last else -self.first)

    def _select(self, target: Target) -> None:
        self.selected, self._follow = target, True

    def _scroll(self, by: int) -> None:
        self.first = min(self._last_first, max(0, self.first + by))
        if self.selected is None:
            return
        seen = [target for line, target in self._rows if line is None or 0 <= line - self.first < self._height]
        if seen and self.selected not in seen:
            self.selected = seen[0] if by > 0 else seen[-1]


_ENTER = ("\n", "\r", "KEY_ENTER")
_BACKSPACE = ("KEY_BACKSPACE", "\x7f", "\x08")

_KEYS: Mapping[tuple[str, ...], Callable[[Controls], None]] = {
    ("KEY_UP", "k"): lambda c: c.move(-1),
    ("KEY_DOWN", "j"): lambda c: c.move(1),
    ("\t", "KEY_RIGHT", "l"): lambda c: c.move_table(1),
    ("KEY_BTAB", "KEY_LEFT"): lambda c: c.move_table(-1),
    ("KEY_NPAGE", " ", "f"): lambda c: c.move_page(1),
    ("KEY_PPAGE", "b"): lambda c: c.move_page(-1),
    ("KEY_HOME", "g"): lambda c: c.move_to_end(last=False),
    ("KEY_END", "G"): lambda c: c.move_to_end(last=True),
    _ENTER: Controls.enter,
    ("\x1b", *_BACKSPACE): Controls.close,
    ("/",): Controls.start_typing,
    ("?", "h", "KEY_F(1)"): lambda c: c.open(Page.HELP),
    ("p", "P"): lambda c: c.open(Page.PROBLEMS),
    ("m", "M"): lambda c: c.sort(Order.MEMORY),
    ("u", "U"): lambda c: c.sort(Order.UTILIZATION),
    ("n", "N"): lambda c: c.sort(Order.USER),
    ("i", "I"): lambda c: c.sort(Order.IDLE),
}
_ACTIONS = {key: action for keys, action in _KEYS.items() for key in keys}

HELP = (
    ("arrows, j k", "select a row"),
    ("Tab, left right", "select the next or previous table"),
    ("Enter", "details of the selected row; with the mouse: click it twice"),
    ("Esc", "go back; in the tables: take back the filter, the selection"),
    ("/", "show only rows with a text, such as a user or: free"),
    ("m u n i", "sort by memory, utilisation, user name, idle time; again: as before"),
    ("p", "all problems, and what to do about them"),
    ("space b, PgDn PgUp", "a page down or up; g G, Home End: the start, the end"),
    ("q, Ctrl+C", "quit"),
    ("", ""),
    ("mouse", "click a row, or the title of a column to sort by it; with Shift you select text for copying"),
    ("free", "no environment has the GPU attached, and no process uses it"),
    ("idle", "attached, but its environments have not worked on it for longer than idle.grace"),
    ("+name", "the user computes on the GPU without having it attached"),
    ("GPU-HOURS", "since the ledger was created; for a period see: genv-monitor report"),
    ("IDLE SHARE", "part of the GPU-hours in which the user did not use the GPUs"),
)
"""The keys, and what the less obvious words mean."""
