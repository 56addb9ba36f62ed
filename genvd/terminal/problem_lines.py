"""What is wrong, and what to do about it, in lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.common.text import harmless
from genvd.common.text_width import width, wrap
from genvd.terminal.paint import Line, Piece, Style, line

if TYPE_CHECKING:
    from genvd.overview.problems import Problem, Severity

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
