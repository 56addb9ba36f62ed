"""A table panel as HTML: the answers to several queries side by side, as Grafana merges them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

from tools.drawing.units import COLOURS, colour, in_words, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tools.drawing.answers import Series

Json = dict[str, Any]
_ROW, _HEAD = 36, 36
_PADDING = 12


@dataclass(frozen=True)
class Table:
    """The columns of a table panel and its rows."""

    columns: list[str]
    properties: dict[str, Json]
    """By title of the column."""
    rows: list[dict[str, str | float]]


def table(panel: Json, answers: Sequence[Series]) -> Table:
    """Return the table of a panel, sorted."""
    (organize,) = [one["options"] for one in panel["transformations"] if one["id"] == "organize"]
    order, titles, hidden = (organize[name] for name in ("indexByName", "renameByName", "excludeByName"))
    properties = {one["matcher"]["options"]: _properties(one) for one in panel["fieldConfig"]["overrides"]}
    fields = [name for name in sorted(order, key=order.__getitem__) if not hidden.get(name)]
    merged: dict[frozenset[tuple[str, str]], dict[str, str | float]] = {}
    for series in answers:
        labels = {name: value for name, value in series.labels.items() if name in order}
        row = merged.setdefault(frozenset(labels.items()), {titles[name]: value for name, value in labels.items()})
        row[titles[f"Value #{series.ref_id}"]] = series.points[-1][1]
    rows = list(merged.values())
    for sorting in reversed(panel["options"]["sortBy"]):
        rows.sort(key=partial(_order, sorting["displayName"]), reverse=bool(sorting["desc"]))
    columns = [titles[name] for name in fields]
    return Table([one for one in columns if not properties.get(one, {}).get("custom.hidden")], properties, rows)


def _properties(override: Json) -> Json:
    return {one["id"]: one.get("value") for one in override["properties"]}


def _order(title: str, row: Mapping[str, str | float]) -> tuple[int, float, str]:
    value = row.get(title)
    if value is None:
        return (0, 0.0, "")
    if isinstance(value, float):
        return (1, value, "")
    return (2, 0.0, re.sub(r"\d+", lambda match: match[0].zfill(9), value))


def as_html(shown: Table, width: int, height: int) -> str:
    """Return the part of a table that fits into its panel."""
    widths = _widths(shown, width)
    columns = "".join(f'<col style="width:{one}px">' for one in widths)
    head = "".join(f"<th>{escape(title)}</th>" for title in shown.columns)
    fitting = shown.rows[: max(1, (height - _HEAD) // _ROW + 1)]
    body = "".join(
        "<tr>"
        + "".join(_cell(row.get(title), shown.properties.get(title, {}), pixels) for title, pixels in cells)
        + "</tr>"
        for row in fitting
        for cells in [list(zip(shown.columns, widths, strict=True))]
    )
    return f'<table class="data"><colgroup>{columns}</colgroup><tr>{head}</tr>{body}</table>'


def _widths(shown: Table, width: int) -> list[int]:
    fixed = [shown.properties.get(title, {}).get("custom.width") for title in shown.columns]
    rest = width - sum(one for one in fixed if one)
    others = sum(one is None for one in fixed)
    return [one if one else max(60, rest // others) for one in fixed]


def _cell(value: str | float | None, properties: Json, width: int) -> str:
    if value is None:
        return f"<td>{escape(properties.get('noValue', ''))}</td>"
    words = in_words(value, properties.get("mappings") or [])
    if words:
        shown, shade = words
    elif isinstance(value, str):
        shown, shade = value, COLOURS["text"]
    else:
        shown = text(value, properties.get("unit", "none"), properties.get("decimals"))
        steps = properties.get("thresholds")
        shade = colour(value, steps) if steps else COLOURS["text"]
    options = properties.get("custom.cellOptions") or {}
    if options.get("type") == "gauge" and isinstance(value, float):
        share = min(1.0, max(0.0, value / properties["max"]))
        bar = max(0, width - _PADDING - 52)
        return (
            f'<td><span class="gauge" style="width:{bar}px"><i style="width:{share * bar:.0f}px;background:{shade}">'
            f'</i></span><b style="color:{shade}">{escape(shown)}</b></td>'
        )
    if options.get("type") == "color-background":
        return f'<td style="background:{shade};color:#111217">{escape(shown)}</td>'
    link = ' class="link"' if properties.get("links") else ""
    style = f' style="color:{shade}"' if options.get("type") == "color-text" else ""
    return f"<td{link}{style}>{escape(shown)}</td>"
