"""The views of ``top`` as lines of text: a header, the tables, and below them the problems."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from genvd.common.text import escape_unprintable
from genvd.common.text_width import wrap
from genvd.terminal import gpu_table
from genvd.terminal.content import Blocks, Content, Text, side_width
from genvd.terminal.gpu_table import Font
from genvd.terminal.style import Line, Piece, Style, Target, line, line_width, spread
from genvd.terminal.table import Block, Order, Table
from genvd.terminal.tables import tables_of
from genvd.terminal.values import count, duration, is_stale

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genvd.overview.problem import Problem, Severity
    from genvd.terminal.machine import Machine


_SIDE_BY_SIDE_MIN_COLUMNS = 160


@dataclass(frozen=True, slots=True)
class Frame:
    """The size of the view, and what it shows in addition to the machine."""

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
    font: Font = field(default_factory=Font)


def as_lines(machine: Machine, frame: Frame) -> list[Line]:
    """Return everything once, for standard output: the problems come before the tables."""
    problems = [row for problem in machine.overview.problems for row in problem_lines(problem, frame.columns)]
    content = body(machine, frame.font, frame.columns)
    tables = [content.line(place) for place in range(len(content))]
    return [*head(machine, frame), *trouble(machine, frame), *problems, line(), *tables]


def head(machine: Machine, frame: Frame) -> list[Line]:
    """Return the lines that are always shown: what this is, and which GPUs are free."""
    return [_title(machine, frame), _summary(machine)]


def _title(machine: Machine, frame: Frame) -> Line:
    seen = machine.overview
    left = [Piece(f"genv-monitor {seen.host or ''}".rstrip(), Style.TITLE)]
    if seen.simulated:
        left.append(Piece("  simulated machine", Style.WARNING))
    if machine.user is not None:
        left.append(Piece(f"  only {machine.user}", Style.WARNING))
    if machine.one_name and machine.gpus:
        left.append(Piece(f"  {len(seen.devices or ())}x {machine.one_name}", Style.PLAIN))
    stale = is_stale(seen.timestamp, seen.interval_seconds, frame.now)
    age = f"as of {duration(max(0.0, frame.now - seen.timestamp))} ago"
    when = Piece(age if stale else time.strftime("%H:%M:%S", time.localtime(seen.timestamp)), Style.DIM)
    if stale:
        when = Piece(age, Style.ERROR)
    works = seen.driver_state == "ok"
    version = f"{seen.driver.driver} " if seen.driver and seen.driver.driver else ""
    words = version.strip() or "works" if works else f"{version}{seen.driver_state.replace('_', ' ')}"
    driver = Piece(f"driver {words}  ", Style.DIM if works else Style.ERROR)
    note = Piece(f"{frame.note}  ", Style.DIM) if frame.note else None
    for right in ((note, driver, when), (driver, when), (when,)):
        title = spread(tuple(left), tuple(piece for piece in right if piece), frame.columns)
        if len(title) > len(left):
            return title
    return tuple(left)


def _summary(machine: Machine) -> Line:
    summary = machine.overview.summary
    problems = [problem for problem in machine.overview.problems if not problem.people]
    pieces = [Piece(summary.text, Style.GOOD if summary.free else Style.TITLE)]
    if summary.people is not None:
        pieces.append(Piece(f"  {count(summary.people, 'person', 'people')}"))
    if summary.idle:
        pieces.append(Piece(f"  {len(summary.idle)} held idle", Style.WARNING))
    if summary.down:
        pieces.append(Piece(f"  {summary.down} down", Style.ERROR))
    if problems:
        pieces.append(Piece(f"  {count(len(problems), 'problem', 'problems')}", STYLES[problems[0].severity]))
    return tuple(pieces)


@lru_cache(maxsize=1)
def body(machine: Machine, font: Font, columns: int | None, order: Order = Order.DEFAULT, needle: str = "") -> Content:
    """Return the tables that have rows. The last result is kept, as most keys only move within it.

    Args:
        machine: the data.
        font: what the terminal can show.
        columns: maximum width; None for no limit.
        order: what the rows are sorted by.
        needle: only rows with this text are shown; case does not matter.
    """

    def laid_out(table: Table, width: int | None) -> tuple[Block, ...]:
        numbers = table.select(order, needle)
        return (Block(table, numbers, width, order),) if numbers else ()

    def pair(left: Table, right: Table) -> Iterable[tuple[Block, ...]]:
        if columns is None or columns < _SIDE_BY_SIDE_MIN_COLUMNS:
            return laid_out(left, columns), laid_out(right, columns)
        first = laid_out(left, columns // 2)
        return ((*first, *laid_out(right, side_width(first[0], columns) if first else columns)),)

    tables = tables_of(machine)
    blocks = Blocks(
        [
            laid_out(gpu_table.gpus(machine, font, columns), columns),
            *pair(tables.people, tables.environments),
            *pair(tables.processes, tables.instances),
        ]
    )
    return blocks if len(blocks) else Text([line(_why_empty(machine, needle), Style.DIM)])


def _why_empty(machine: Machine, needle: str) -> str:
    if needle:
        return f"No row has the text {needle}. Esc shows all."
    if machine.user is not None:
        return f"There is no GPU, environment or GPU process of {machine.user}."
    return "There is nothing to show."


def trouble(machine: Machine, frame: Frame) -> list[Line]:
    """Return the lines that say why the data is not current; none if it is."""
    if frame.failure:
        return error_lines(frame.failure, frame.columns, Style.ERROR)
    if is_stale(machine.now, machine.overview.interval_seconds, frame.now):
        return [line("! The data is old: see 'journalctl -u genv-monitor'.", Style.ERROR)]
    return []


_INDENT = "  "
_MIN_COLUMNS = 20
"""Sentences are wrapped at this width or more; a narrower terminal cuts them."""

STYLES: dict[Severity, Style] = {
    "error": Style.ERROR,
    "warning": Style.WARNING,
    "info": Style.PLAIN,
}


def problem_summary(problem: Problem, target: Target | None = None) -> Line:
    """Return one line with the summary of a problem."""
    return (Piece(f"! {problem.summary}", STYLES[problem.severity], target), Piece(_names(problem), target=target))


def problem_lines(problem: Problem, columns: int | None) -> list[Line]:
    """Return the lines of a problem: what is wrong and what to do.

    Args:
        problem: the problem.
        columns: maximum width of a line; None for no limit.
    """
    detail = f" ({problem.detail})" if problem.detail else ""
    summary = problem_summary(problem)
    fits = columns is None or line_width(summary) <= columns
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
