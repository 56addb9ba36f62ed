"""The view of ``top`` as lines of text: a header, the problems and what to do about them, the tables."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from genvd.common.text import escape_unprintable
from genvd.common.text_width import width, wrap
from genvd.terminal import sections
from genvd.terminal.sections import count, duration
from genvd.terminal.style import Line, Piece, Style, line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genvd.overview import Overview
    from genvd.overview.problem import Problem, Severity


_STALE_INTERVALS, _STALE_SECONDS = 3, 5
"""Data is stale if it is older than this many intervals plus this many seconds."""

_FULL_FAILURE_MIN_LINES = 12
"""On smaller screens, a failure to fetch is cut to one line."""

_PROBLEM_SHARE = 3
"""If not everything fits, problems get one third of the screen, or what the table of GPUs leaves."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Size of the screen, and what the header shows in addition to the Snapshot."""

    now: float
    """Unix time in seconds, by the clock of the monitored machine."""
    columns: int | None = None
    """Maximum width; None for no limit."""
    lines: int | None = None
    """Height of the screen; None for no limit."""
    note: str | None = None
    """Where the data comes from; None if that needs no mention."""
    failure: str | None = None
    """Why there is no newer data; None if there is."""
    blocks: bool = True
    """Whether the terminal can show bars."""


@dataclass(frozen=True, slots=True)
class View:
    """All lines, whether they fit on the screen or not."""

    head: list[Line]
    """The header, which does not scroll."""
    body: list[Line]

    @property
    def lines(self) -> list[Line]:
        """The header and the body."""
        return [*self.head, *self.body]


def build_view(overview: Overview, frame: Frame) -> View:
    """Return all lines. If they do not fit, the table of GPUs comes before most of the problems."""
    head = _head(overview, frame)
    devices = sections.devices(overview, frame.columns, blocks=frame.blocks)
    others = [
        sections.instances(overview, frame.columns),
        sections.environments(overview, frame.columns),
        sections.users(overview, frame.columns),
        sections.processes(overview, frame.columns),
    ]
    body = [
        *(row for problem in overview.problems for row in problem_lines(problem, frame.columns)),
        *(row for section in (devices, *others) if section for row in (line(), *section)),
    ]
    available = len(body) if frame.lines is None else frame.lines - len(head)
    if len(body) <= available:
        return View(head, body)
    for_problems = max(available // _PROBLEM_SHARE, available - 1 - len(devices))
    first, rest = _split_problems(overview.problems, frame.columns, for_problems)
    return View(head, [*first, *devices, *rest, *(row for section in others for row in section)])


def _split_problems(problems: Sequence[Problem], columns: int | None, height: int) -> tuple[list[Line], list[Line]]:
    """Return the lines of the problems that fit into ``height``, at least one summary, and of the others."""
    texts = [problem_lines(problem, columns) for problem in problems]
    fitting = sum(end <= height for end in accumulate(map(len, texts)))
    first = [row for text in texts[:fitting] for row in text] or [problem_summary(problem) for problem in problems[:1]]
    return first, [row for text in texts[fitting:] for row in text]


def is_stale(overview: Overview, now: float) -> bool:
    """Return whether the data is too old."""
    return now - overview.timestamp > _STALE_INTERVALS * (overview.interval_seconds or 0) + _STALE_SECONDS


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
        in_full = frame.lines is None or frame.lines >= _FULL_FAILURE_MIN_LINES
        lines += error_lines(frame.failure, frame.columns if in_full else None, Style.ERROR)
    elif stale:
        lines.append(line("! The data is old: see 'journalctl -u genv-monitor'.", Style.ERROR))
    return lines


def _counts(overview: Overview) -> Line:
    works = overview.driver_state == "ok"
    version = overview.driver.driver if overview.driver else None
    state = "works" if works else overview.driver_state.replace("_", " ")
    down = sum(device.up is False for device in overview.devices or ())
    problems = overview.problems
    worst = problems[0].severity if problems else "warning"
    idle = sum(environment.idle_since is not None for environment in overview.environments or ())
    return (
        Piece(f"driver {f'{version} ' if version else ''}{state}", Style.GOOD if works else Style.ERROR),
        Piece(f"  {count(problems, 'problem', 'problems')}" if problems else "", STYLES[worst]),
        Piece(f"  {count(overview.devices, 'GPU', 'GPUs')}"),
        Piece(f" ({down} down)" if down else "", Style.ERROR),
        Piece(f"  {count(overview.environments, 'environment', 'environments')}{f' ({idle} idle)' if idle else ''}"),
        Piece(f"  {count(overview.users, 'user', 'users')}"),
        Piece(f"  {count(overview.processes, 'GPU process', 'GPU processes')}"),
    )


_INDENT = "  "
_MIN_COLUMNS = 20
"""Sentences are wrapped at this width or more; a narrower terminal cuts them."""

STYLES: dict[Severity, Style] = {"error": Style.ERROR, "warning": Style.WARNING, "info": Style.PLAIN}


def problem_summary(problem: Problem) -> Line:
    """Return one line with the summary of a problem."""
    return (Piece(f"! {problem.summary}", STYLES[problem.severity]), Piece(_names(problem)))


def problem_lines(problem: Problem, columns: int | None) -> list[Line]:
    """Return the lines of a problem: what is wrong and what to do.

    Args:
        problem: the problem.
        columns: maximum width of a line; None for no limit.
    """
    detail = f" ({problem.detail})" if problem.detail else ""
    summary = problem_summary(problem)
    fits = columns is None or sum(width(piece.text) for piece in summary) <= columns
    what = [summary] if fits else _wrapped_summary(problem, columns)
    return [*what, *_indented(f"{problem.action}{detail}", columns, Style.DIM)]


def error_lines(text: str, columns: int | None, style: Style) -> list[Line]:
    """Return a sentence about a problem, wrapped."""
    first, *others = _indented(text, columns, style)
    return [line(f"! {first[0].text.removeprefix(_INDENT)}", style), *others]


def _wrapped_summary(problem: Problem, columns: int | None) -> list[Line]:
    names = _indented(_names(problem).strip(), columns, Style.PLAIN) if problem.names else []
    return [*error_lines(problem.summary, columns, STYLES[problem.severity]), *names]


def _indented(text: str, columns: int | None, style: Style) -> list[Line]:
    shown = escape_unprintable(text)  # before wrapping, as escapes take columns
    parts = [shown] if columns is None else wrap(shown, max(_MIN_COLUMNS, columns) - len(_INDENT))
    return [line(f"{_INDENT}{part}", style) for part in parts]


def _names(problem: Problem) -> str:
    more = f" and {problem.more} more" if problem.more else ""
    return f" {', '.join(problem.names)}{more}" if problem.names else ""
