"""Draws full-screen on the terminal and restores it afterwards."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import termios
import tty
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from genvd.common.text_width import width
from genvd.service.process import exit_process
from genvd.terminal.pager import Key, pressed
from genvd.terminal.style import ISOLATES, can_encode, render_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from genvd.terminal.style import Line


# xterm's control sequences: the alternate screen, the cursor, and whether lines wrap.
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"


class Screen:
    """The terminal of this process, used full-screen inside :meth:`drawn`."""

    def __init__(self, *, colors: bool) -> None:
        self._colors = colors
        self._encoding = sys.stdout.encoding or "ascii"
        self._isolates = can_encode(self._encoding, ISOLATES)
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
            ):
                stack.callback(signal.signal, number, signal.signal(number, handler))
            stack.callback(self._restore, self._enter())
            yield

    def _enter(self) -> list[object] | None:
        """Switch to full screen; return the terminal settings from before."""
        before = None
        with suppress(OSError, termios.error, ValueError):  # standard input may be no terminal, or closed
            before = termios.tcgetattr(0)
            tty.setcbreak(0, termios.TCSANOW)
        self._before = before
        self._send(_ENTER)
        return before

    def _restore(self, before: list[object] | None) -> None:
        with suppress(OSError):  # the terminal may be gone
            self._send(_LEAVE)
        if before is not None:
            with suppress(OSError, termios.error):
                termios.tcsetattr(0, termios.TCSANOW, before)  # type: ignore[arg-type]

    def _leave(self, number: int, frame: FrameType | None) -> None:
        """Exit at once. An exception raised in a handler may be lost, or be caught by unrelated code."""
        self._restore(self._before)
        exit_process(0)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """Restore the terminal while the process is stopped (Ctrl+Z), and draw again afterwards."""
        self._restore(self._before)
        os.kill(os.getpid(), signal.SIGSTOP)
        self._enter()

    def show(self, lines: list[Line]) -> None:
        """Draw these lines and erase everything else."""
        columns, rows = terminal_size()
        drawn = []
        for row, pieces in enumerate(lines[:rows], 1):
            text = render_line(pieces, columns, colors=self._colors, isolates=self._isolates)
            # After a full line, the cursor is still on its last character, which must not be erased.
            full = sum(width(piece.text) for piece in pieces) >= columns
            drawn.append(f"\x1b[{row};1H{text}{'' if full else chr(27) + '[K'}")
        below = f"\x1b[{len(lines) + 1};1H\x1b[J" if len(lines) < rows else ""
        self._send("".join(drawn) + below)

    def wake(self) -> None:
        """End the current or next :meth:`wait`. Any thread may call this."""
        with suppress(BlockingIOError):
            os.write(self._writing, b"\0")

    def wait(self, seconds: float) -> list[Key]:
        """Wait for keys, a new size or :meth:`wake`, at most this many seconds; return the pressed keys."""
        watched = [self._reading] if self._before is None else [self._reading, 0]
        ready, _, _ = select.select(watched, [], [], seconds)
        if self._reading in ready:
            with suppress(BlockingIOError):
                os.read(self._reading, 64)
        if 0 not in ready:
            return []
        typed = os.read(0, 64)
        return pressed(typed) if typed else [Key.QUIT]

    def _send(self, text: str) -> None:
        """Write without a buffer: a signal handler may write in between, and Python's buffered files forbid that."""
        left = text.encode(self._encoding, "replace")
        while left:
            left = left[os.write(sys.stdout.fileno(), left) :]


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
