"""How one answer is drawn: as a number, a gauge or lines over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from grafana_foundation_sdk.builders import common, dashboard, gauge, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from tools.dashboards.frame import DATA_SOURCE, PanelBuilder

NEUTRAL = "blue"


@dataclass(frozen=True)
class About:
    """What every panel says and how large it is, in the 24 columns of Grafana's grid."""

    title: str
    description: str
    width: int
    height: int


@dataclass(frozen=True)
class Scale:
    """How values are read: their unit, the least and the greatest, and from which value on a colour holds."""

    unit: str
    least: float | None = None
    greatest: float | None = None
    steps: Sequence[tuple[float | None, str]] = ((None, NEUTRAL),)


def number(about: About, expression: str, scale: Scale) -> PanelBuilder:
    """Draw the value of now as a number."""
    panel = stat.Panel()
    describe(panel, about)
    _read_as(panel, scale)
    panel.with_target(now(expression))
    panel.reduce_options(_last())
    panel.graph_mode(common_models.BigValueGraphMode("none"))
    panel.color_mode(common_models.BigValueColorMode("value"))
    return panel


def dial(about: About, expression: str, scale: Scale) -> PanelBuilder:
    """Draw the value of now as a gauge."""
    panel = gauge.Panel()
    describe(panel, about)
    _read_as(panel, scale)
    panel.with_target(now(expression))
    panel.reduce_options(_last())
    panel.show_threshold_markers(True)
    return panel


def lines(about: About, expression: str, legend: str, scale: Scale) -> PanelBuilder:
    """Draw each series as a line over time, with a legend in words and numbers; limits are dashed lines."""
    panel = timeseries.Panel()
    describe(panel, about)
    _read_as(panel, scale)
    panel.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId("palette-classic")))
    panel.line_width(1)
    panel.fill_opacity(0)
    panel.show_points(common_models.VisibilityMode("never"))
    limits = "dashed" if len(scale.steps) > 1 else "off"
    panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(common_models.GraphTresholdsStyleMode(limits)))
    panel.legend(_legend())
    panel.tooltip(_tooltip())
    panel.with_target(over_time(expression, legend))
    return panel


class Describable(Protocol):
    """What the builders of all kinds of panels share, and `describe` needs."""

    def title(self, title: str) -> object:
        """Set the title."""

    def description(self, description: str) -> object:
        """Set the description."""

    def datasource(self, datasource: models.DataSourceRef) -> object:
        """Set the data source."""

    def span(self, w: int) -> object:
        """Set the width."""

    def height(self, h: int) -> object:
        """Set the height."""


def describe(panel: Describable, about: About) -> None:
    """Set what every panel has."""
    panel.title(about.title)
    panel.description(about.description)
    panel.datasource(DATA_SOURCE)
    panel.span(about.width)
    panel.height(about.height)


def now(expression: str, ref_id: str = "A") -> prometheus.Dataquery:
    """Ask for the values of now: a series that has ended does not linger as its last value."""
    target = _target(expression, ref_id)
    target.instant()
    return target


def rows_of_now(expression: str, ref_id: str) -> prometheus.Dataquery:
    """Ask for the values of now, as rows of a table with a column for each label."""
    target = now(expression, ref_id)
    target.format(PromQueryFormat("table"))
    return target


def over_time(expression: str, legend: str) -> prometheus.Dataquery:
    """Ask for the values over the time range."""
    target = _target(expression, "A")
    target.range()
    target.legend_format(legend)
    return target


def _target(expression: str, ref_id: str) -> prometheus.Dataquery:
    target = prometheus.Dataquery()
    target.ref_id(ref_id)
    target.datasource(DATA_SOURCE)
    target.expr(expression)
    return target


class _Readable(Protocol):
    def unit(self, unit: str) -> object: ...
    def min(self, min_val: float) -> object: ...
    def max(self, max_val: float) -> object: ...
    def thresholds(self, thresholds: Builder[models.ThresholdsConfig]) -> object: ...


def _read_as(panel: _Readable, scale: Scale) -> None:
    panel.unit(scale.unit)
    if scale.least is not None:
        panel.min(scale.least)
    if scale.greatest is not None:
        panel.max(scale.greatest)
    steps = [models.Threshold(value=value, color=colour) for value, colour in scale.steps]
    thresholds = dashboard.ThresholdsConfig()
    thresholds.mode(models.ThresholdsMode("absolute"))
    thresholds.steps(steps)
    panel.thresholds(thresholds)


def _last() -> common.ReduceDataOptions:
    options = common.ReduceDataOptions()
    options.calcs(["lastNotNull"])
    return options


def _legend() -> common.VizLegendOptions:
    legend = common.VizLegendOptions()
    legend.show_legend(True)
    legend.display_mode(common_models.LegendDisplayMode("table"))
    legend.placement(common_models.LegendPlacement("right"))
    legend.calcs(["last", "max"])
    return legend


def _tooltip() -> common.VizTooltipOptions:
    tooltip = common.VizTooltipOptions()
    tooltip.mode(common_models.TooltipDisplayMode("multi"))
    tooltip.sort(common_models.SortOrder("desc"))
    return tooltip
