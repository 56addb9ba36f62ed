"""The report over all machines that a Prometheus scrapes, from their counters.

Prometheus' own ``increase()`` extrapolates, and it would have to read every sample of a month. Instead each counter is
read once in each hour, and the increases are added up here: a decrease is a reset, after which the counter began at 0,
and a gap is bridged by the next value, because a monitor counts on from where it was. Only for series that begin or end
within the period, the samples of that hour are read too.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from genvd.common.text import clean
from genvd.ledger.amounts import CAPACITY_STATES
from genvd.ledger.report import Report, Row, day_labels
from genvd.ledger.retention import midnight
from genvd.terminal.http_client import MAX_BYTES, ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from genvd.terminal.http_client import HttpClient

HOUR = 3600
_QUANTITIES = {
    "allocated_device_seconds": 0,
    "active_device_seconds": 1,
    "idle_device_seconds": 2,
    "energy_joules": 3,
    "outside_device_seconds": 4,
}
"""The part of a counter's name, and the number of the amount in a :class:`Row`."""

_MAX_STEPS = 10_000
"""Prometheus refuses more than 11,000 steps in a query."""

_FEW_SAMPLES, _SCRAPES = 12, 5
"""With so few samples in an hour all are read, else as many as one of so many scrapes leaves."""

_TOLERANCE_STEPS = 2
"""By how many steps the data may begin later than the report."""

_MAX_MATCHED = 200
"""Number of series that one query names. Their names are in its URL."""

_MAX_PART_STEPS = 24
"""Number of steps over which one query reads all samples of some series."""

Labels = dict[str, str]
_Identity = frozenset[tuple[str, str]]
_Key = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class _Span:
    """The steps of a report, in Unix time."""

    since: int
    until: float
    step: int

    @property
    def last(self) -> int:
        """The last step."""
        return self.since + math.floor((self.until - self.since) / self.step) * self.step


@dataclass(slots=True)
class _Sums:
    """What was used, by the labels of the rows and by day."""

    user: str | None = None
    """The only user who is counted; None for all."""
    rows: dict[_Key, list[float | None]] = field(default_factory=dict)
    days: dict[int, list[float | None]] = field(default_factory=dict)

    def add(self, key: _Key, username: str, number: int, amounts: Sequence[tuple[float, float]]) -> None:
        """Add the increases of one counter of a user, each with its time."""
        if self.user not in (None, username):
            return
        row = self.rows.setdefault(key, [None] * len(_QUANTITIES))
        row[number] = (row[number] or 0.0) + sum(amount for _, amount in amounts)
        for time, amount in amounts:
            if amount:
                day = self.days.setdefault(_day(time), [None] * len(_QUANTITIES))
                day[number] = (day[number] or 0.0) + amount


def fleet_report(
    client: HttpClient, period: tuple[datetime, datetime], by: str, now: float, user: str | None = None
) -> Report:
    """Return the report.

    Args:
        client: of the Prometheus.
        period: its beginning and its end.
        by: ``user``, ``machine`` or ``environment``.
        now: Unix time in seconds.
        user: the user to whom the report is limited; None for all users.

    Raises:
        ServiceError: Prometheus does not answer, or refuses.
    """
    prometheus, (since, until) = Prometheus(client), period
    end = math.floor(min(until.timestamp(), now))  # Prometheus answers with milliseconds, and times are compared
    start = math.floor(since.timestamp() / HOUR) * HOUR
    step = HOUR * math.ceil(max(1.0, end - start) / HOUR / _MAX_STEPS)
    span = _Span(start, end, step)
    sums, capacity = _Sums(user), dict[str, float](dict.fromkeys(CAPACITY_STATES, 0.0))
    if by == "environment":
        _add_environments(prometheus, span, sums)
    else:
        label = "username" if by == "user" else "instance"
        for quantity, number in _QUANTITIES.items():
            for labels, amounts in prometheus.increases(f"genv_user_{quantity}_total", span):
                key = (labels.get(label, ""), *((None,) if by == "user" else ()))
                sums.add(key, labels.get("username", ""), number, amounts)
    for labels, amounts in prometheus.increases("genv_capacity_device_seconds_total", span):
        if (state := labels.get("state", "")) in capacity:
            capacity[state] += sum(amount for _, amount in amounts)
    rows = sorted((_row(key, amounts) for key, amounts in sums.rows.items()), key=_order)
    days = tuple(_row(day_labels(day), amounts) for day, amounts in sorted(sums.days.items()))
    known = capacity if any(capacity.values()) else None
    note = _note(prometheus.earliest, span)
    used = tuple(row for row in rows if row.device_seconds or row.energy_joules)
    return Report(by, float(start), float(end), used, days, known, user, fleet=True, note=note)


