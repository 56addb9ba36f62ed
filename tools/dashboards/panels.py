"""How one answer is drawn: as a number, a word, a gauge, bars, lines or states over time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    gauge,
    prometheus,
    stat,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from tools.dashboards.frame import PanelBuilder
from tools.dashboards.variables import DATA_SOURCE

NEUTRAL = "blue"


@dataclass(frozen=True)
class About:
    """What every panel says and how large it is, in the 24 columns of Grafana's grid."""

    title: str
    description: str
    width: int
    height: int
    empty: str = ""
    """Why there may be nothing to show."""


@dataclass(frozen=True)
class Line:
    """What is drawn as lines, one for each series."""

    expression: str
    legend: str
    dashed: bool = False


@dataclass(frozen=True)
class Scale:
    """How values are read: their unit, the least and the greatest, from which value on a colour holds, and words."""

    unit: str
    least: float | None = None
    greatest: float | None = None
    steps: Sequence[tuple[float | None, str]] = ((None, NEUTRAL),)
    words: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    """What a value means, and its colour."""


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


def word(about: About, expression: str, legend: str, scale: Scale) -> PanelBuilder:
    """Write what the series are called, coloured by their value of now."""
    panel = stat.Panel()
    describe(panel, about)
    _read_as(panel, scale)
    panel.with_target(_named(expression, legend))
    panel.reduce_options(_last())
    panel.text_mode(common_models.BigValueTextMode("name"))
    panel.graph_mode(common_models.BigValueGraphMode("none"))
    panel.color_mode(common_models.BigValueColorMode("value"))
    return panel


def bars(about: About, expression: str, legend: str, scale: Scale) -> PanelBuilder:
    """Draw the value that each series has now as a bar."""
    panel = bargauge.Panel()
    describe(panel, about)
    _read_as(panel, scale)
    panel.with_target(_named(expression, legend))
    panel.reduce_options(_last())
    panel.orientation(common_models.VizOrientation("horizontal"))
    panel.display_mode(common_models.BarGaugeDisplayMode("basic"))
    panel.show_unfilled(True)
    return panel


def states(about: About, expression: str, legend: str, scale: Scale) -> PanelBuilder:
    """Draw what state each series was in over time."""
    panel = statetimeline.Panel()
    describe(panel, about)
    _read_as(panel, scale)
    panel.show_value(common_models.VisibilityMode("never"))
    panel.row_height(0.8)
    panel.merge_values(True)
    panel.with_target(over_time(expression, legend))
    return panel


def lines(about: About, expression: str, legend: str, scale: Scale, *more: Line) -> PanelBuilder:
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
    for ref_id, line in zip(_REF_IDS, (Line(expression, legend), *more), strict=False):
        panel.with_target(over_time(line.expression, line.legend, ref_id))
        if line.dashed:
            panel.override_by_query(ref_id, [models.DynamicConfigValue("custom.lineStyle", _DASHES)])
    return panel


_REF_IDS = "ABCDEFGH"
_DASHES = {"fill": "dash", "dash": [10, 10]}


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

    def no_value(self, no_value: str) -> object:
        """Set what is shown where there is nothing."""


def describe(panel: Describable, about: About) -> None:
    """Set what every panel has."""
    panel.title(about.title)
    panel.description(about.description)
    panel.datasource(DATA_SOURCE)
    panel.span(about.width)
    panel.height(about.height)
    if about.empty:
        panel.no_value(about.empty)


def now(expression: str, ref_id: str = "A") -> prometheus.Dataquery:
    """Ask for the values of now: a series that has ended does not linger as its last value."""
    target = _target(expression, ref_id)
    target.instant()
    return target


def _named(expression: str, legend: str) -> prometheus.Dataquery:
    """Ask for the values of now, each under a name made of its labels."""
    target = now(expression)
    target.legend_format(legend)
    return target


def rows_of_now(expression: str, ref_id: str) -> prometheus.Dataquery:
    """Ask for the values of now, as rows of a table with a column for each label."""
    target = now(expression, ref_id)
    target.format(PromQueryFormat("table"))
    return target


def over_time(expression: str, legend: str, ref_id: str = "A") -> prometheus.Dataquery:
    """Ask for the values over the time range."""
    target = _target(expression, ref_id)
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
    def mappings(self, mappings: list[models.ValueMapping]) -> object: ...


def _read_as(panel: _Readable, scale: Scale) -> None:
    panel.unit(scale.unit)
    if scale.words:
        panel.mappings([in_words(scale.words)])
    if scale.least is not None:
        panel.min(scale.least)
    if scale.greatest is not None:
        panel.max(scale.greatest)
    steps = [models.Threshold(value=value, color=colour) for value, colour in scale.steps]
    thresholds = dashboard.ThresholdsConfig()
    thresholds.mode(models.ThresholdsMode("absolute"))
    thresholds.steps(steps)
    panel.thresholds(thresholds)


def in_words(words: Mapping[int, tuple[str, str]]) -> models.ValueMap:
    """Give what is shown in place of values: a word, in a colour."""
    return models.ValueMap(
        {
            str(value): models.ValueMappingResult(text, colour, index=position)
            for position, (value, (text, colour)) in enumerate(words.items())
        }
    )


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
