"""What is on the screen: the header, the page that the user has chosen, the problems, and the last line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.common.text_width import pad, wrap
from genvd.terminal.content import Text
from genvd.terminal.controls import HELP, PROBLEM, Page
from genvd.terminal.details import details
from genvd.terminal.style import Line, Piece, Style, Target, line, line_width, selected, spread
from genvd.terminal.table import Order
from genvd.terminal.view import Frame, body, head, problem_lines, problem_summary, trouble

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genvd.overview.problem import Problem
    from genvd.terminal.content import Content
    from genvd.terminal.controls import Controls
    from genvd.terminal.machine import Machine

_MIN_LINES = 6
"""On smaller screens there is only the header and the page."""

_PROBLEM_SHARE = 5
"""The problems get one fifth of the screen, or what the tables leave."""

_SPACIOUS_LINES = 30
"""On screens with more lines there is an empty one below the header, and one above the problems."""

_HELP_WIDTH = 20


def screen_lines(machine: Machine, frame: Frame, controls: Controls, columns: int, height: int) -> list[Line]:
    """Return the lines of the screen from the top, and let the controls know what they show.

    Args:
        machine: the data.
        frame: what is shown in addition.
        controls: the choices of the user.
        columns: width of the screen.
        height: number of its lines.
    """
    first = [*head(machine, frame), *([line()] if height >= _SPACIOUS_LINES else [])]
    page = _page(machine, frame, controls, columns)
    if height < _MIN_LINES:
        visible = controls.place(page, (), height - len(first))
        drawn = [*first, *visible][:height]
        return _finished(drawn, controls)
    rest = height - len(first) - 1
    below = _below(machine, frame, controls, columns, (rest, rest - len(page)))
    room = rest - len(below)
    tables = controls.page is Page.TABLES
    problems = [_target(problem) for problem in machine.overview.problems] if tables else []
    visible = controls.place(page, problems, room)
    empty = [line()] * (room - len(visible))
    drawn = [*first, *visible, *empty, *below, _last_line(controls, columns)]
    return _finished(drawn, controls)


def _finished(drawn: list[Line], controls: Controls) -> list[Line]:
    lines = [selected(pieces, controls.selected) if controls.page is Page.TABLES else pieces for pieces in drawn]
    controls.drawn(lines)
    return lines


def _page(machine: Machine, frame: Frame, controls: Controls, columns: int) -> Content:
    """Return the chosen page."""
    if controls.page is Page.HELP:
        return Text(_help(columns))
    if controls.page is Page.PROBLEMS:
        problems = machine.overview.problems
        return Text(_all_problems(problems, columns) or [line("There are no problems.", Style.GOOD)])
    if controls.page is Page.DETAILS and controls.selected is not None:
        return Text(_details(machine, frame, controls.selected, columns))
    return body(machine, frame.font, columns, controls.order, controls.filter)


def _help(columns: int) -> list[Line]:
    lines: list[Line] = []
    for keys, text in HELP:
        for number, part in enumerate(wrap(text, max(_HELP_WIDTH, columns - _HELP_WIDTH))):
            lines.append((Piece(pad("" if number else keys, _HELP_WIDTH), Style.TITLE), Piece(part)))
    return lines


def _details(machine: Machine, frame: Frame, target: Target, columns: int) -> Sequence[Line]:
    if target.table == PROBLEM:
        found = [problem for problem in machine.overview.problems if problem.summary == target.key]
        return _all_problems(found, columns) or [line("This is no longer a problem.", Style.DIM)]
    return details(machine, target, columns, frame.font) or [line("This is no longer there.", Style.DIM)]


def _all_problems(problems: Sequence[Problem], columns: int) -> list[Line]:
    return [row for problem in problems for row in problem_lines(problem, columns)]


def _target(problem: Problem) -> Target:
    return Target(PROBLEM, problem.summary)


def _below(machine: Machine, frame: Frame, controls: Controls, columns: int, available: tuple[int, int]) -> list[Line]:
    """Return the lines below the page: why the data is old, and the problems.

    They are at the bottom, so the tables stay where they are when problems come and go.

    Args:
        machine: the data.
        frame: what is shown in addition.
        controls: the choices of the user.
        columns: width of the screen.
        available: how many lines there are for the page and this, and how many the page leaves.
    """
    both, left = available
    why_old = trouble(machine, frame)[: max(1, both // 2)]
    problems = machine.overview.problems if controls.page is Page.TABLES else ()
    limit = max(both // _PROBLEM_SHARE, left - 1) - len(why_old)
    if not problems or limit < 1:
        return why_old
    title = line(f"{_heading(problems)}  p shows what to do", Style.DIM)
    heading = [line(), title] if both >= _SPACIOUS_LINES else [title]
    complete = [*heading, *_complete(problems, columns)]
    if len(complete) <= limit:
        return [*complete, *why_old]
    heading = heading if limit > len(heading) else []
    shown = _window(problems, controls.selected, limit - len(heading))
    summaries = [problem_summary(problem, _target(problem)) for problem in shown]
    return [*heading, *summaries, *why_old]


def _heading(problems: Sequence[Problem]) -> str:
    """Return the heading of at least one problem: what is wrong, and what to talk about, as the page has them."""
    people = sum(problem.people for problem in problems)
    numbers = {"PROBLEMS": len(problems) - people, "TO TALK TO": people}
    return ", ".join(f"{name} ({number})" for name, number in numbers.items() if number)


def _complete(problems: Sequence[Problem], columns: int) -> list[Line]:
    """Return the problems with what to do, as what can be selected."""
    return [
        tuple(Piece(piece.text, piece.style, _target(problem)) for piece in row)
        for problem in problems
        for row in problem_lines(problem, columns)
    ]


def _window(problems: Sequence[Problem], chosen: Target | None, size: int) -> Sequence[Problem]:
    """Return as many problems as there is room for, the selected one among them."""
    place = next((n for n, problem in enumerate(problems) if _target(problem) == chosen), 0)
    start = max(0, place - size + 1)
    return problems[start : start + size]


def _last_line(controls: Controls, columns: int) -> Line:
    if controls.typing:
        return (Piece("/", Style.TITLE), Piece(controls.filter), Piece(" ", Style.SELECTED))
    words = []
    if controls.filter:
        words.append(Piece(f"filter: {controls.filter}  ", Style.WARNING))
    if controls.order is not Order.DEFAULT:
        words.append(Piece(f"sorted by {controls.order.value}  ", Style.WARNING))
    columns -= 1  # not the last cell of the screen: some terminals start a new line after it when the next is drawn
    keys = "? keys  / filter  arrows Tab select  Enter details  q quit"
    if controls.page is not Page.TABLES:
        keys = "Esc back  q quit"
    below = controls.lines_below
    position = line(f"{below} more lines below" if below else "", Style.DIM)
    left = (*words, Piece(keys, Style.DIM))
    if line_width(left) + line_width(position) + 2 > columns:
        left = (*words, Piece("? keys", Style.DIM))
    return spread(left, position, columns) if below else left
