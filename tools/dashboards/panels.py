"""The panel types: number, text, gauge, bars, lines, states over time."""

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
_POINTS_OF_A_TREND = 60
"""Few, as most of these queries join."""
_NOT_KNOWN = -1
"""In place of a number that the panel of a trend has none of."""


@dataclass(frozen=True)
class About:
    """Title, description and size of a panel, in the 24 columns of Grafana's grid."""

    title: str
    description: str
    width: int
    height: int
    empty: str = ""
    """Text for a panel without data."""
    only_since: str = ""
    """Time range of the panel, such as 24h, if it has its own."""


@dataclass(frozen=True)
class Line:
    """An expression drawn as lines, one for each series."""

    expression: str
    legend: str
    dashed: bool = False


@dataclass(frozen=True)
class Scale:
    """How values are shown: unit, range, colour thresholds, and words for values."""

    unit: str
    least: float | None = None
    greatest: float | None = None
    steps: Sequence[tuple[float | None, str]] = ((None, NEUTRAL),)
    words: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    """Text and colour for a value."""
    decimals: int | None = None
    """Number of decimals; None to let Grafana choose."""


def number(about: About, expression: str, scale: Scale) -> PanelBuilder:
    """Return a panel with the current value as a number."""
    panel = stat.Panel()
    describe(panel, about)
    _read_as(panel, scale)
    panel.with_target(now(expression))
    panel.reduce_options(_last())
    panel.graph_mode(common_models.BigValueGraphMode("none"))
    panel.color_mode(common_models.BigValueColorMode("value"))
    return panel


def trend(about: About, expression: str, scale: Scale) -> PanelBuilder:
    """Return a panel with the current value as a number, above its course in the time range.

    The last value of a range may be an old one. So where the expression, which is never negative, has no value there is
    -1, and the panel shows its text for no data if that is the last one. VictoriaMetrics has no NaN.
    """
    panel = stat.Panel()
    describe(panel, about)
    _read_as(panel, scale)
    panel.mappings([in_words({_NOT_KNOWN: (about.empty, "text")})])
    panel.min(0)
    panel.with_target(over_time(f"({expression}) or vector({_NOT_KNOWN})", ""))
    panel.max_data_points(_POINTS_OF_A_TREND)
    panel.reduce_options(_last("last"))
    panel.graph_mode(common_models.BigValueGraphMode("area"))
    panel.color_mode(common_models.BigValueColorMode("value"))
    return panel


def dial(about: About, expression: str, scale: Scale) -> PanelBuilder:
    """Return a panel with the current value as a gauge."""
    panel = gauge.Panel()
    describe(panel, about)
    _read_as(panel, scale)
    panel.with_target(now(expression))
    panel.reduce_options(_last())
    panel.show_threshold_markers(True)
    return panel


def word(about: About, expression: str, legend: str, scale: Scale) -> PanelBuilder:
    """Return a panel with the names of the series, coloured by their current values."""
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
    """Return a panel with the current value of each series as a bar."""
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
    """Return a panel with the state of each series over time."""
    panel = statetimeline.Panel()
    describe(panel, about)
    _read_as(panel, scale)
    panel.show_value(common_models.VisibilityMode("never"))
    panel.row_height(0.8)
    panel.merge_values(True)
    panel.with_target(over_time(expression, legend))
    return panel


def lines(about: About, expression: str, legend: str, scale: Scale, *more: Line) -> PanelBuilder:
    """Return a panel with a line for each series, and a legend; thresholds are dashed lines."""
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
    """The methods of all panel builders that `describe` needs."""

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
        """Set the text for no data."""

    def time_from(self, time_from: str) -> object:
        """Set a time range of its own."""


def describe(panel: Describable, about: About) -> None:
    """Set title, description, data source and size of a panel."""
    panel.title(about.title)
    panel.description(about.description)
    panel.datasource(DATA_SOURCE)
    panel.span(about.width)
    panel.height(about.height)
    if about.empty:
        panel.no_value(about.empty)
    if about.only_since:
        panel.time_from(about.only_since)


def now(expression: str, ref_id: str = "A") -> prometheus.Dataquery:
    """Return an instant query. A series that has ended gives no value."""
    target = _target(expression, ref_id)
    target.instant()
    return target


def _named(expression: str, legend: str) -> prometheus.Dataquery:
    """Return an instant query with a legend format."""
    target = now(expression)
    target.legend_format(legend)
    return target


def rows_of_now(expression: str, ref_id: str) -> prometheus.Dataquery:
    """Return an instant query in table format, with a column for each label."""
    target = now(expression, ref_id)
    target.format(PromQueryFormat("table"))
    return target


def over_time(expression: str, legend: str, ref_id: str = "A") -> prometheus.Dataquery:
    """Return a range query."""
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
    def decimals(self, decimals: float) -> object: ...
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
    if scale.decimals is not None:
        panel.decimals(scale.decimals)
    steps = [models.Threshold(value=value, color=colour) for value, colour in scale.steps]
    thresholds = dashboard.ThresholdsConfig()
    thresholds.mode(models.ThresholdsMode("absolute"))
    thresholds.steps(steps)
    panel.thresholds(thresholds)


def in_words(words: Mapping[int, tuple[str, str]]) -> models.ValueMap:
    """Return a value mapping of texts and colours."""
    return models.ValueMap(
        {
            str(value): models.ValueMappingResult(text, colour, index=position)
            for position, (value, (text, colour)) in enumerate(words.items())
        }
    )


def _last(calculation: str = "lastNotNull") -> common.ReduceDataOptions:
    options = common.ReduceDataOptions()
    options.calcs([calculation])
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
