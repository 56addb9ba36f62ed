"""``genv-monitor top``: shows the machine in the terminal and refreshes it in place."""

from __future__ import annotations

import logging
import os
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from genvd.common.output import write_output
from genvd.terminal.controls import Controls
from genvd.terminal.curves import LEVELS
from genvd.terminal.gpu_table import BLOCKS, Font
from genvd.terminal.layout import screen_lines
from genvd.terminal.machine import machine_of
from genvd.terminal.poller import Poller
from genvd.terminal.source import connect
from genvd.terminal.style import ISOLATES, can_encode, has_cursor, render_line, terminal_size, use_colors
from genvd.terminal.values import is_stale
from genvd.terminal.view import Frame, as_lines

if TYPE_CHECKING:
    from genvd.config.schema import Config
    from genvd.terminal.client import TimedSnapshot
    from genvd.terminal.controls import Event
    from genvd.terminal.machine import Machine
    from genvd.terminal.poller import PollState
    from genvd.terminal.screen import Screen
    from genvd.terminal.source import SourceOptions
    from genvd.terminal.style import Color


@dataclass(frozen=True, slots=True)
class TopOptions:
    """The command-line options of ``top``."""

    source: SourceOptions
    color: Color
    user: str | None
    """The user whose rows are shown; None for all."""
    once: bool
    """Whether everything is printed once, also in a terminal."""


_CHECK_SECONDS = 1.0
"""How often it is checked whether the data has become too old."""


def run(config: Config, options: TopOptions) -> None:
    """Show the machine until the user quits; show it once if standard output is not a terminal.

    Raises:
        ServiceError: there is no data.
        OutputError: standard output cannot be written.
    """
    full_screen = not options.once and has_cursor(sys.stdout) and _curses_works()
    connection = connect(config, replace(options.source, with_curves=full_screen))
    if not full_screen:
        write_output(as_text(connection.first, connection.note, color=options.color, user=options.user))
        return
    from genvd.terminal.screen import Screen

    logging.disable(logging.CRITICAL)  # log lines would overwrite the screen, which shows the same problems
    screen = Screen(colors=use_colors(sys.stdout, options.color))
    with screen.drawn():
        poller = Poller(connection.source, connection.first, screen.wake)
        view = _View(screen, Frame(0, note=connection.note, font=_font(sys.stdout.encoding)), options.user)
        _refresh(screen, poller, view, options.source.interval)


def as_text(timed: TimedSnapshot, note: str | None = None, *, color: Color = "auto", user: str | None = None) -> bytes:
    """Return the view as text for standard output, with the width of that if it is a terminal.

    Args:
        timed: the data.
        note: where the data comes from, for the title line; None if that needs no mention.
        color: whether it gets colours.
        user: the user whose rows are shown; None for all.
    """
    encoding = (sys.stdout and sys.stdout.encoding) or "utf-8"
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    columns = terminal_size()[0] if is_terminal else None
    lines = as_lines(machine_of(timed, user), Frame(timed.now, columns, note=note, font=_font(encoding)))
    colors, isolates = use_colors(sys.stdout, color), is_terminal and can_encode(encoding, ISOLATES)
    texts = (render_line(line, columns, colors=colors, isolates=isolates).rstrip() for line in lines)
    return "".join(f"{text}\n" for text in texts).encode(encoding, "replace")


def _curses_works() -> bool:
    try:
        from genvd.terminal.screen import can_draw
    except ImportError:  # a Python that was built without it
        return False
    return can_draw()


def _font(encoding: str) -> Font:
    """Return what the terminal can show. The font of the Linux console has no blocks of each height."""
    console = os.environ.get("TERM", "") == "linux"
    return Font(blocks=can_encode(encoding, BLOCKS), eighths=can_encode(encoding, LEVELS) and not console)


class _View:
    """Draws the screen when what is on it may have changed."""

    def __init__(self, screen: Screen, frame: Frame, user: str | None) -> None:
        self.controls = Controls()
        self._screen = screen
        self._frame = frame
        self._user = user
        self._parts: tuple[object, object] = (None, None)
        self._machine: Machine | None = None
        self._shown: tuple[object, ...] = ()

    def draw(self, state: PollState, events: list[Event]) -> None:
        """Draw the screen, unless nothing has happened since the last time."""
        columns, lines = size = terminal_size()
        parts = (state.snapshot.snapshot, state.snapshot.curves)
        if self._machine is None or any(new is not old for new, old in zip(parts, self._parts, strict=True)):
            self._machine, self._parts = machine_of(state.snapshot, self._user), parts
        stale = is_stale(self._machine.now, self._machine.overview.interval_seconds, state.now)
        now = state.now if stale else state.snapshot.now
        shown = (id(self._machine), state.failure, size, round(now) if stale else None)
        if events or shown != self._shown:
            self._shown = shown
            frame = replace(self._frame, now=now, columns=columns, lines=lines, failure=state.failure)
            self._screen.show(screen_lines(self._machine, frame, self.controls, columns, lines))


def _refresh(screen: Screen, poller: Poller, view: _View, interval: float) -> None:
    """Fetch and draw again and again, and handle keys, until the user quits."""
    next_fetch = time.monotonic() + interval
    events: list[Event] | None = []
    while events is not None:
        view.draw(poller.latest, events)
        events = screen.wait(min(_CHECK_SECONDS, max(0.0, next_fetch - time.monotonic())))
        if not all(map(view.controls.press, events or ())):
            return
        if time.monotonic() >= next_fetch:
            poller.start_fetch()
            next_fetch = max(next_fetch + interval, time.monotonic())
