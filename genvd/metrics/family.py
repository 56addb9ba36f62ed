"""The series of one metric, and the lines that they are in both formats of the exposition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

Value = float | int | bool

_GO_DIGITS = 7
"""From so many digits before the point on, Prometheus' own formatter writes an exponent."""


class Series(NamedTuple):
    """One series."""

    name: str
    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with the series that it has now."""

    name: str
    """Of its series; that of a counter ends in ``_total``."""
    help: str
    type: Literal["gauge", "counter"]
    labels: tuple[str, ...]
    values: Mapping[tuple[object, ...], Value]
    """By the values of the labels, in their order. What stands in a label is what :class:`str` makes of it."""

    @property
    def samples(self) -> list[Series]:
        """The series one by one."""
        return [
            Series(self.name, dict(zip(self.labels, map(str, values), strict=True)), float(value))
            for values, value in self.values.items()
        ]

    def lines(self, numbers: dict[Value, str]) -> str:
        """Return the series as both formats write them: a line each, the labels by their names.

        Args:
            numbers: how values are written, as far as is known; more are added.
        """
        text = self._written(self.values, numbers)
        if _is_plain(text, len(self.values), len(self.labels)):
            return text
        return self._written({tuple(map(_escaped, labels)): value for labels, value in self.values.items()}, numbers)

    def _written(self, values: Mapping[tuple[object, ...], Value], numbers: dict[Value, str]) -> str:
        write = _template(self.name, self.labels)
        lines = []
        for labels, value in values.items():
            number = numbers.get(value)
            if number is None:
                number = numbers[value] = written(value)
            lines.append(write(*labels, number))
        return "".join(lines)


def _is_plain(lines: str, series: int, labels: int) -> bool:
    """Tell whether nothing in the labels had to be escaped: then these characters are those of the format itself."""
    return lines.count('"') == 2 * series * labels and lines.count("\n") == series and "\\" not in lines


@cache
def _template(name: str, labels: tuple[str, ...]) -> Callable[..., str]:
    """Return what makes a line of the values of the labels and the number."""
    order = sorted(range(len(labels)), key=labels.__getitem__)
    inner = ",".join(f'{labels[place]}="{{{place}}}"' for place in order)
    return f"{name}{f'{{{{{inner}}}}}' if inner else ''} {{{len(labels)}}}\n".format


def _escaped(value: object) -> str:
    return str(value).replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def written(value: Value) -> str:
    """Return a number as Prometheus' client libraries write it."""
    text = repr(float(value))
    if text[-1] in "fn":
        return {"inf": "+Inf", "-inf": "-Inf"}.get(text, "NaN")
    point = text.find(".")
    if point < _GO_DIGITS or text[0] == "-":
        return text
    digits = f"{text[0]}.{text[1:point]}{text[point + 1 :]}".rstrip("0.")
    return f"{digits}e+{point - 1:02d}"
