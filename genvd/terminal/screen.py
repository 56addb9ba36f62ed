"""The terminal in full-screen mode, by means of curses: only what has changed is sent."""

from __future__ import annotations

import codecs
import curses
import locale
import os
import select
import signal
import sys
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from genvd.service.process import exit_process
from genvd.terminal.controls import Click, Event, Wheel
from genvd.terminal.style import ISOLATES, Style, can_encode, isolate_names, pieces_in, terminal_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from genvd.terminal.style import Line


_ESCAPE_MILLISECONDS = 25
"""How long curses waits after Escape for the rest of the sequence of a key. Its default is a second."""

_WHEEL_DOWN = getattr(curses, "BUTTON5_PRESSED", 0x200000)
"""Python has the constant only if it was built with a curses that has five buttons."""

_CLICK = curses.BUTTON1_PRESSED | curses.BUTTON1_CLICKED
_DOUBLE_CLICK = curses.BUTTON1_DOUBLE_CLICKED | curses.BUTTON1_TRIPLE_CLICKED
"""What curses makes of presses and releases that it reads at the same time."""

_ATTRIBUTES = {"1": curses.A_BOLD, "2": curses.A_DIM, "7": curses.A_REVERSE}
"""By SGR parameter."""

_MAX_SEQUENCE = 16


class Screen:
    """The terminal of this process, used full-screen inside :meth:`drawn`."""

    def __init__(self, *, colors: bool) -> None:
        self._colors = colors
        _use_encoding_of_output()
        self._encoding = sys.stdout.encoding or "ascii"
        self._isolates = can_encode(self._encoding, ISOLATES)
        self._attributes: dict[Style, int] = {}
        self._drawn: Sequence[Line] = ()
        reading, self._writing = os.pipe()
        self._reading = reading
        os.set_blocking(reading, False)
        os.set_blocking(self._writing, False)

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """Switch to full screen, and restore the terminal at the end, also when the process is stopped or killed."""
        with ExitStack() as stack:
            stack.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False))
            for number, handler in (
                (signal.SIGWINCH, lambda *_: None),
                (signal.SIGINT, self._leave),
                (signal.SIGTERM, self._leave),
                (signal.SIGHUP, self._leave),
                (signal.SIGTSTP, self._stop),
            ):  # before curses starts, which leaves the handlers of others alone
                stack.callback(signal.signal, number, signal.signal(number, handler))
            self._start()
            stack.callback(_end)
            yield

    def _start(self) -> None:
        os.environ["NCURSES_NO_HARD_TABS"] = (
            "1"  # tab stops may be set in any way, and not all terminals go back to one
        )
        self._window = curses.initscr()
        curses.noecho()
        curses.cbreak()
        curses.set_escdelay(_ESCAPE_MILLISECONDS)
        self._window.keypad(True)
        self._window.nodelay(True)
        with suppress(curses.error):  # not every terminal can hide its cursor
            curses.curs_set(0)
        curses.mouseinterval(0)  # report presses at once, instead of waiting whether they become double clicks
        curses.mousemask(_CLICK | _DOUBLE_CLICK | curses.BUTTON4_PRESSED | _WHEEL_DOWN)
        self._attributes = {style: _attribute(style, {}) for style in Style}
        if self._colors:
            self._attributes = {style: _attribute(style, _color_pairs()) for style in Style}
        self._keys = _poll_standard_input()

    def _leave(self, number: int, frame: FrameType | None) -> None:
        """Exit at once. An exception raised in a handler may be lost, or be caught by unrelated code."""
        _end()
        exit_process(0)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """Restore the terminal while the process is stopped (Ctrl+Z), and draw again afterwards."""
        _end()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._window.redrawwin()  # whatever the shell has written meanwhile
        self._window.refresh()

    def show(self, lines: Sequence[Line]) -> None:
        """Draw these lines and erase everything else; curses sends what differs from what is there."""
        columns, rows = terminal_size()
        if self._window.getmaxyx() != (rows, columns):
            curses.resizeterm(rows, columns)
        self._window.erase()
        for row in _scrolled_rows(self._drawn, lines[:rows]):
            self._window.redrawln(row, 1)
        self._drawn = lines[:rows]
        for row, pieces in enumerate(self._drawn):
            for column, text, piece in pieces_in(pieces, columns):
                shown = isolate_names(text) if self._isolates else text
                shown = shown.encode(self._encoding, "replace").decode(self._encoding)
                with suppress(curses.error):  # raised after the last character of the screen has been written
                    self._window.addstr(row, column, shown, self._attributes[piece.style])
        self._window.refresh()

    def wake(self) -> None:
        """End the current or next :meth:`wait`. Any thread may call this."""
        with suppress(BlockingIOError):
            os.write(self._writing, b"\0")

    def wait(self, seconds: float) -> list[Event] | None:
        """Wait for keys, the mouse, a new size or :meth:`wake`, at most this many seconds.

        Returns:
            What was pressed; None if the terminal is gone.
        """
        self._keys.register(self._reading, select.POLLIN)
        ready = dict(self._keys.poll(max(0, round(seconds * 1000))))
        if self._reading in ready:
            with suppress(BlockingIOError):
                os.read(self._reading, 64)
        if ready.get(0, 0) & (select.POLLHUP | select.POLLERR | select.POLLNVAL):
            return None
        return list(self._events()) if 0 in ready else []

    def _events(self) -> Iterator[Event]:
        while (key := self._read()) is not None:
            if key == "KEY_MOUSE":
                yield from _mouse_event()
            elif key == "\x1b":
                yield self._sequence()
            else:
                yield key

    def _read(self) -> str | None:
        """Return the next character, or the name of the next key; None if there is none."""
        try:
            key = self._window.get_wch()
        except curses.error:
            return None
        return key if isinstance(key, str) else curses.keyname(key).decode("ascii", "replace")

    def _sequence(self) -> str:
        """Return the key of a sequence that is not that of the terminal's description; Escape if nothing follows.

        Terminals have two modes for the arrow keys, and some do not switch to the one that curses asks for.
        """
        sequence = ""
        while len(sequence) < _MAX_SEQUENCE and (key := self._read()) is not None and len(key) == 1:
            sequence += key
            if (len(sequence) > 1 and "@" <= key <= "~") or (len(sequence) == 1 and key not in "[O"):
                break
        return _SEQUENCES.get(sequence, "") if sequence else "\x1b"


