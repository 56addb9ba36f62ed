"""The machine at a glance, in lines of text: what is wrong and what to do about it, then the tables."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from genvd.common.text import harmless
from genvd.common.text_width import width, wrap
from genvd.terminal import sections
from genvd.terminal.sections import count, duration
from genvd.terminal.style import Line, Piece, Style, line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genvd.overview import Overview
    from genvd.overview.problems import Problem, Severity


_LATE_INTERVALS, _LATE_SECONDS = 3, 5
"""How old facts may be, in intervals and beyond that in seconds, before they are said to be stale."""

_ROOM_TO_EXPLAIN = 12
"""Lines of a screen from which on a failure to look has as many as it takes."""

_PROBLEM_SHARE = 3
"""Problems may take the third part of what has no room for all, and what devices leave."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What the lines have to fit into, and what is known beside the machine."""

    now: float
    """Unix time in seconds, by the clock of the machine."""
    columns: int | None = None
    """None for as many as it wants; likewise the next."""
    lines: int | None = None
    note: str | None = None
    """Where the facts come from, if that is worth a word."""
    failure: str | None = None
    """Why there are no newer facts."""
    blocks: bool = True
    """Whether bars can be drawn."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The whole machine, however long that is."""

    head: list[Line]
    """Stays in sight."""
    body: list[Line]

    @property
    def lines(self) -> list[Line]:
        """All of it."""
        return [*self.head, *self.body]


def picture(overview: Overview, frame: Frame) -> Picture:
    """Return the lines of the whole picture: where they do not fit, devices come before most of the problems."""
    head = _head(overview, frame)
    devices = sections.devices(overview, frame.columns, blocks=frame.blocks)
    others = [
        sections.instances(overview, frame.columns),
        sections.environments(overview, frame.columns),
        sections.users(overview, frame.columns),
        sections.processes(overview, frame.columns),
    ]
    body = [
        *(one for problem in overview.problems for one in in_full(problem, frame.columns)),
        *(one for section in (devices, *others) if section for one in (line(), *section)),
    ]
    room = len(body) if frame.lines is None else frame.lines - len(head)
    if len(body) <= room:
        return Picture(head, body)
    first, rest = _shared(overview.problems, frame.columns, max(room // _PROBLEM_SHARE, room - 1 - len(devices)))
    return Picture(head, [*first, *devices, *rest, *(one for section in others for one in section)])


def _shared(problems: Sequence[Problem], columns: int | None, room: int) -> tuple[list[Line], list[Line]]:
    """Return the lines of the problems that fit, and of the others; of one at least what it is comes first."""
    told = [in_full(problem, columns) for problem in problems]
    ends = list(accumulate(map(len, told)))
    fitting = sum(end <= room for end in ends)
    first = [one for problem in told[:fitting] for one in problem] or [in_brief(problem) for problem in problems[:1]]
    return first, [one for problem in told[fitting:] for one in problem]


def is_stale(overview: Overview, now: float) -> bool:
    """Tell whether the facts are older than they should ever be."""
    return now - overview.timestamp > _LATE_INTERVALS * (overview.interval_seconds or 0) + _LATE_SECONDS


def _head(overview: Overview, frame: Frame) -> list[Line]:
    age = duration(max(0.0, frame.now - overview.timestamp))
    stale = is_stale(overview, frame.now)
    title = [Piece(f"genv-monitor {overview.host or ''}".rstrip(), Style.TITLE)]
    if overview.simulated:
        title.append(Piece("  simulated machine", Style.WARNING))
    title.append(Piece(f"  as of {age} ago", Style.ERROR if stale else Style.DIM))
    if frame.note:
        title.append(Piece(f"  {frame.note}", Style.DIM))
    lines: list[Line] = [tuple(title), _counts(overview)]
    if frame.failure:
        has_room = frame.lines is None or frame.lines >= _ROOM_TO_EXPLAIN
        lines += marked(frame.failure, frame.columns if has_room else None, Style.ERROR)
    elif stale:
        lines.append(line("! The facts are old: see 'journalctl -u genv-monitor'.", Style.ERROR))
    return lines


def _counts(overview: Overview) -> Line:
    works = overview.driver_state == "ok"
    version = overview.driver.driver if overview.driver else None
    state = "works" if works else overview.driver_state.replace("_", " ")
    down = sum(device.up is False for device in overview.devices or ())
    problems = overview.problems
    worst = problems[0].severity if problems else "warning"
    idle = sum(one.idle_since is not None for one in overview.environments or ())
    return (
        Piece(f"driver {f'{version} ' if version else ''}{state}", Style.GOOD if works else Style.ERROR),
        Piece(f"  {count(problems, 'problem', 'problems')}" if problems else "", STYLES[worst]),
        Piece(f"  {count(overview.devices, 'device', 'devices')}"),
        Piece(f" ({down} down)" if down else "", Style.ERROR),
        Piece(f"  {count(overview.environments, 'environment', 'environments')}{f' ({idle} idle)' if idle else ''}"),
        Piece(f"  {count(overview.users, 'user', 'users')}"),
        Piece(f"  {count(overview.processes, 'GPU process', 'GPU processes')}"),
    )


_INDENT = "  "
_NARROWEST = 20
"""Columns into which sentences are broken at least; a terminal that is narrower shows what it can."""

STYLES: dict[Severity, Style] = {"error": Style.ERROR, "warning": Style.WARNING}


def in_brief(problem: Problem) -> Line:
    """Return what is wrong, in one line."""
    return (Piece(f"! {problem.what}", STYLES[problem.severity]), Piece(_names(problem)))


def in_full(problem: Problem, columns: int | None) -> list[Line]:
    """Return what is wrong and what to do, in as many lines as that takes.

    Args:
        problem: what it is about.
        columns: that a line may take; None for as many as it wants.
    """
    told = f" ({problem.detail})" if problem.detail else ""
    brief = in_brief(problem)
    fits = columns is None or sum(width(piece.text) for piece in brief) <= columns
    what = [brief] if fits else _broken(problem, columns)
    return [*what, *_indented(f"{problem.todo}{told}", columns, Style.DIM)]


def marked(text: str, columns: int | None, style: Style) -> list[Line]:
    """Return a sentence about something wrong, in as many lines as it takes."""
    first, *others = _indented(text, columns, style)
    return [line(f"! {first[0].text.removeprefix(_INDENT)}", style), *others]


def _broken(problem: Problem, columns: int | None) -> list[Line]:
    names = _indented(_names(problem).strip(), columns, Style.PLAIN) if problem.names else []
    return [*marked(problem.what, columns, STYLES[problem.severity]), *names]


def _indented(text: str, columns: int | None, style: Style) -> list[Line]:
    shown = harmless(text)  # here, as escapes take columns
    parts = [shown] if columns is None else wrap(shown, max(_NARROWEST, columns) - len(_INDENT))
    return [line(f"{_INDENT}{part}", style) for part in parts]


def _names(problem: Problem) -> str:
    more = f" and {problem.more} more" if problem.more else ""
    return f" {', '.join(problem.names)}{more}" if problem.names else ""
