"""What all dashboards have in common: the data source, the choice of machines, rows, ids."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models

DATA_SOURCE = models.DataSourceRef(type_val="prometheus", uid="genv-prometheus")
"""The data source that the published provisioning file defines."""

PanelBuilder = Builder[models.Panel]


@dataclass(frozen=True)
class Row:
    """Panels below a heading; they fill the width from left to right, and then the next line."""

    title: str
    panels: Sequence[PanelBuilder]


@dataclass(frozen=True)
class Page:
    """What one dashboard consists of: some panels at the top, then rows."""

    uid: str
    title: str
    description: str
    top: Sequence[PanelBuilder]
    rows: Sequence[Row] = field(default=())


def assemble(page: Page) -> models.Dashboard:
    """Make the dashboard of a page: put the panels into their places and number them."""
    builder = _empty(page)
    for panel in page.top:
        builder.with_panel(panel)
    for row in page.rows:
        builder.with_row(builders.Row(row.title).datasource(DATA_SOURCE))
        for panel in row.panels:
            builder.with_panel(panel)
    dashboard = builder.build()
    for number, placed in enumerate(dashboard.panels or [], start=1):
        placed.id_val = number
    return dashboard


def _empty(page: Page) -> builders.Dashboard:
    builder = builders.Dashboard(page.title)
    builder.uid(page.uid)
    builder.description(page.description)
    builder.tags(["genv", "gpu"])
    builder.time("now-1h", "now")
    builder.refresh("15s")
    builder.tooltip(models.DashboardCursorSync.CROSSHAIR)
    builder.annotations([])
    builder.with_variable(_machines())
    return builder


def _machines() -> Builder[models.VariableModel]:
    """Give the choice of machines: any number of them, all at first, looked up anew with each time range."""
    variable = builders.QueryVariable("instance")
    variable.label("Machine")
    variable.description("The machines to show.")
    variable.datasource(DATA_SOURCE)
    # The shape that Grafana's own editor saves; 1 means label values.
    query: dict[str, object] = {
        "qryType": 1,
        "query": "label_values(genv_is_installed, instance)",
        "refId": "PrometheusVariableQueryEditor-VariableQuery",
    }
    variable.query(query)
    variable.multi(True)
    variable.include_all(True)
    variable.all_value(".*")
    variable.current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
    variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    variable.sort(models.VariableSort.ALPHABETICAL_ASC)
    return variable
