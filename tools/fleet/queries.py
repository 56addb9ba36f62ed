"""What a dashboard asks Prometheus when somebody opens it and chooses all machines."""

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
"""That Grafana asks for in a panel of some width."""
_STEP = 15.0
"""Seconds; Grafana's least step for the default data source."""


@dataclass(frozen=True, slots=True)
class Query:
    """One request to Prometheus' API."""

    title: str
    path: str
    """With its parameters."""


def shown_seconds(dashboard: dict[str, Any]) -> int:
    """Return the range that the dashboard shows when it is opened."""
    match = _RELATIVE.fullmatch(dashboard["time"]["from"])
    assert match, dashboard["time"]
    return int(match[1]) * _SECONDS[match[2]]


def queries(file: Path, now: float, machine: str) -> Iterator[Query]:
    """Return what a dashboard asks: for the values of its variables, and for each of its panels.

    Args:
        file: the dashboard.
        now: Unix time to which it shows everything.
        machine: the one to choose where only one can be.
    """
    dashboard = json.loads(file.read_text(encoding="utf-8"))
    seconds = shown_seconds(dashboard)
    step = max(_STEP, seconds / _MOST_POINTS)
    choices = _built_in(seconds, step)
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
                yield Query(title, f"query?{urlencode({'query': expression, 'time': now})}")
            else:
                parameters = {"query": expression, "start": now - seconds, "end": now, "step": step}
                yield Query(title, f"query_range?{urlencode(parameters)}")


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
    return Query(f"values of ${name}", f"label/{quote(match['label'])}/values?{urlencode(parameters)}")