_SEQUENCES = {
    **{
        f"{start}{letter}": name
        for start in "[O"
        for letter, name in (
            ("A", "KEY_UP"),
            ("B", "KEY_DOWN"),
            ("C", "KEY_RIGHT"),
            ("D", "KEY_LEFT"),
            ("H", "KEY_HOME"),
            ("F", "KEY_END"),
        )
    },
    "[1~": "KEY_HOME",
    "[7~": "KEY_HOME",
    "[4~": "KEY_END",
    "[8~": "KEY_END",
    "[5~": "KEY_PPAGE",
    "[6~": "KEY_NPAGE",
    "[Z": "KEY_BTAB",
    "OP": "KEY_F(1)",
}
"""Keys by what follows Escape, in xterm and on the Linux console (console_codes(4))."""


def _scrolled_rows(before: Sequence[Line], after: Sequence[Line]) -> list[int]:
    """Return the rows whose content moves to another row.

    If they are sent again, curses does not let the terminal scroll a part of its screen, which not all can do that
    say so (SU of ECMA-48).
    """
    contents = [tuple((piece.text, piece.style) for piece in pieces) for pieces in before]
    new = [tuple((piece.text, piece.style) for piece in pieces) for pieces in after]
    anywhere = set(new)
    return [row for row, content in enumerate(contents[: len(new)]) if content != new[row] and content in anywhere]


def _end() -> None:
    with suppress(curses.error):  # it is restored already
        curses.endwin()


def _mouse_event() -> Iterator[Event]:
    with suppress(curses.error):  # the event is not one that was asked for
        _, column, row, _, buttons = curses.getmouse()
        if buttons & curses.BUTTON4_PRESSED:
            yield Wheel(-1)
        elif buttons & _WHEEL_DOWN:
            yield Wheel(1)
        else:
            yield Click(row, column)
            if buttons & _DOUBLE_CLICK:
                yield Click(row, column)


def _color_pairs() -> dict[str, int]:
    """Return the attributes of the colours by SGR parameter; none if the terminal has no colours."""
    with suppress(curses.error):
        curses.start_color()
        curses.use_default_colors()
        for color in range(1, 8):
            curses.init_pair(color, color, -1)
        return {f"3{color}": curses.color_pair(color) for color in range(1, 8)}
    return {}


def _attribute(style: Style, colors: dict[str, int]) -> int:
    attribute = 0
    for parameter in style.value.split(";"):
        attribute |= _ATTRIBUTES.get(parameter, 0) | colors.get(parameter, 0)
    return attribute


def _poll_standard_input() -> select.poll:
    keys = select.poll()
    if sys.stdin is not None and sys.stdin.isatty():
        keys.register(0, select.POLLIN)
    return keys


def _use_encoding_of_output() -> None:
    """Let curses write in the encoding of standard output.

    curses takes that of the locale. In the locale "C" this is ASCII, while Python writes UTF-8 (PEP 540).
    """
    with suppress(locale.Error):
        locale.setlocale(locale.LC_ALL, "")
    if _is_utf8(sys.stdout.encoding) and not _is_utf8(locale.nl_langinfo(locale.CODESET)):
        with suppress(locale.Error):
            locale.setlocale(locale.LC_CTYPE, "C.UTF-8")


def _is_utf8(encoding: str | None) -> bool:
    with suppress(LookupError):
        return codecs.lookup(encoding or "ascii").name == "utf-8"
    return False


def can_draw() -> bool:
    """Return whether the terminal can be drawn on: curses has its description, and it can move its cursor.

    Many newer terminals behave like xterm, but have a name of their own that a server does not know.
    """
    for name in (os.environ.get("TERM", "unknown"), "xterm-256color"):
        with suppress(curses.error):
            curses.setupterm(name)
            os.environ["TERM"] = name  # initscr(3) reads it, and ends the process if it does not know the terminal
            return curses.tigetstr("cup") is not None
    return False
