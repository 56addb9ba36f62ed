"""How the answers of two engines are compared, and what is federated."""

from __future__ import annotations

import json
import math
import re

import pytest

from tests.support import rules
from tools.engines.answers import Comparison, Verdict, compare, series
from tools.engines.federation import MATCH
from tools.fleet.queries import Query

FLEET = rules.DIRECTORY.parents[1] / "grafana/dashboards/fleet.json"
Series = dict[str, dict[float, float]]


def comparison(expression: str, first: Series, second: Series) -> Comparison:
    one, other = (
        {frozenset({("index", index)}): values for index, values in series.items()} for series in (first, second)
    )
    return compare(Query("", "", expression), one, other)


def verdict(expression: str, first: Series, second: Series) -> Verdict:
    return comparison(expression, first, second).verdict


@pytest.mark.parametrize(
    ("expression", "first", "second", "expected"),
    [
        pytest.param("x", {"0": {1: 2}}, {"0": {1: 2.0000001}}, Verdict.SAME, id="rounding"),
        pytest.param("x", {"0": {1: math.nan}}, {"0": {1: math.nan}}, Verdict.SAME, id="nan"),
        pytest.param("x", {"0": {1: 2}}, {"0": {1: 2.1}}, Verdict.DIFFERENT, id="another value"),
        pytest.param("x", {"0": {1: 2}}, {}, Verdict.DIFFERENT, id="a series is missing"),
        pytest.param("x", {"0": {1: 2, 2: 2}}, {"0": {1: 2}}, Verdict.DIFFERENT, id="a moment is missing"),
        pytest.param("topk(1, x)", {"0": {1: 2}}, {"1": {1: 2}}, Verdict.TIES, id="a tie"),
        pytest.param("topk(1, x)", {"0": {1: 2}}, {"1": {1: 3}}, Verdict.DIFFERENT, id="no tie"),
        pytest.param("rate(x[1m])", {"0": {1: 2}}, {"0": {1: 2.1}}, Verdict.COUNTERS, id="the edge of a rate"),
        pytest.param("rate(x[1m])", {"0": {1: 2}}, {"0": {1: 3}}, Verdict.DIFFERENT, id="another rate"),
        pytest.param("rate(x[1m])", {"0": {1: 2}}, {}, Verdict.DIFFERENT, id="no rate"),
    ],
)
def test_answers_are_compared(expression: str, first: Series, second: Series, expected: Verdict) -> None:
    assert verdict(expression, first, second) is expected
    if first.keys() == second.keys() and expected is not Verdict.DIFFERENT:
        assert verdict(expression, second, first) is expected


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ({"0": {1: 2, 2: 0}}, Verdict.COUNTERS),
        ({"0": {1: 2}, "1": {1: 0}}, Verdict.COUNTERS),
        ({"0": {1: 2, 2: 0.1}}, Verdict.DIFFERENT),
        ({"0": {2: 0}}, Verdict.DIFFERENT),
    ],
)
def test_the_second_engine_may_say_that_a_counter_with_one_sample_did_not_increase(
    second: Series, expected: Verdict
) -> None:
    assert verdict("increase(x[1m])", {"0": {1: 2}}, second) is expected
    assert verdict("x", {"0": {1: 2}}, second) is Verdict.DIFFERENT


@pytest.mark.parametrize(
    ("second", "example"),
    [
        ({"0": {1: 2.1, 2: 3, 3: 2.2}}, "2 and 3 of {'index': '0'} at 2; too far apart are 1 of 3"),
        ({"0": {1: 2.1, 3: 2}}, "2 and None of {'index': '0'} at 2"),
        ({"0": {1: 2.1, 2: 2, 3: 2}, "1": {1: 1}}, "only the second has {'index': '1'}"),
    ],
)
def test_of_counters_the_example_is_what_makes_them_different(second: Series, example: str) -> None:
    found = comparison("rate(x[1m])", {"0": {1: 2, 2: 2, 3: 2}}, second)
    assert (found.verdict, found.example) == (Verdict.DIFFERENT, example)


def test_an_empty_label_is_none() -> None:
    metric = {"pid": "7", "cgroup": "", "site": "north"}
    data = {"resultType": "vector", "result": [{"metric": metric, "value": [1, "2.5"]}]}
    assert series(data, ignored="site") == {frozenset({("pid", "7")}): {1.0: 2.5}}


def test_every_recorded_series_is_federated() -> None:
    names = next(text for text in re.findall(r'__name__=~"(.*?)"', MATCH[0]))
    assert all(re.fullmatch(names, rule["record"]) for rule in rules.rules("record"))


def test_everything_that_the_fleet_dashboard_reads_is_federated() -> None:
    dashboard = json.loads(FLEET.read_text(encoding="utf-8"))
    text = " ".join(re.findall(r'"(?:expr|query)": "((?:[^"\\]|\\.)*)"', json.dumps(dashboard)))
    read = set(re.findall(r"\bgenv_\w+|\bALERTS\w*", re.sub(r"\w+:\w+:\w+", "", text)))
    assert read
    assert {name for name in read if not any(name in one for one in MATCH)} == set()
