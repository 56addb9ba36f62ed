"""Reads the metrics of a running Prometheus, and measures the duration of its queries."""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil
from prometheus_client.parser import text_string_to_metric_families

from genvd.config.values import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.support.engine import Engine
    from tests.support.prometheus import Prometheus
    from tools.fleet.queries import Query

_SLOWEST = 5
"""Number of rules to list."""
_ROUNDS = 5
"""Number of times that each query runs; the median counts."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The resources that Prometheus needs for the fleet."""

    up: int
    scrapes: int
    failed_scrapes: int
    slowest_scrape: float
    """Seconds."""
    series: int
    samples_per_second: float
    resident_bytes: int
    heap_bytes: int
    cpu_seconds_per_second: float
    groups: dict[str, float]
    """Duration of the last evaluation of each group of rules, in seconds."""
    slowest_rules: list[tuple[str, float, int]]
    """Name, duration of the last evaluation in seconds, and number of alerts; the slowest first."""
    missed_evaluations: int
    data_bytes: int


@dataclass(frozen=True, slots=True)
class Timing:
    """The duration of a query."""

    query: Query
    seconds: float
    """Median."""
    fastest: float
    """Seconds."""
    bytes: int
    empty: bool


def figures(running: Prometheus, since: float) -> Figures:
    """Return the figures of a running Prometheus.

    Args:
        running: the Prometheus.
        since: Unix time at which all machines had been scraped once.
    """
    own = own_metrics(running)
    window = f"[{max(1, round(time.time() - since))}s]"

    def value(expression: str) -> float:
        return next(iter(running.query(expression).values()), 0.0)

    process = psutil.Process(running.process.pid)
    groups = json.loads(get(running, "rules")[1])["data"]["groups"]
    return Figures(
        up=round(value("sum(up)")),
        scrapes=round(value(f"sum(count_over_time(up{window}))")),
        failed_scrapes=round(value(f"sum(count_over_time(up{window})) - sum(sum_over_time(up{window}))")),
        slowest_scrape=value(f"max(max_over_time(scrape_duration_seconds{window}))"),
        series=round(own["prometheus_tsdb_head_series"]),
        samples_per_second=value("sum(scrape_samples_scraped)") / _interval(running),
        resident_bytes=process.memory_info().rss,
        heap_bytes=round(own["go_memstats_heap_inuse_bytes"]),
        cpu_seconds_per_second=sum(process.cpu_times()[:2]) / (time.time() - process.create_time()),
        groups={group["name"]: group["evaluationTime"] for group in groups},
        slowest_rules=sorted(
            (
                (rule["name"], rule["evaluationTime"], len(rule.get("alerts", ())))
                for group in groups
                for rule in group["rules"]
            ),
            key=lambda rule: -rule[1],
        )[:_SLOWEST],
        missed_evaluations=round(own.get("prometheus_rule_group_iterations_missed_total", 0)),
        data_bytes=sum(path.stat().st_size for path in running.data.rglob("*") if path.is_file()),
    )


def timings(running: Engine, queries: Iterable[Query]) -> list[Timing]:
    """Run the queries, and return their durations, the slowest first.

    All queries run once, and then all again, so that a short load of the machine does not affect every run of one.
    """
    asked = list(queries)
    rounds = [[get(running, query.path) for query in asked] for _ in range(_ROUNDS)]
    found = (_timing(query, answers) for query, answers in zip(asked, zip(*rounds, strict=True), strict=True))
    return sorted(found, key=lambda timing: -timing.seconds)


def _timing(query: Query, answers: Sequence[tuple[float, bytes]]) -> Timing:
    took, body = [seconds for seconds, _ in answers], answers[-1][1]
    answer = json.loads(body)
    assert answer["status"] == "success", f"{answer['error']}: {query}"
    return Timing(query, statistics.median(took), min(took), len(body), not _series(answer["data"]))


def _series(data: Any) -> Any:
    """Return the series of a response; the response with label values is a list itself."""
    return data["result"] if isinstance(data, dict) else data


def get(running: Engine, path: str) -> tuple[float, bytes]:
    """Return the duration of an API request in seconds, and the response."""
    started = time.monotonic()
    _, body = running.get(f"/api/v1/{path}")
    return time.monotonic() - started, body


def own_metrics(running: Engine) -> dict[str, float]:
    """Return the metrics of the server itself, each summed over its series."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(running.get("/metrics")[1].decode()):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def _interval(running: Prometheus) -> float:
    return parse_duration(running.targets()[0]["scrapeInterval"])
