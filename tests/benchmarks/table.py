"""The table: each figure of ours, what it is compared with, the goal, and the limit that no program gets below."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

Show = Callable[[float], str]


def milliseconds(seconds: float) -> str:
    """Show a time."""
    return f"{seconds * 1e3:.2f} ms" if seconds < 0.1 else f"{seconds * 1e3:.0f} ms"


def microseconds(seconds: float) -> str:
    """Show a short time."""
    return f"{seconds * 1e6:,.0f} µs"


def mebibytes(size: float) -> str:
    """Show an amount of memory."""
    return f"{size / 2**20:.1f} MiB"


def percent(share: float) -> str:
    """Show a share."""
    return f"{share:.0%}"


def number(value: float) -> str:
    """Show a number of things."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"


def _times(value: float) -> str:
    inverse = 1 / value if value else 0
    return f"1/{inverse:.0f}" if value < 1 and abs(inverse - round(inverse)) < 1e-6 else f"{value:g} times"


@dataclass(frozen=True)
class Goal:
    """The goal for the ratio or, without a peer, for the figure itself."""

    most: float | None = None
    least: float | None = None
    show: Show = _times

    def __str__(self) -> str:
        return f"≤ {self.show(self.most)}" if self.most is not None else f"≥ {self.show(self.least or 0)}"

    def reached(self, value: float) -> bool:
        """Return whether this value reaches the goal."""
        return value <= self.most if self.most is not None else value >= (self.least or 0)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    ours: float | None
    """None if it could not be measured."""
    show: Show
    peer: str = ""
    theirs: float | None = None
    goal: Goal | None = None
    limit: tuple[str, float] | None = None
    """The bare minimum of the same work: what it is, and its figure."""

    @property
    def ratio(self) -> float | None:
        """Our figure divided by theirs; None without a peer."""
        return self._to_theirs(self.ours)

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None if there is no goal, or if that is unknown."""
        value = self.ratio if self.peer else self.ours
        return None if self.goal is None or value is None else self.goal.reached(value)

    @property
    def shown(self) -> tuple[str, str]:
        """Our figure and theirs; empty where there is none."""
        ours, theirs = ("" if value is None else self.show(value) for value in (self.ours, self.theirs))
        return ours, theirs

    def cells(self) -> tuple[str, ...]:
        """Return the content of the columns."""
        ratio = "" if self.ratio is None else f"{self.ratio:.3g}"
        if self.peer and None in (self.ours, self.theirs):
            ratio = "not measured"
        verdict = {True: "yes", False: "**no**", None: ""}[self.reached]
        ours, theirs = self.shown
        return (self.what, ours, self.peer, theirs, ratio, str(self.goal or ""), verdict, self._limit())

    def _limit(self) -> str:
        if self.limit is None:
            return ""
        name, value = self.limit
        ratio = self._to_theirs(value)
        return f"{name}: {self.show(value)}" + ("" if ratio is None else f", ratio {ratio:.3g}")

    def _to_theirs(self, value: float | None) -> float | None:
        return value / self.theirs if value is not None and self.theirs else None


HEADINGS = ("measurement", "genv-monitor", "compared with", "its value", "ratio", "goal", "reached", "limit")


def markdown(rows: Iterable[Row]) -> str:
    """Return the table, for terminals and for Markdown."""
    lines = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |\n" for line in lines
    )
