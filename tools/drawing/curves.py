"""Curves as SVG: a course below a number, lines with a time axis and a legend."""

from __future__ import annotations

import math
import time
from html import escape
from typing import TYPE_CHECKING

from tools.drawing.units import PALETTE, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.drawing.answers import Series

_LEFT, _BOTTOM, _TOP = 52, 18, 6
_TICKS = 5


def course(points: Sequence[tuple[float, float]], width: int, height: int, stroke: str) -> str:
    """Return the filled curve below a number."""
    known = [(moment, value) for moment, value in points if not math.isnan(value)]
    if len(known) < 2:
        return ""
    greatest, least = max(value for _, value in known), min(0.0, *(value for _, value in known))
    first, last = known[0][0], known[-1][0]

    def place(moment: float, value: float) -> str:
        share = (value - least) / (greatest - least) if greatest > least else 0.0
        return f"{(moment - first) / (last - first) * width:.1f},{height - 2 - share * (height - 4):.1f}"

    line = " ".join(place(*point) for point in known)
    return (
        f'<svg width="{width}" height="{height}"><polygon points="0,{height} {line} {width},{height}"'
        f' fill="{stroke}" opacity=".18"/><polyline points="{line}" fill="none" stroke="{stroke}"/></svg>'
    )


def lines(
    series: Sequence[Series],
    size: tuple[int, int],
    span: tuple[float, float],
    unit: str,
    bounds: tuple[float | None, float | None],
    marks: Sequence[float] = (),
) -> str:
    """Return lines with axes.

    Args:
        series: what to draw.
        size: width and height in pixels.
        span: the first and the last moment.
        unit: of the values.
        bounds: the least and the greatest value of the axis, if fixed.
        marks: moments of annotations.
    """
    width, height = size[0] - _LEFT, size[1] - _BOTTOM - _TOP
    values = [value for one in series for _, value in one.points if not math.isnan(value)]
    least = min(values, default=0.0) if bounds[0] is None else bounds[0]
    greatest = (max(values, default=1.0) or 1.0) if bounds[1] is None else bounds[1]
    greatest = greatest if greatest > least else least + 1

    def x(moment: float) -> float:
        return _LEFT + (moment - span[0]) / (span[1] - span[0]) * width

    def y(value: float) -> float:
        return _TOP + (greatest - value) / (greatest - least) * height

    parts = [f'<svg width="{size[0]}" height="{size[1]}" class="curves">']
    for number in range(_TICKS):
        value = least + (greatest - least) * number / (_TICKS - 1)
        parts.append(f'<line x1="{_LEFT}" x2="{size[0]}" y1="{y(value):.1f}" y2="{y(value):.1f}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{text(value, unit, 0)}</text>')
        moment = span[0] + (span[1] - span[0]) * (number + 0.5) / _TICKS
        label = time.strftime("%H:%M", time.localtime(moment))
        parts.append(f'<text x="{x(moment):.1f}" y="{size[1] - 3}" text-anchor="middle">{label}</text>')
    parts += (
        f'<line x1="{x(mark):.1f}" x2="{x(mark):.1f}" y1="0" y2="{size[1] - _BOTTOM}" class="mark"/>'
        for mark in marks
        if span[0] <= mark <= span[1]
    )
    for number, one in enumerate(series):
        dash = ' stroke-dasharray="8 6"' if one.name == "average" else ""
        shown = (f"{x(moment):.1f},{y(value):.1f}" for moment, value in one.points if not math.isnan(value))
        parts.append(
            f'<polyline points="{" ".join(shown)}" fill="none" stroke="{PALETTE[number % len(PALETTE)]}"{dash}/>'
        )
    return "".join((*parts, "</svg>"))


def legend(series: Sequence[Series], unit: str, decimals: int | None) -> str:
    """Return the legend as a table: name, last and greatest value."""
    rows = []
    for number, one in enumerate(series):
        values = [value for _, value in one.points if not math.isnan(value)]
        cells = (f"<td>{text(value, unit, decimals)}</td>" for value in (values[-1], max(values)) if values)
        mark = f'<i style="background:{PALETTE[number % len(PALETTE)]}"></i>'
        rows.append(f"<tr><td>{mark}{escape(one.name)}</td>{''.join(cells)}</tr>")
    return f'<table class="legend"><tr><th>Name</th><th>Last</th><th>Max</th></tr>{"".join(rows)}</table>'
