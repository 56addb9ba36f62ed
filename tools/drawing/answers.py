"""The queries of a dashboard and their answers, as Grafana asks them when the dashboard is opened."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode
from urllib.request import urlopen

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]

_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{(\w+)(?::\w+)?\})")
_LABEL_VALUES = re.compile(r"label_values\((?:(?P<selector>.+),\s*)?(?P<label>\w+)\)")
_POINTS = 240


@dataclass(frozen=True, slots=True)
class Series:
    """A series of an answer."""

    labels: Mapping[str, str]
    points: list[tuple[float, float]]
    """Times and values; a single one for an instant query."""
    name: str
    """As the legend format says."""
    ref_id: str
    """Letter of the query."""


class Answers:
    """A Prometheus, asked for a time range that ends now."""

    def __init__(self, url: str, seconds: float) -> None:
        """Ask the Prometheus at this URL about the last seconds."""
        self._url = url
        self.end = time.time()
        self.start = self.end - seconds
        self._step = max(1.0, seconds / _POINTS)
        self.choices = {"__range": f"{seconds:.0f}s", "__rate_interval": f"{max(60.0, 4 * self._step):.0f}s"}

    def choose_all(self, dashboard: Json) -> None:
        """Choose all values of each variable, or the first where only one can be chosen."""
        for variable in dashboard["templating"]["list"]:
            if variable["type"] != "query":
                self.choices[variable["name"]] = str(variable["current"]["value"])
                continue
            values = self._label_values(self._filled_in(variable["query"]["query"]))
            several = "|".join(map(re.escape, values)).replace("\\", "\\\\")
            self.choices[variable["name"]] = variable.get("allValue") or (
                f"({several})" if variable["includeAll"] else values[0]
            )

    def of_panel(self, panel: Json) -> list[Series]:
        """Return the answers to all queries of a panel."""
        own_range = {"__range": panel["timeFrom"]} if panel.get("timeFrom") else {}
        points = panel.get("maxDataPoints") or _POINTS
        return [series for target in panel.get("targets", ()) for series in self._ask(target, own_range, points)]

    def _ask(self, target: Json, own_range: Mapping[str, str], points: int) -> list[Series]:
        expression = self._filled_in(target["expr"], own_range)
        if target.get("instant"):
            data = self._get("query", query=expression, time=self.end)
        else:
            step = max(self._step, (self.end - self.start) / points)
            data = self._get("query_range", query=expression, start=self.start, end=self.end, step=step)
        return [
            Series(
                one["metric"],
                [(float(moment), float(value)) for moment, value in one.get("values") or [one["value"]]],
                _named(target.get("legendFormat", ""), one["metric"]),
                target["refId"],
            )
            for one in data["result"]
        ]

    def marks(self, annotation: Mapping[str, Any]) -> list[float]:
        """Return the times of the marks of an annotation."""
        data = self._get(
            "query_range", query=self._filled_in(annotation["expr"]), start=self.start, end=self.end, step=self._step
        )
        if annotation.get("useValueForTime"):
            return sorted({float(value) / 1000 for one in data["result"] for _, value in one["values"]})
        return sorted({float(one["values"][0][0]) for one in data["result"]})

    def _label_values(self, query: str) -> list[str]:
        match = _LABEL_VALUES.fullmatch(query)
        assert match, query
        selected = {"match[]": match["selector"]} if match["selector"] else {}
        values: list[str] = self._get(f"label/{quote(match['label'])}/values", **selected)
        return values

    def _filled_in(self, expression: str, own: Mapping[str, str] | None = None) -> str:
        values = self.choices | dict(own or {})
        return _VARIABLE.sub(lambda match: values[match[1] or match[2]], expression)

    def _get(self, path: str, **parameters: object) -> Any:
        with urlopen(f"{self._url}/api/v1/{path}?{urlencode(parameters)}") as response:  # a Prometheus of our own
            return json.load(response)["data"]


def _named(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), legend)
