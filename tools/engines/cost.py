"""What the engines need for the same series."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.support.waiting import wait_for
from tools.fleet.measure import own_metrics, timings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.engine import Engine
    from tests.support.prometheus import Prometheus
    from tests.support.victoriametrics import VictoriaMetrics, Vmalert
    from tools.engines.stage import Stage
    from tools.fleet.queries import Query

MIB = 2**20
_SERIES = 'count({__name__!=""})'


@dataclass(frozen=True)
class Need:
    """What a program needs."""

    name: str
    cores: float
    """CPU seconds per second since its start."""
    resident: int
    """Bytes."""


@dataclass(frozen=True)
class Stored:
    """What an engine has stored, and how fast it answers."""

    series: int
    """At one moment."""
    samples: int
    disk: int
    """Bytes of the database and its index, compressed and merged as it does it itself later."""
    slowest_query: tuple[float, str]
    """Seconds, the median of five, and the title."""
    slowest_rule: tuple[float, str]
    """Seconds of the last evaluation, and the name."""


def needs(stage: Stage) -> list[Need]:
    """Return what each program needs."""
    running = {
        "Prometheus, scrapes and evaluates": stage.prometheus,
        "VictoriaMetrics, all written to it": stage.all_written,
        "VictoriaMetrics, asked by vmalert": stage.scraped_only,
        "vmalert": stage.vmalert,
    }
    return [_need(name, engine) for name, engine in running.items()]


def _need(name: str, engine: Engine) -> Need:
    process = psutil.Process(engine.process.pid)
    alive = time.time() - process.create_time()
    return Need(name, sum(process.cpu_times()[:2]) / alive, process.memory_info().rss)


def of_prometheus(engine: Prometheus, now: float, queries: Sequence[Query]) -> Stored:
    """Return what Prometheus has stored, as blocks without its write-ahead log."""
    slowest = _slowest_query(engine, queries)
    _, body = engine.get("/api/v1/admin/tsdb/snapshot", "POST")
    blocks = engine.data / "snapshots" / json.loads(body)["data"]["name"]
    stats = [json.loads(path.read_text(encoding="utf-8"))["stats"] for path in blocks.glob("*/meta.json")]
    samples = sum(one["numSamples"] for one in stats)
    return Stored(series(engine, now), samples, _size(blocks), slowest, _slowest_rule(engine))


def of_victoriametrics(engine: VictoriaMetrics, vmalert: Vmalert, now: float, queries: Sequence[Query]) -> Stored:
    """Return what VictoriaMetrics has stored, merged. Rules are those of a vmalert."""
    slowest = _slowest_query(engine, queries)
    engine.flush()
    engine.get("/internal/force_merge")
    wait_for(lambda: not own_metrics(engine).get("vm_active_force_merges"), "the merge is done")
    samples = round(own_metrics(engine)["vm_rows_inserted_total"])
    return Stored(series(engine, now), samples, _size(engine.data), slowest, _slowest_rule(vmalert))


def series(engine: Engine, now: float) -> int:
    """Return the number of series at a moment."""
    return round(next(iter(engine.query(_SERIES, now).values())))


def _slowest_query(engine: Engine, queries: Sequence[Query]) -> tuple[float, str]:
    slowest = timings(engine, queries)[0]
    return slowest.seconds, slowest.query.title


def _slowest_rule(engine: Engine) -> tuple[float, str]:
    return max((float(rule["evaluationTime"]), str(rule["name"])) for rule in engine.rules())


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
