"""Compares what Prometheus and vmalert make of the published rules."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tests.support import rules
from tests.support.waiting import wait_for
from tools.engines.answers import EXTRAPOLATION, answer, counts
from tools.engines.known import reason
from tools.fleet.queries import Query

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.monitor import Labels
    from tools.engines.answers import Answer
    from tools.engines.stage import Stage

    _Texts = dict[Labels, set[str]]
    """The texts that each alert of an engine has had, by its labels."""

WINDOW = 120
"""Seconds in which the two, which evaluate at different moments, must have had the same once.

vmalert is told of the last 30 seconds only when they are over (-search.latencyOffset of VictoriaMetrics).
"""


def expressions(now: float, seconds: int, step: float) -> list[Query]:
    """Return the expression of each rule as a range query."""
    return [
        _over(rule["expr"], rule[kind], now, seconds, step)
        for kind in ("record", "alert")
        for rule in rules.rules(kind)
    ]


def _over(expression: str, title: str, now: float, seconds: float, step: float) -> Query:
    parameters = {"query": expression, "start": now - seconds, "end": now, "step": step}
    return Query(title, f"query_range?{urlencode(parameters)}", expression)


def by_vmalert(stage: Stage) -> bool:
    """Return whether vmalert has evaluated each rule at least once."""
    return not any(rule["lastEvaluation"].startswith("0001-") for rule in stage.vmalert.rules())


def failures(stage: Stage) -> list[str]:
    """Return the rules that vmalert lacks, and those that it could not evaluate."""
    expected = {rule.get("record") or rule["alert"] for rule in rules.always_published()}  # the stage notifies nobody
    loaded = {rule["name"]: rule for rule in stage.vmalert.rules()}
    failed = [f"{name}: {rule.get('lastError')}" for name, rule in loaded.items() if rule["health"] != "ok"]
    return failed + [f"{name}: not loaded" for name in sorted(expected - loaded.keys())]


def recorded(stage: Stage, now: float, *, counters: bool) -> dict[str, list[str]]:
    """Return the recorded series, by their rule, that vmalert has other than Prometheus.

    Args:
        stage: what runs.
        now: Unix time at which both were up to date.
        counters: whether to compare rates too, which need some minutes of data.
    """
    found = {}
    for rule in rules.rules("record"):
        query = _over(rule["record"], rule["record"], now, WINDOW, stage.interval)
        # The name of a recorded increase does not say of what.
        if (counts(query) and not counters) or reason(rule["expr"]):
            continue
        found[query.title] = list(_differences(stage, query, EXTRAPOLATION if counts(query) else 0.0))
    return found


def alerts(stage: Stage, now: float) -> list[str]:
    """Return the alerts that vmalert has other than Prometheus."""
    query = _over('ALERTS{alertname=~"Genv.*"}', "ALERTS", now, WINDOW, stage.interval)
    return list(_differences(stage, query, 0.0))


def _differences(stage: Stage, query: Query, tolerance: float) -> Iterator[str]:
    first, second = answer(stage.prometheus, query), answer(stage.scraped_only, query)
    largest = max((abs(value) for values in first.values() for value in values.values()), default=0.0)
    margin = tolerance * largest + 1e-6 * largest
    for labels in sorted(_steady(first, stage.interval) - second.keys(), key=sorted):
        yield f"only Prometheus has {dict(labels)}"
    for labels in sorted(_steady(second, stage.interval) - first.keys(), key=sorted):
        yield f"only vmalert has {dict(labels)}"
    for labels in first.keys() & second.keys():
        one, other = first[labels].values(), second[labels].values()
        if min(one) > max(other) + margin or min(other) > max(one) + margin:
            yield f"{min(one):g} to {max(one):g} and {min(other):g} to {max(other):g} of {dict(labels)}"


def _steady(one: Answer, interval: int) -> set[Labels]:
    """Return the series that were there all the time."""
    return {labels for labels, values in one.items() if len(values) > WINDOW // interval}


def alert_texts(stage: Stage) -> tuple[int, list[str]]:
    """Return the number of alerts that both have, and those whose texts stay different, but for the digits in them.

    The engines evaluate at different moments and the machines change meanwhile, so an alert has the same texts if both
    engines have had them within :data:`WINDOW`.

    Raises:
        AssertionError: there is none until then. They come and go, and the simulated machines always have some.
    """
    seen: tuple[_Texts, _Texts] = {}, {}

    def different() -> dict[Labels, str]:
        """Return what neither of the two has had of the other, of the alerts that both have had."""
        return {
            labels: f"{seen[0][labels]} and {seen[1][labels]}"
            for labels in seen[0].keys() & seen[1].keys()
            if not seen[0][labels] & seen[1][labels]
        }

    def settled() -> bool:
        for texts, engine in zip(seen, (stage.prometheus, stage.vmalert), strict=True):
            for one in engine.alerts():
                texts.setdefault(frozenset(one["labels"].items()), set()).add(_plain(one["annotations"]))
        return bool(seen[0].keys() & seen[1].keys()) and not different()

    with suppress(AssertionError):
        wait_for(settled, "the texts of the alerts that both have are the same", WINDOW)
    both = seen[0].keys() & seen[1].keys()
    assert both, "no alert that both have"
    return len(both), list(different().values())


def _plain(texts: dict[str, str]) -> str:
    """Leave out numbers and durations, which are those of different moments."""
    return re.sub(r"(\d+(\.\d+)?[dhmsk% ]*)+", "#", str(sorted(texts.items())))
