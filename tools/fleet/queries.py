"""The queries of a dashboard when it is opened with all machines chosen."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{(\w+)(?::\w+)?\})")
_LABEL_VALUES = re.compile(r"label_values\((?:(?P<selector>.+),\s*)?(?P<label>\w+)\)")
_RELATIVE = re.compile(r"now-(\d+)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MOST_POINTS = 1000
"""Number of points that Grafana requests for a panel."""
_STEP = 15.0
"""Grafana's minimum step for the default data source, in seconds."""


@dataclass(frozen=True, slots=True)
class Query:
    """A request to Prometheus' API."""

    title: str
    path: str
    """Path with parameters."""
    expression: str
    """What is evaluated or, for the values of a variable, the template query."""


def shown_seconds(dashboard: dict[str, Any]) -> int:
    """Return the default time range of the dashboard, in seconds."""
    match = _RELATIVE.fullmatch(dashboard["time"]["from"])
    assert match, dashboard["time"]
    return int(match[1]) * _SECONDS[match[2]]


def queries(file: Path, now: float, machine: str, seconds: int | None = None) -> Iterator[Query]:
    """Return the queries of a dashboard: for the values of its variables, and for its panels.

    Args:
        file: the JSON of the dashboard.
        now: Unix time of the end of the range.
        machine: the machine for a dashboard of one machine.
        seconds: length of the range; by default that of the dashboard.
    """
    dashboard = json.loads(file.read_text(encoding="utf-8"))
    seconds = seconds or shown_seconds(dashboard)
    choices = _built_in(seconds, _step(seconds, _MOST_POINTS))
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield _values(variable["name"], _filled_in(variable["query"]["query"], choices), now - seconds, now)
            choices[variable["name"]] = (variable.get("allValue") or ".*") if variable["includeAll"] else machine
        else:
            choices[variable["name"]] = str(variable["current"]["value"])
    for panel in _panels(dashboard):
        for target in panel.get("targets", ()):
            title = f"{panel['title']} {target['refId']}"
            expression = _filled_in(target["expr"], choices)
            if target.get("instant"):
                yield Query(title, f"query?{urlencode({'query': expression, 'time': now})}", expression)
            else:
                step = _step(seconds, panel.get("maxDataPoints") or _MOST_POINTS)
                parameters = {"query": expression, "start": now - seconds, "end": now, "step": step}
                yield Query(title, f"query_range?{urlencode(parameters)}", expression)


def _step(seconds: int, points: int) -> float:
    return max(_STEP, seconds / points)


def _panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", ())


def _built_in(seconds: int, step: float) -> dict[str, str]:
    rate = max(step + _STEP, 4 * _STEP)
    lengths = {"__interval": step, "__rate_interval": rate, "__range": seconds}
    return {
        **{name: f"{length:.0f}s" for name, length in lengths.items()},
        **{f"{name}_ms": f"{1000 * length:.0f}" for name, length in lengths.items()},
        **{f"{name}_s": f"{length:.0f}" for name, length in lengths.items()},
    }


def _filled_in(expression: str, choices: dict[str, str]) -> str:
    return _VARIABLE.sub(lambda match: choices[match[1] or match[2]], expression)


def _values(name: str, query: str, start: float, end: float) -> Query:
    match = _LABEL_VALUES.fullmatch(query)
    assert match, f"a template query of a kind that is not known here: {query}"
    parameters = {"start": start, "end": end, **({"match[]": match["selector"]} if match["selector"] else {})}
    return Query(f"values of ${name}", f"label/{quote(match['label'])}/values?{urlencode(parameters)}", query)
