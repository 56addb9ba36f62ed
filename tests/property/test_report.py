"""Reports of adjacent periods add up to the report of the whole period, wherever it is divided."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genvd.ledger.amounts import Consumer, Usage
from genvd.ledger.pending import PendingUsage
from genvd.ledger.report import LABELS, Report, make_report
from genvd.ledger.retention import DAY, apply_retention
from genvd.ledger.store import HOUR, Store, StoredState

NOW = 1_793_530_800  # 2026-11-01: the zones with summer time end it in these days
HOURS = 12 * 24
FIRST, END = NOW - HOURS * HOUR, NOW

MOMENT = st.integers(FIRST // 1800 - 60, END // 1800 + 60).map(lambda half: half * 1800.0) | st.floats(
    FIRST - DAY, END + DAY
)


@pytest.fixture(scope="module", params=["UTC", "Asia/Kolkata", "Asia/Kathmandu", "Europe/Berlin", "America/Havana"])
def ledger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A ledger of some days in a time zone; the earlier ones are stored by the day."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "TZ", request.param)
        time.tzset()
        store = Store(tmp_path_factory.mktemp("ledger"), "live")
        pending = PendingUsage()
        pending.load(StoredState())
        for number in range(HOURS):
            # No two sums of hours are the same by chance.
            use = Usage(number * number + 1, number, number * number - number + 1, 7 * number)
            pending.add(
                {(Consumer("alice" if number % 3 else "bob", "1"), f"GPU-{number % 2}"): use}, FIRST + number * HOUR
            )
        store.write(pending.take_batch())
        apply_retention(store.connection, NOW, 4 * DAY, 400 * DAY, lambda: True)
        yield store.path
        store.close()
    time.tzset()


def report(path: Path, since: float, until: float, by: str = "user") -> Report:
    begins, ends = (datetime.fromtimestamp(moment, timezone.utc) for moment in (since, until))
    return make_report(path, begins, ends, by)


def amounts(*reports: Report) -> dict[tuple[object, ...], tuple[int, ...]]:
    """Return the sums of several reports, in thousandths."""
    sums: Counter[tuple[tuple[object, ...], int]] = Counter()
    for one in reports:
        for row in one.rows:
            kinds = (row.allocated_seconds, row.active_seconds, row.idle_seconds, row.energy_joules)
            for number, amount in enumerate(kinds):
                sums[row.labels, number] += round(1000 * (amount or 0))
    return {labels: tuple(sums[labels, number] for number in range(4)) for labels, _ in sums}


@given(cuts=st.lists(MOMENT, min_size=2, max_size=6), by=st.sampled_from(sorted(LABELS)))
def test_adjacent_reports_add_up_to_the_whole(ledger: Path, cuts: list[float], by: str) -> None:
    cuts = sorted(cuts)
    parts = [report(ledger, since, until, by) for since, until in pairwise(cuts)]
    whole = report(ledger, cuts[0], cuts[-1], by)
    assert amounts(*parts) == amounts(whole)
    assert (parts[0].since, parts[-1].until) == (whole.since, whole.until)
    assert [part.until for part in parts[:-1]] == [part.since for part in parts[1:]], "the shown periods too"


@given(since=MOMENT, until=MOMENT)
def test_the_shown_period_is_the_one_that_is_counted(ledger: Path, since: float, until: float) -> None:
    since, until = sorted((since, until))
    found = report(ledger, since, until)
    assert since <= found.since <= since + DAY + HOUR
    assert until <= found.until <= until + DAY + HOUR
    assert amounts(report(ledger, found.since, found.until)) == amounts(found)


def test_a_day_has_24_hours(ledger: Path) -> None:
    """Also where local hours begin at half past."""
    day = datetime(2026, 10, 29).timestamp()
    found = report(ledger, day, day + DAY)
    numbers = [number for number in range(HOURS) if day <= FIRST + number * HOUR < day + DAY]
    assert len(numbers) == 24
    assert sum(row.allocated_seconds for row in found.rows) == pytest.approx(sum(n * n + 1 for n in numbers) / 1000)
