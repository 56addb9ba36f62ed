"""Table panels: the values of several expressions with the same labels side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import dashboard as models

from tools.dashboards.frame import PanelBuilder
from tools.dashboards.navigation import CellLink
from tools.dashboards.panels import About, describe, in_words, rows_of_now

NOT_KNOWN = "–"  # noqa: RUF001


@dataclass(frozen=True)
class Key:
    """A column with the values of a label."""

    label: str
    title: str
    links: Sequence[CellLink] = ()
    """Links on the cells."""


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


def rows(
    about: About,
    keys: Sequence[Key],
    values: Sequence[Value],
    *,
    sort_by: str,
    empty: str,
    least_first: bool = False,
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
        hidden: columns to hide: labels, or titles of values.
    """
    panel = table.Panel()
    describe(panel, about)
    panel.no_value(empty)
    for ref_id, value in zip(_REF_IDS, values, strict=False):
        panel.with_target(rows_of_now(value.expression, ref_id))
        panel.override_by_name(value.title, _format(value))
    for key in keys:
        if key.links:
            panel.override_by_name(key.title, [models.DynamicConfigValue("links", [_link(link) for link in key.links])])
    panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(models.DataTransformerConfig(id_val="organize", options=_columns(keys, values, hidden)))
    panel.sort_by([_order(sort_by, least_first)])
    return panel


_REF_IDS = "ABCDEFGHIJKLMNOP"


def _order(title: str, least_first: bool) -> common.TableSortByFieldState:
    order = common.TableSortByFieldState()
    order.display_name(title)
    order.desc(not least_first)
    return order


def _link(link: CellLink) -> dict[str, object]:
    return {"title": link.title, "url": link.url}


def _format(value: Value) -> list[models.DynamicConfigValue]:
    properties = [
        models.DynamicConfigValue("unit", value.unit),
        models.DynamicConfigValue("noValue", NOT_KNOWN),
    ]
    if value.steps:
        steps = [{"value": least, "color": colour} for least, colour in value.steps]
        properties.append(models.DynamicConfigValue("thresholds", {"mode": "absolute", "steps": steps}))
    if value.words:
        properties.append(models.DynamicConfigValue("mappings", [in_words(value.words)]))
    if value.steps or value.words:
        properties.append(models.DynamicConfigValue("custom.cellOptions", {"type": "color-text"}))
    return properties


def _columns(keys: Sequence[Key], values: Sequence[Value], hidden: Sequence[str]) -> dict[str, object]:
    """Return order and titles of the columns as options of Grafana's transformation `organize`.

    Grafana calls the column of query A `Value #A`, but plainly `Value` when no other query has an answer.
    """
    titles = {key.label: key.title for key in keys}
    titles |= {f"Value #{ref_id}": value.title for ref_id, value in zip(_REF_IDS, values, strict=False)}
    titles |= {label: label for label in hidden if label not in titles.values()}
    order = {name: position for position, name in enumerate(titles)}
    titles["Value"] = values[0].title
    excluded = ["Time", *(name for name, title in titles.items() if name in hidden or title in hidden)]
    return {
        "excludeByName": dict.fromkeys(excluded, True),
        "indexByName": order,
        "renameByName": titles,
    }
