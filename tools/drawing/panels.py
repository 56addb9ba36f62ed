"""Each panel as HTML, in its place on the page."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from tools.drawing import curves, tables
from tools.drawing.units import COLOURS, colour, in_words, text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tools.drawing.answers import Series

Json = dict[str, Any]

_UNIT, _GAP = 30, 8
"""Height of a unit of Grafana's grid, and the space between panels, in pixels."""
_COLUMNS = 24
_TITLE = 32
_LEGEND = 280


class Page:
    """A page of a width, with the moments that it shows."""

    def __init__(self, width: int, span: tuple[float, float], marks: Sequence[float]) -> None:
        self._column = (width + _GAP) / _COLUMNS
        self._span = span
        self._marks = marks
        self._kinds: dict[str, Callable[[Json, Sequence[Series], int, int], str]] = {
            "stat": self._number,
            "gauge": self._number,
            "bargauge": self._bars,
            "table": self._table,
            "timeseries": self._lines,
            "state-timeline": self._states,
        }

    def panel(self, panel: Json, answers: Sequence[Series]) -> str:
        """Return a panel, or the heading of a row."""
        place = panel["gridPos"]
        left, top = place["x"] * self._column, place["y"] * (_UNIT + _GAP)
        width = round(place["w"] * self._column - _GAP)
        height = place["h"] * (_UNIT + _GAP) - _GAP
        box = f"left:{left:.0f}px;top:{top:.0f}px;width:{width}px;height:{height}px"
        if panel["type"] == "row":
            arrow = "&#9656;" if panel["collapsed"] else "&#9662;"
            return f'<h2 style="{box}">{arrow} {escape(panel["title"])}</h2>'
        inside = self._kinds[panel["type"]](panel, answers, width - 2 * _GAP, height - _TITLE - _GAP)
        if not answers:
            inside = f'<p class="empty">{escape(panel["fieldConfig"]["defaults"].get("noValue", "No data"))}</p>'
        only = f"<small>Last {panel['timeFrom']}</small>" if panel.get("timeFrom") else ""
        return f'<section style="{box}"><h3>{escape(panel["title"])}{only}</h3>{inside}</section>'

    def _number(self, panel: Json, answers: Sequence[Series], width: int, height: int) -> str:
        defaults = panel["fieldConfig"]["defaults"]
        parts = []
        for one in answers:
            value = one.points[-1][1]
            words = in_words(value, defaults.get("mappings") or [])
            shown, shade = words or (_shown(value, defaults), colour(value, defaults["thresholds"]))
            if panel["options"].get("textMode") == "name":
                shown = one.name
            parts.append(f'<p class="number" style="color:{shade}">{escape(shown)}</p>')
            if panel["options"].get("graphMode") == "area":
                known = [point for point in one.points if point[1] >= defaults.get("min", point[1])]
                parts.append(curves.course(known, width, height - 44, shade))
        return "".join(parts)

    def _bars(self, panel: Json, answers: Sequence[Series], width: int, height: int) -> str:
        defaults = panel["fieldConfig"]["defaults"]
        greatest = defaults.get("max") or max((one.points[-1][1] for one in answers), default=1.0) or 1.0
        rows = []
        for one in answers[: height // 26]:
            value = one.points[-1][1]
            words = in_words(value, defaults.get("mappings") or [])
            shown, shade = words or (_shown(value, defaults), colour(value, defaults["thresholds"]))
            rows.append(
                f'<div class="bar"><span>{escape(one.name)}</span><i style="width:{value / greatest * 45:.0f}%;'
                f'background:{shade}"></i><b style="color:{shade}">{escape(shown)}</b></div>'
            )
        return "".join(rows)

    def _table(self, panel: Json, answers: Sequence[Series], width: int, height: int) -> str:
        return tables.as_html(tables.table(panel, answers), width, height)

    def _lines(self, panel: Json, answers: Sequence[Series], width: int, height: int) -> str:
        defaults = panel["fieldConfig"]["defaults"]
        legend = min(_LEGEND, width // 3)
        drawn = curves.lines(
            answers,
            (width - legend, height),
            self._span,
            defaults.get("unit", "none"),
            (defaults.get("min"), defaults.get("max")),
            self._marks,
        )
        names = curves.legend(answers, defaults.get("unit", "none"), defaults.get("decimals"))
        return f'<div class="side">{drawn}<div style="width:{legend}px;height:{height}px">{names}</div></div>'

    def _states(self, panel: Json, answers: Sequence[Series], width: int, height: int) -> str:
        mappings = panel["fieldConfig"]["defaults"].get("mappings") or []
        rows = []
        for one in answers:
            shares = [in_words(value, mappings) or ("", COLOURS["text"]) for _, value in one.points]
            cells = "".join(f'<i style="flex:1;background:{shade}"></i>' for _, shade in shares)
            rows.append(f'<div class="states"><span>{escape(one.name)}</span><div>{cells}</div></div>')
        return "".join(rows[: height // 22])


def _shown(value: float, defaults: Json) -> str:
    return text(value, defaults.get("unit", "none"), defaults.get("decimals"))
