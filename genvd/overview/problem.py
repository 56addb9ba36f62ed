"""A problem as the page and ``top`` show it, and how names of users and environments are listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from genvd.model.snapshot import Environment, Process

MAX_NAMES = 5
"""Maximum number of names of one problem."""

Severity = Literal["error", "warning", "info"]
"""As that of the alert for the same thing, whose ``critical`` is ``error`` here."""

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""The worst first."""


class Problem(NamedTuple):
    """Something that needs the attention of an administrator."""

    severity: Severity
    summary: str
    """What is wrong, in one sentence."""
    action: str
    """What to do, in one or two sentences."""
    names: tuple[str, ...] = ()
    """The first few affected processes, environments or GPUs. Users choose some of the names."""
    more: int = 0
    """Number of further affected ones."""
    detail: str | None = None
    """The original error message."""
    devices: tuple[int, ...] = ()
    """Indices of the affected GPUs, as far as they are still listed."""
    alert: str | None = None
    """The alert for the same thing, whose section in docs/runbook.md says more."""
    people: bool = False
    """Whether it is something to talk about with users, which :mod:`genvd.overview.talks` has one by one."""


def worst_first(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return problems in the order of their severity."""
    return tuple(sorted(problems, key=lambda problem: SEVERITIES.index(problem.severity)))


def first_names(names: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """Return the first names, and the number of the others."""
    return tuple(names[:MAX_NAMES]), max(0, len(names) - MAX_NAMES)


def name_of(environment: Environment) -> str:
    """Return the name of an environment; its ID if it has none."""
    return (environment.name or "").strip() or environment.eid


def first_process(processes: Sequence[Process]) -> str:
    """Return the first of at least one process, and the number of the others: "python3 4711 and 2 more"."""
    first, *others = processes
    return f"{first.command or 'process'} {first.pid}" + (f" and {len(others)} more" if others else "")


def with_user(name: str, username: str | None) -> str:
    """Return a name with its user, if that is known."""
    return f"{name} ({username})" if username else name


def counted(number: int, words: tuple[str, str]) -> str:
    """Return a number with the words for one or for several."""
    return f"{number} {words[number != 1]}"


def worst(severities: Iterable[Severity]) -> Severity:
    """Return the worst of at least one severity."""
    return min(severities, key=SEVERITIES.index)
