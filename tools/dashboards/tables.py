"""How answers with the same labels are drawn side by side, as a table."""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import dashboard as models

from tools.dashboards.frame import PanelBuilder
from tools.dashboards.panels import About, describe, rows_of_now

NOT_KNOWN = "–"  # noqa: RUF001


@dataclass(frozen=True)
class Key:
    """A column with the values of a label."""

    label: str
    title: str


@dataclass(frozen=True)
class Value:
    """A column with the values of an expression."""

    title: str
    expression: str
    unit: str = "none"


def rows(about: About, keys: Sequence[Key], values: Sequence[Value], *, sort_by: str, empty: str) -> PanelBuilder:
    """Draw one row for each set of labels, the greatest first; say what it means that there is none.

    The first of the values has to be there whenever one of the others is.
    """
    panel = table.Panel()
    describe(panel, about)
    panel.no_value(empty)
    for ref_id, value in zip(_REF_IDS, values, strict=False):
        panel.with_target(rows_of_now(value.expression, ref_id))
        panel.override_by_name(value.title, _format(value))
    panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(models.DataTransformerConfig(id_val="organize", options=_columns(keys, values)))
    panel.sort_by([_greatest_first(sort_by)])
    return panel


_REF_IDS = "ABCDEFGH"


def _greatest_first(title: str) -> common.TableSortByFieldState:
    order = common.TableSortByFieldState()
    order.display_name(title)
    order.desc(True)
    return order


def _format(value: Value) -> list[models.DynamicConfigValue]:
    return [
        models.DynamicConfigValue("unit", value.unit),
        models.DynamicConfigValue("noValue", NOT_KNOWN),
    ]


def _columns(keys: Sequence[Key], values: Sequence[Value]) -> dict[str, object]:
    """Give the order and titles of the columns, in the form of Grafana's transformation `organize`.

    Grafana calls the column of query A `Value #A`, but plainly `Value` when no other query has an answer.
    """
    titles = {key.label: key.title for key in keys}
    titles |= {f"Value #{ref_id}": value.title for ref_id, value in zip(_REF_IDS, values, strict=False)}
    order = {name: position for position, name in enumerate(titles)}
    return {
        "excludeByName": {"Time": True},
        "indexByName": order,
        "renameByName": titles | {"Value": values[0].title},
    }
