"""Table panels: the values of several expressions with the same labels side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import dashboard as models

from tools.dashboards.frame import PanelBuilder
from tools.dashboards.navigation import CellLink, OutsideLink
from tools.dashboards.panels import About, describe, in_words, rows_of_now

NOT_KNOWN = "–"  # noqa: RUF001


@dataclass(frozen=True)
class Key:
    """A column with the values of a label."""

    label: str
    title: str
    links: Sequence[CellLink | OutsideLink] = ()
    """Links on the cells."""
    concealed: bool = False
    """Whether the column is only there for links."""
    width: int | None = None
    """Width of the column in pixels; None to let Grafana choose."""


@dataclass(frozen=True)
class Value:
    """A column with the values of an expression."""

    title: str
    expression: str
    unit: str = "none"
    steps: Sequence[tuple[float | None, str]] = ()
    """Colour thresholds."""
    words: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    """Text and colour for a value."""
    decimals: int | None = None
    """Number of decimals; by default none for counts, and Grafana's choice for what has a unit."""
    bar_to: float | None = None
    """The value at which a bar that goes with the text is full; None for no bar."""
    filled: bool = False
    """Whether the colour is that of the cell, not of the text."""
    width: int | None = None
    """Width of the column in pixels; None to let Grafana choose."""


def rows(
    about: About,
    keys: Sequence[Key],
    values: Sequence[Value],
    *,
    sort_by: str,
    empty: str,
    least_first: bool = False,
    then_by: Sequence[str] = (),
    first: Sequence[str] = (),
    hidden: Sequence[str] = (),
) -> PanelBuilder:
    """Return a table with one row for each set of labels, the greatest first.

    Args:
        about: the panel.
        keys: the labels that identify a row.
        values: the first must exist whenever one of the others does.
        sort_by: the title of a column.
        empty: text for a table without rows.
        least_first: sort in ascending order.
        then_by: titles of columns by which rows are sorted that are equal in the first one, in ascending order.
        first: titles of the columns to show first, in this order; then the other labels and values.
        hidden: columns to hide: labels, or titles of values.
    """
    panel = table.Panel()
    describe(panel, about)
    panel.no_value(empty)
    for ref_id, value in zip(_REF_IDS, values, strict=False):
        panel.with_target(rows_of_now(value.expression, ref_id))
        panel.override_by_name(value.title, _format(value))
    for key in keys:
        if properties := _format_key(key):
            panel.override_by_name(key.title, properties)
    panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(
        models.DataTransformerConfig(id_val="organize", options=_columns(keys, values, first, hidden))
    )
    panel.sort_by([_order(sort_by, least_first), *(_order(title, least_first=True) for title in then_by)])
    return panel


_REF_IDS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _order(title: str, least_first: bool) -> common.TableSortByFieldState:
    order = common.TableSortByFieldState()
    order.display_name(title)
    order.desc(not least_first)
    return order


def _link(link: CellLink | OutsideLink) -> dict[str, object]:
    outside = {"targetBlank": True} if isinstance(link, OutsideLink) else {}
    return {"title": link.title, "url": link.url, **outside}


def _format_key(key: Key) -> list[models.DynamicConfigValue]:
    properties = _width(key.width)
    if key.links:
        properties.append(models.DynamicConfigValue("links", [_link(link) for link in key.links]))
    if key.concealed:
        properties.append(models.DynamicConfigValue("custom.hidden", True))
    return properties


def _width(pixels: int | None) -> list[models.DynamicConfigValue]:
    return [] if pixels is None else [models.DynamicConfigValue("custom.width", pixels)]


def _format(value: Value) -> list[models.DynamicConfigValue]:
    properties = [
        models.DynamicConfigValue("unit", value.unit),
        models.DynamicConfigValue("noValue", NOT_KNOWN),
        *_width(value.width),
    ]
    decimals = 0 if value.decimals is None and value.unit == "none" else value.decimals
    if decimals is not None:
        properties.append(models.DynamicConfigValue("decimals", decimals))
    if value.steps:
        steps = [{"value": least, "color": colour} for least, colour in value.steps]
        properties.append(models.DynamicConfigValue("thresholds", {"mode": "absolute", "steps": steps}))
    if value.words:
        properties.append(models.DynamicConfigValue("mappings", [in_words(value.words)]))
    if value.bar_to is not None:
        properties += [models.DynamicConfigValue("min", 0), models.DynamicConfigValue("max", value.bar_to)]
    if cell := _cell(value):
        properties.append(models.DynamicConfigValue("custom.cellOptions", cell))
    return properties


def _cell(value: Value) -> dict[str, str]:
    if value.bar_to is not None:
        return {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
    if value.steps or value.words:
        return {"type": "color-background", "mode": "basic"} if value.filled else {"type": "color-text"}
    return {}


def _columns(
    keys: Sequence[Key], values: Sequence[Value], first: Sequence[str], hidden: Sequence[str]
) -> dict[str, object]:
    """Return order and titles of the columns as options of Grafana's transformation `organize`.

    Grafana calls the column of query A `Value #A`, but plainly `Value` when no other query has an answer.
    """
    titles = {key.label: key.title for key in keys}
    titles |= {f"Value #{ref_id}": value.title for ref_id, value in zip(_REF_IDS, values, strict=False)}
    titles |= {label: label for label in hidden if label not in titles.values()}
    names = sorted(titles, key=lambda name: first.index(titles[name]) if titles[name] in first else len(first))
    order = {name: position for position, name in enumerate(names)}
    titles["Value"] = values[0].title
    excluded = ["Time", *(name for name, title in titles.items() if name in hidden or title in hidden)]
    return {
        "excludeByName": dict.fromkeys(excluded, True),
        "indexByName": order,
        "renameByName": titles,
    }
