"""Asks two engines the same, and compares what they answer."""

from __future__ import annotations

import json
import math
import re
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from tools.engines.known import reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.support.engine import Engine
    from tests.support.monitor import Labels
    from tools.fleet.queries import Query

    Answer = Mapping[Labels, Mapping[float, float]]
    """Values by time, of each series."""

ROUNDING = 1e-6
"""Relative difference that is rounding. VictoriaMetrics keeps 12 to 15 digits, which is 1 µs of a Unix time."""
_SMALL = 1e-5
EXTRAPOLATION = 0.25
"""Share of the greatest value of an answer by which rate() and increase() may differ: the engines treat the edges of
their window differently, which is two scrapes of twelve in a window of one minute, and more where a counter jumps."""
MOST = 0.9
"""Share of the values to which that applies. VictoriaMetrics divides the increase of a counter that is younger than the
window by its age, Prometheus by the window."""
_VALUES = re.compile(r"label/\w+/values\b")
"""The path of a query for the values of a variable."""
_PAUSE, _MOST_SECONDS = 0.5, 20.0
_COUNTERS = re.compile(r"\b(rate|increase)\(|:(rate5m|increase1h)\b")


class Verdict(Enum):
    """How two answers compare."""

    SAME = "the same"
    TIES = "the same, with another choice of topk() between equal values"
    COUNTERS = "the same within 25 % nine times of ten: rate() and increase() treat the edges of windows differently"
    KNOWN = "different, for a known reason"
    DIFFERENT = "different"


@dataclass(frozen=True)
class Comparison:
    """The answers of two engines to a query."""

    query: Query
    verdict: Verdict
    series: int
    """Of the first engine."""
    greatest: float
    """The greatest difference of two values, as a share of the greatest value of the answer."""
    example: str
    """What differs first, for people."""


def compared(first: Engine, second: Engine, queries: Iterable[Query], ignored: str = "") -> list[Comparison]:
    """Ask both engines each query, and compare the answers.

    Args:
        first: the engine to compare with.
        second: the other one.
        queries: what to ask.
        ignored: a label that may be there or not.
    """
    return [_compared(first, second, query, ignored) for query in queries]


def _compared(first: Engine, second: Engine, query: Query, ignored: str) -> Comparison:
    """Compare the answers to a query. Values of a variable are compared again for a while if they differ.

    Neither engine limits these values exactly to the range that is asked for: a process that has just begun is among
    those of one engine before it is among those of the other.
    """

    def ask() -> Comparison:
        return compare(query, answer(first, query, ignored), answer(second, query, ignored))

    found, end = ask(), time.monotonic() + _MOST_SECONDS
    while found.verdict is Verdict.DIFFERENT and _VALUES.match(query.path) and time.monotonic() < end:
        time.sleep(_PAUSE)
        found = ask()
    return found


def counts(query: Query) -> bool:
    """Return whether a query reads the increase of counters."""
    return bool(_COUNTERS.search(query.expression))


def answer(engine: Engine, query: Query, ignored: str = "") -> Answer:
    """Return the answer of an engine; see :func:`series`.

    Args:
        engine: which to ask.
        query: what to ask.
        ignored: a label that is left out.

    Raises:
        AssertionError: the engine refuses the query.
    """
    found = json.loads(engine.get(f"/api/v1/{query.path}")[1])
    assert found["status"] == "success", f"{type(engine).__name__}: {found['error']}: {query.expression}"
    return series(found["data"], ignored)


def series(data: Any, ignored: str = "") -> Answer:
    """Return the series in the data of a reply; the values of a variable are series without a value.

    A label that is empty is the same as none. VictoriaMetrics writes those that group_left() did not find.
    """
    if isinstance(data, list):
        return {frozenset({("value", one)}): {} for one in data}
    if data["resultType"] == "scalar":
        return {frozenset(): {data["result"][0]: float(data["result"][1])}}
    return {
        frozenset((name, text) for name, text in one["metric"].items() if text and name != ignored): {
            float(moment): float(value) for moment, value in one.get("values") or [one["value"]]
        }
        for one in data["result"]
    }