def _note(earliest: float | None, span: _Span) -> str:
    """Return what a reader must know about the data in Prometheus."""
    if earliest is None:
        return "This Prometheus has no counters of genv-monitor in this period; check --prometheus and its retention."
    if earliest <= span.since + _TOLERANCE_STEPS * span.step:
        return ""
    begin = datetime.fromtimestamp(earliest).astimezone().strftime("%Y-%m-%d %H:%M %Z")
    return f"Prometheus has data only since {begin}: see its --storage.tsdb.retention.time (default: 15 days)."


def _add_environments(prometheus: Prometheus, span: _Span, sums: _Sums) -> None:
    """Add the counters of environments, and those of users for what they do outside."""
    names: dict[tuple[str, str], list[tuple[float, Labels]]] = defaultdict(list)
    for labels, values in prometheus.values("genv_environment_info", span):
        place = (labels.get("instance", ""), labels.get("eid", ""))
        names[place] += [(time, labels) for time, _ in values]
    for found in names.values():
        found.sort(key=lambda pair: pair[0])
    for quantity, number in list(_QUANTITIES.items())[:-1]:
        for labels, amounts in prometheus.increases(f"genv_environment_{quantity}_total", span):
            place = (labels.get("instance", ""), labels.get("eid", ""))
            for amount in amounts:  # an ID is used again, so the name depends on the time
                info = _at(names.get(place, ()), amount[0] + 1)  # at the end of the hour, as the names are
                key = (info.get("username", ""), place[1], info.get("name", ""), place[0])
                sums.add(key, info.get("username", ""), number, [amount])
    for labels, amounts in prometheus.increases("genv_user_outside_device_seconds_total", span):
        outside: _Key = (labels.get("username", ""), "", None, labels.get("instance", ""))
        sums.add(outside, labels.get("username", ""), _QUANTITIES["outside_device_seconds"], amounts)


@lru_cache(maxsize=_MAX_STEPS)
def _day(time: float) -> int:
    """Return the beginning of the day; all series have the same times."""
    return midnight(time)


def _at(found: Sequence[tuple[float, Labels]], time: float) -> Labels:
    """Return the labels that held at a time: the last ones before it, or the first ones."""
    before = [labels for moment, labels in found if moment <= time]
    return before[-1] if before else found[0][1] if found else {}


def _row(key: tuple[str | int | None, ...], amounts: Sequence[float | None]) -> Row:
    rounded = [None if amount is None else round(amount, 3) for amount in amounts]
    if not rounded[0]:  # without attached time, the active and the idle time are known to be 0
        rounded[1] = rounded[2] = 0.0
    return Row(key, rounded[0] or 0.0, *rounded[1:])


def _order(row: Row) -> tuple[float, str]:
    return -row.device_seconds, str(row.labels)


