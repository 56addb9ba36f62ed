"""``python -m tools.engines [--machines 20]``: exit status 1 if the engines differ where they should not."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.needs import said_by
from tests.support.waiting import PATIENCE, wait_for
from tools.engines import cost, evaluated
from tools.engines.answers import Verdict, compared, counts
from tools.engines.federation import SITE, federation
from tools.engines.known import reason
from tools.engines.stage import Stage, stage
from tools.fleet.queries import queries

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.support.prometheus import Prometheus
    from tests.support.victoriametrics import VictoriaMetrics
    from tools.engines.answers import Comparison
    from tools.fleet.queries import Query

STEP = 15
"""Seconds; the least step of range queries. VictoriaMetrics wants times that are multiples of it."""
HIDDEN = 30
"""Seconds; what is younger VictoriaMetrics does not show yet (-search.latencyOffset)."""
LONGEST = 300
"""Seconds of the window of the rates in the rules."""
STILL = 150
"""Seconds that the machines stand still before the federated series are compared."""
LATEST = 120
"""Seconds in which they must have been the same once: some alerts still begin or end, first at the sites."""
_COMPLETE = ("timestamp(up)", "group by (name) (name:genv_device_utilization:avg)")
"""What is the same when all is written, and vmalert has recorded all of it."""
_MOST_LINES = 10
SHOWN = 60
"""Seconds of them that are compared."""


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison and print it; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.engines", description=__doc__)
    parser.add_argument("--machines", type=int, default=20, help="with eight GPUs each, next to one real monitor")
    parser.add_argument("--interval", type=int, default=5, help="seconds between scrapes and between evaluations")
    parser.add_argument("--seconds", type=int, default=600, help="time to scrape before comparing")
    parser.add_argument(
        "--no-counters", action="store_true", help=f"leave out rates and increases, which need {LONGEST} s of data"
    )
    parser.add_argument("--no-federation", action="store_true", help="leave out the Prometheus that federates")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that the servers are stopped too
    with said_by("make engines"):
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="genv-monitor-engines-")))
        running = stack.enter_context(stage(directory, options.machines, options.interval))
        central = None if options.no_federation else stack.enter_context(federation(running))
        _say(f"{options.machines + 1} machines with 8 GPUs, scraped and evaluated every {options.interval} s")
        wait_for(lambda: evaluated.by_vmalert(running), "vmalert has evaluated each rule", 2 * PATIENCE)
        time.sleep(options.seconds)
        now = _up_to_date(running)
        kept = options.seconds if options.no_counters else max(STEP, options.seconds - LONGEST)
        good = _engines(running, now, kept // STEP * STEP, counters=not options.no_counters)
        if central:
            good &= _federated(running, central)
    return int(not good)


def _say(text: str) -> None:
    print(text, flush=True)


def _up_to_date(running: Stage) -> float:
    """Return a moment at which VictoriaMetrics has all that Prometheus has, once vmalert has recorded all of it."""

    def complete() -> float | None:
        now = (time.time() - HIDDEN) // STEP * STEP
        return (
            now
            if all(_has_all(running, database, now) for database in (running.all_written, running.scraped_only))
            else None
        )

    return wait_for(complete, "all is written and recorded", 2 * PATIENCE)


def _has_all(running: Stage, database: VictoriaMetrics, now: float) -> bool:
    database.flush()
    for expression in _COMPLETE:
        expected = running.prometheus.query(expression, now)
        if not expected or database.query(expression, now) != expected:
            return False
    return True


def _engines(running: Stage, now: float, seconds: int, *, counters: bool) -> bool:
    """Compare VictoriaMetrics with Prometheus, and print it; return whether they are the same."""

    def wanted(some: Iterable[Query]) -> list[Query]:
        return [query for query in some if counters or not counts(query)]

    good, asked = True, []
    for file in running.dashboards:
        some = wanted(queries(file, now, running.machine, seconds))
        asked += some
        good &= _show(f"dashboard {file.stem}", compared(running.prometheus, running.all_written, some))
    rules = wanted(evaluated.expressions(now, seconds, STEP))
    good &= _show("expressions of rules", compared(running.prometheus, running.all_written, rules))
    good &= _vmalert(running, now, counters=counters)
    _costs(running, now, asked)
    return good


def _show(name: str, found: Sequence[Comparison]) -> bool:
    """Print how answers compare; return whether none is different."""
    empty = sum(not one.series for one in found)
    _say(f"{name}: {len(found)} queries" + (f", {empty} without data on both" if empty else ""))
    for verdict, number in Counter(one.verdict for one in found).items():
        _say(f"  {number:4} {verdict.value}")
    for one in found:
        if one.verdict in (Verdict.DIFFERENT, Verdict.KNOWN):
            _say(f"  {one.verdict.name}: {one.query.title}: {one.example}")
            _say(f"    {reason(one.query.expression) or one.query.expression}")
    worst = max((one.greatest for one in found if one.verdict is Verdict.COUNTERS), default=0.0)
    if worst:
        _say(f"  greatest difference of rates and increases: {100 * worst:.1f} % of the greatest value")
    return all(one.verdict is not Verdict.DIFFERENT for one in found)


def _vmalert(running: Stage, now: float, *, counters: bool) -> bool:
    failed = evaluated.failures(running)
    recorded = evaluated.recorded(running, now, counters=counters)
    alerts = evaluated.alerts(running, now)
    number, texts = evaluated.alert_texts(running)
    other = [f"{name}: {text}" for name, some in recorded.items() for text in some]
    _say(
        f"vmalert: {len(running.vmalert.rules())} rules, {len(failed)} failed;"
        f" series of {len(recorded)} recording rules, {len(other)} different;"
        f" {len(alerts)} alerts different; texts of {number} alerts, {len(texts)} different"
    )
    problems = failed + other + alerts + texts
    for line in problems[:_MOST_LINES]:
        _say(f"  DIFFERENT: {line}")
    return not problems


def _costs(running: Stage, now: float, asked: Sequence[Query]) -> None:
    for need in cost.needs(running):
        _say(f"{need.name}: {need.cores:.3f} cores, {need.resident / cost.MIB:.0f} MiB resident")
    stored = {
        "Prometheus": cost.of_prometheus(running.prometheus, now, asked),
        "VictoriaMetrics": cost.of_victoriametrics(running.all_written, running.vmalert, now, asked),
    }
    for name, one in stored.items():
        _say(
            f"{name}: {one.series} series, {one.samples} samples, {one.series / running.interval:.0f} a second;"
            f" {one.disk / cost.MIB:.1f} MiB on disk, {one.disk / one.samples:.2f} bytes a sample"
        )
        _say(f"  slowest query {one.slowest_query[0]:.3f} s: {one.slowest_query[1]}")
        _say(f"  slowest rule  {one.slowest_rule[0]:.3f} s: {one.slowest_rule[1]}")


def _federated(running: Stage, central: Prometheus) -> bool:
    """Let the machines stand still and one be down, and compare the fleet dashboard; return whether it is the same."""
    running.monitor.stop()
    running.loop.__exit__()
    time.sleep(STILL)
    (fleet,) = [file for file in running.dashboards if file.stem == "fleet"]
    _say(f"central Prometheus: {cost.series(central, time.time())} series of {running.machines + 1} machines")

    found: list[Comparison] = []

    def same() -> bool:
        now = time.time() // STEP * STEP
        found[:] = compared(running.prometheus, central, queries(fleet, now, running.machine, SHOWN), SITE)
        return all(one.verdict is not Verdict.DIFFERENT for one in found)

    with suppress(AssertionError):
        wait_for(same, "the central Prometheus has the same", LATEST)
    return _show("dashboard fleet, federated", found)


if __name__ == "__main__":
    sys.exit(main())