def compare(query: Query, first: Answer, second: Answer) -> Comparison:
    """Compare two answers to a query."""
    both = first.keys() & second.keys()
    greatest = max((gap for labels in both for gap in _gaps(first, second, labels)), default=0.0)
    example = _example(first, second)
    if not example:
        verdict = Verdict.SAME
    elif "topk(" in query.expression and _by_value(first) == _by_value(second):
        verdict = Verdict.TIES
    elif counts(query) and _within(first, _without_lone_zeros(second, first)):
        verdict = Verdict.COUNTERS
    else:
        verdict = Verdict.KNOWN if reason(query.expression) else Verdict.DIFFERENT
        example = _worst(first, _without_lone_zeros(second, first)) if counts(query) else example
    return Comparison(query, verdict, len(first), greatest, example)


def _without_lone_zeros(one: Answer, other: Answer) -> Answer:
    """Leave out zeros where the other has nothing.

    Of a counter with one sample in the window, VictoriaMetrics says that it did not increase, Prometheus nothing.
    """
    left = {
        labels: {moment: value for moment, value in values.items() if value or moment in other.get(labels, ())}
        for labels, values in one.items()
    }
    return {labels: values for labels, values in left.items() if values}


def _within(first: Answer, second: Answer) -> bool:
    if _moments(first) != _moments(second):
        return False
    gaps = [gap for labels in first for gap in _gaps(first, second, labels)]
    return sum(gap <= EXTRAPOLATION for gap in gaps) >= MOST * len(gaps)


def _moments(one: Answer) -> dict[Labels, set[float]]:
    return {labels: set(values) for labels, values in one.items()}


def _example(first: Answer, second: Answer) -> str:
    for labels in sorted(first.keys() | second.keys(), key=sorted):
        if labels not in first or labels not in second:
            return _lone(first, labels)
        one, other = first[labels], second[labels]
        for moment in sorted(one.keys() | other.keys()):
            if not equal(one.get(moment), other.get(moment)):
                return f"{one.get(moment)} and {other.get(moment)} of {dict(labels)} at {moment:.0f}"
    return ""


def _lone(first: Answer, labels: Labels) -> str:
    return f"only the {'first' if labels in first else 'second'} has {dict(labels)}"


def _worst(first: Answer, second: Answer) -> str:
    """Return what only one of them has, else the two values that differ most, and how many are too far apart."""
    if lone := first.keys() ^ second.keys():
        return _lone(first, min(lone, key=sorted))
    too_far = EXTRAPOLATION * _greatest(first)
    gaps: list[tuple[float, str]] = []
    for labels in sorted(first, key=sorted):
        one, other = first[labels], second[labels]
        for moment in sorted(one.keys() | other.keys()):
            text = f"{one.get(moment)} and {other.get(moment)} of {dict(labels)} at {moment:.0f}"
            if moment not in one or moment not in other:
                return text
            gaps.append((abs(one[moment] - other[moment]), text))
    return f"{max(gaps)[1]}; too far apart are {sum(gap > too_far for gap, _ in gaps)} of {len(gaps)}"


def equal(one: float | None, other: float | None) -> bool:
    """Return whether two values are the same but for rounding."""
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=ROUNDING, abs_tol=_SMALL) or (math.isnan(one) and math.isnan(other))


def _gaps(first: Answer, second: Answer, labels: Labels) -> list[float]:
    """Return the differences of the values of a series, as shares of the greatest value of the answer."""
    largest, one, other = _greatest(first) or 1.0, first[labels], second[labels]
    return [abs(one[moment] - other[moment]) / largest for moment in one.keys() & other.keys()]


def _greatest(one: Answer) -> float:
    return max((abs(value) for values in one.values() for value in values.values()), default=0.0)


def _by_value(one: Answer) -> dict[float, list[str]]:
    """Return the values at each moment, whichever series have them."""
    found: dict[float, list[str]] = {}
    for values in one.values():
        for moment, value in values.items():
            found.setdefault(moment, []).append(f"{value:.6g}")
    return {moment: sorted(values) for moment, values in found.items()}