class Prometheus:
    """Reads counters through the HTTP API (prometheus.io/docs/prometheus/latest/querying/api)."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self.earliest: float | None = None
        """Unix time of the first value that was read."""

    def increases(self, counter: str, span: _Span) -> Iterator[tuple[Labels, list[tuple[float, float]]]]:
        """Yield each series of a counter with its increases, each with the end of its hour."""
        found = self.values(counter, span)
        begins = [(labels, time) for labels, values in found for time in _begins(values, span)]
        ends = [(labels, time) for labels, values in found for time in _ends(values, span)]
        firsts = self._at("min_over_time", counter, span, begins)
        lasts = self._at("last_over_time", counter, span, ends)
        for labels, values in found:
            key, whole = _identity(labels), list[tuple[float, float]]()
            for time, value in values:
                first, end = firsts.get((key, time)), min(time + span.step, span.until)
                last = lasts.get((key, end))
                whole += [] if first is None else [(time - 1, first)]
                whole += [(time, value)] if last is None else [(time, value), (end, last)]
            yield labels, _increases(whole)

    def values(self, metric: str, span: _Span) -> list[tuple[Labels, list[tuple[float, float]]]]:
        """Return each series with its last value at each hour, and at the end."""
        window = self._window(metric, span)
        query = f"last_over_time({metric}[{window}s])"
        series: dict[_Identity, tuple[Labels, list[tuple[float, float]]]] = {}
        answers = self._ask_until(query, span.since, span.until, span)
        if window < span.step:
            answers += self._between(metric, span, {_identity(one["metric"]) for one in answers})
        for one in answers:
            series.setdefault(_identity(one["metric"]), (one["metric"], []))[1].extend(
                (float(time), float(value)) for time, value in one["values"] if math.isfinite(float(value))
            )
        begins = [values[0][0] for _, values in series.values() if values]
        self.earliest = min([*begins, *([] if self.earliest is None else [self.earliest])], default=None)
        return [(labels, values) for labels, values in series.values() if values]

    def _between(self, metric: str, span: _Span, known: set[_Identity]) -> list[dict[str, Any]]:
        """Return the series without a value at any hour, such as of environments that lasted for minutes.

        Each has its last value at the end of its hour.
        """
        parameters = {"match[]": metric, "start": span.since, "end": span.until}
        series: list[Labels] = self._data("series", parameters)
        answers = []
        for some in _in_parts([(labels, 0.0) for labels in series if _identity(labels) not in known], span.step):
            wanted = {_identity(labels) for labels, _ in some}
            query = f"last_over_time({metric}{_matchers([labels for labels, _ in some])}[{span.step}s])"
            found = self._ask_until(query, span.since, span.until, span)  # also of the same ID on other machines
            answers += [one for one in found if _identity(one["metric"]) in wanted]
        return answers

    def _at(
        self, function: str, counter: str, span: _Span, wanted: Sequence[tuple[Labels, float]]
    ) -> dict[tuple[_Identity, float], float]:
        """Return what the function gives for the hours of series that end at these times."""
        found: dict[tuple[_Identity, float], float] = {}
        for some in _in_parts(wanted, span.step):
            query = f"{function}({counter}{_matchers([labels for labels, _ in some])}[{span.step}s])"
            for one in self._ask_until(query, some[0][1], some[-1][1], span):
                found.update(((_identity(one["metric"]), float(time)), float(value)) for time, value in one["values"])
        return {key: found[key] for labels, time in wanted if (key := (_identity(labels), time)) in found}

    def _ask_until(self, query: str, start: float, end: float, span: _Span) -> list[dict[str, Any]]:
        """Return what a query gives at each step, and at the end if that is the one of the report."""
        answers = self._ask("query_range", query=query, start=start, end=end, step=span.step)
        if end > span.last:
            last = self._ask("query", query=query, time=end)
            answers += [{"metric": one["metric"], "values": [one["value"]]} for one in last]
        return answers

    def _window(self, metric: str, span: _Span) -> int:
        """Return how many seconds to look back for a value: a few scrapes, and at most a step."""
        for time in (span.until, (span.since + span.until) / 2):
            answer = self._ask("query", query=f"max(count_over_time({metric}[1h]))", time=time)
            if answer:
                samples = max(1.0, float(answer[0]["value"][1]))
                return span.step if samples <= _FEW_SAMPLES else math.ceil(_SCRAPES * HOUR / samples)
        return span.step

    def _ask(self, endpoint: str, **parameters: object) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self._data(endpoint, parameters, lambda data: data["result"])
        return result

    def _data(self, endpoint: str, parameters: Mapping[str, object], part: Callable[[Any], Any] = list) -> Any:
        path = f"{self._client.path}/api/v1/{endpoint}?{urlencode(parameters)}"
        reply = self._client.get(path)
        if len(reply.body) >= MAX_BYTES:
            raise ServiceError(f"{self._client.url}: Prometheus has too much to answer; choose a shorter period")
        try:
            answer = json.loads(reply.body)
            if reply.status == HTTPStatus.OK and answer["status"] == "success":
                return part(answer["data"])
            reason = clean(str(answer["error"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ServiceError(f"{self._client.url}: {self._client.refusal(reply)}") from None
        raise ServiceError(f"{self._client.url}: Prometheus refuses: {reason}; choose a shorter period")


def _identity(labels: Labels) -> _Identity:
    return frozenset((name, value) for name, value in labels.items() if name != "__name__")


def _begins(values: Sequence[tuple[float, float]], span: _Span) -> Iterator[float]:
    """Yield the times of the values that follow hours without one."""
    before = float(span.since - span.step)
    for time, _ in values:
        if time - before > span.step:
            yield time
        before = time


def _ends(values: Sequence[tuple[float, float]], span: _Span) -> Iterator[float]:
    """Yield the ends of the hours that follow values and have none."""
    times = [time for time, _ in values]
    for time, after in itertools.pairwise([*times, math.inf]):
        if after - time > span.step and time < span.until:
            yield min(time + span.step, span.until)


def _increases(values: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the increases between values, each with the time of the second one."""
    pairs = itertools.pairwise(values)
    return [(time - 1, value - before if value >= before else value) for (_, before), (time, value) in pairs]


def _in_parts(wanted: Sequence[tuple[Labels, float]], step: int) -> Iterator[list[tuple[Labels, float]]]:
    """Yield the series in parts for one query each, in the order of their times."""
    part: list[tuple[Labels, float]] = []
    for one in sorted(wanted, key=lambda pair: pair[1]):
        if part and (len(part) >= _MAX_MATCHED or one[1] - part[0][1] > _MAX_PART_STEPS * step):
            yield part
            part = []
        part.append(one)
    if part:
        yield part


def _matchers(series: Sequence[Labels]) -> str:
    """Return matchers for at least these series."""
    parts = []
    for name in ("instance", "username", "state", "eid"):
        values = sorted({labels[name] for labels in series if name in labels})
        if values and all(name in labels for labels in series):
            parts.append(f"{name}=~{json.dumps('|'.join(map(_quote, values)), ensure_ascii=False)}")
    return f"{{{','.join(parts)}}}" if parts else ""


def _quote(text: str) -> str:
    """Return a regular expression of RE2 that matches this text only."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)
