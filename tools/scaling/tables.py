"""The tables of docs/scaling.md that need no Prometheus."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genvd.config.loader import load
from genvd.config.schema import Config
from tools.scaling.machine import Shape
from tools.scaling.measure import Cost, cost

if TYPE_CHECKING:
    from collections.abc import Iterator

TYPICAL = Shape(devices=8, environments=8, processes=16, users=4)

SHAPES = (
    Shape(1, 1, 1, 1),
    Shape(4, 4, 6, 3),
    TYPICAL,
    Shape(8, 40, 80, 20),
    Shape(16, 100, 200, 50),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table."""

    title: str
    cost: Cost

    def __str__(self) -> str:
        numbers = (self.cost.series, self.cost.bytes, self.cost.compressed)
        return f"| {self.title} | {' | '.join(f'{number:,.0f}' for number in numbers)} |"


def parts() -> Iterator[Row]:
    """Return the cost of each GPU, environment, process and user, by doubling their number; and the fixed rest."""
    whole = cost(TYPICAL)
    rest = whole
    titles = {
        "devices": "each GPU",
        "environments": "each active environment",
        "processes": "each GPU process",
        "users": "each user",
    }
    rows = []
    for field, title in titles.items():
        number = getattr(TYPICAL, field)
        each = (cost(dataclasses.replace(TYPICAL, **{field: 2 * number})) - whole) * (1 / number)
        rest -= each * number
        rows.append(Row(title, each))
    yield Row("the monitor and the machine", rest)
    yield from rows


def examples() -> Iterator[Row]:
    """Return the cost of machines of some sizes."""
    for shape in SHAPES:
        counts = (shape.devices, shape.environments, shape.processes, shape.users)
        yield Row(" | ".join(map(str, counts)), cost(shape))


def savings() -> Iterator[Row]:
    """Return the cost of each group of metrics for a typical machine, the largest first."""
    whole = cost(TYPICAL)
    groups = (field for field in Config.__slots__ if field.startswith("metrics_") and getattr(Config(), field))
    fields = (*groups, "ledger_enabled")
    rows = [
        Row(f"`{field.replace('_', '.', 1)}`", whole - cost(TYPICAL, load(None, {field: False}))) for field in fields
    ]
    yield from sorted((row for row in rows if row.cost.series), key=lambda row: -row.cost.series)


_HEAD = "series | bytes | bytes with gzip |"
TABLES = {
    "parts": (f"| | {_HEAD}", parts),
    "examples": (f"| GPUs | environments | processes | users | {_HEAD}", examples),
    "savings": (f"| off | {_HEAD}", savings),
}


def table(name: str) -> str:
    """Return a table in Markdown."""
    head, rows = TABLES[name]
    return "\n".join((head, "| --- " * (head.count("|") - 1) + "|", *map(str, rows()))) + "\n"
