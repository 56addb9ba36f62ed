"""The parts that all dashboards share: data source, variables, links, rows, panel ids."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models

from tools.dashboards import variables
from tools.dashboards.navigation import Target, links_from
from tools.dashboards.variables import DATA_SOURCE

PanelBuilder = Builder[models.Panel]
Variable = Builder[models.VariableModel]


@dataclass(frozen=True)
class Row:
    """Panels below a heading; they fill the width from left to right, and then the next line.

    The panels of a closed row are queried only when it is opened.
    """

    title: str
    panels: Sequence[PanelBuilder]
    closed: bool = False


@dataclass(frozen=True)
class Page:
    """The content of a dashboard: panels at the top, then rows."""

    target: Target
    description: str
    top: Sequence[PanelBuilder]
    rows: Sequence[Row] = field(default=())
    machines: Callable[[], Variable] = variables.machines
    choices: Sequence[Variable] = field(default=())
    """Variables in addition to the data source, the jobs and the machines."""
    annotations: Sequence[Mapping[str, object]] = field(default=())
    """What is marked on all curves, as Grafana saves it; the SDK does not have the fields of Prometheus."""
    since: str = "now-1h"
    refresh: str = "15s"


def assemble(page: Page) -> models.Dashboard:
    """Return the dashboard of a page, with its panels placed and numbered."""
    builder = _empty(page)
    for panel in page.top:
        builder.with_panel(panel)
    for row in page.rows:
        _add(builder, row)
    dashboard = builder.build()
    _close_gaps(dashboard)
    for number, placed in enumerate(_all_panels(dashboard), start=1):
        placed.id_val = number
    return dashboard


def _add(builder: builders.Dashboard, row: Row) -> None:
    heading = builders.Row(row.title)
    heading.datasource(DATA_SOURCE)
    if row.closed:
        for panel in row.panels:
            heading.with_panel(panel)
    builder.with_row(heading)
    if not row.closed:
        for panel in row.panels:
            builder.with_panel(panel)


def _close_gaps(dashboard: models.Dashboard) -> None:
    """Move up what follows a closed row, as Grafana saves it: its panels take no place."""
    saved = 0
    for panel in dashboard.panels or []:
        assert panel.grid_pos
        panel.grid_pos.y -= saved
        if isinstance(panel, models.RowPanel) and panel.panels:
            places = [inner.grid_pos for inner in panel.panels if inner.grid_pos]
            for place in places:
                place.y -= saved
            saved += max(place.y + place.h for place in places) - panel.grid_pos.y - panel.grid_pos.h


def _all_panels(dashboard: models.Dashboard) -> Iterator[models.Panel | models.RowPanel]:
    for panel in dashboard.panels or []:
        yield panel
        if isinstance(panel, models.RowPanel):
            yield from panel.panels


def _empty(page: Page) -> builders.Dashboard:
    builder = builders.Dashboard(page.target.title)
    builder.uid(page.target.uid)
    builder.description(page.description)
    builder.tags(["genv", "gpu"])
    builder.time(page.since, "now")
    builder.refresh(page.refresh)
    builder.tooltip(models.DashboardCursorSync.CROSSHAIR)
    for link in links_from(page.target):
        builder.link(link)
    for variable in (variables.data_source(), variables.jobs(), page.machines(), *page.choices):
        builder.with_variable(variable)
    return builder
