"""How old data is merged and deleted, and what reports say of it."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from genvd.config.schema import Config
from genvd.ledger import retention
from genvd.ledger.amounts import Consumer, Total, Usage
from genvd.ledger.ledger import Ledger
from genvd.ledger.pending import (
    MAX_ENVIRONMENTS,
    MAX_ENVIRONMENTS_PER_USER,
    PendingUsage,
    select_environments,
)
from genvd.ledger.report import Report, make_report
from genvd.ledger.retention import DAY, RetentionTimer, apply_retention, midnight
from genvd.ledger.store import HOUR, Batch, Store
from genvd.ledger.writer import WriterSettings
from tests.support.ledger import GPU, NOW, allocated, config, fill, integrity, new_pending, write


def test_hours_are_merged_into_days_and_no_time_is_lost(store: Store) -> None:
    start = midnight(NOW) - 50 * DAY
    whole = fill(store, start, 50 * 24)
    apply_retention(store.connection, NOW, 35 * DAY, 400 * DAY, lambda: True)
    assert allocated(store.path, "hour") + allocated(store.path, "day") == whole
    ((first,),) = store.connection.execute("SELECT min(start) FROM hour").fetchall()
    assert NOW - 36 * DAY <= first <= NOW - 34 * DAY
    days = store.connection.execute("SELECT DISTINCT start FROM day").fetchall()
    assert {midnight(day) for (day,) in days} == {day for (day,) in days}
    assert store.connection.execute("SELECT sum(energy) FROM day").fetchone()[0] == 5 * 24 * len(days)
    ((active, idle),) = store.connection.execute("SELECT sum(active), sum(idle) FROM day").fetchall()
    assert active + idle == allocated(store.path, "day")


def test_hours_of_a_day_that_exists_already_are_added_to_it(store: Store) -> None:
    """A clock that was set back leads to more hours of such a day."""
    start = midnight(NOW) - 50 * DAY
    for _ in range(2):
        fill(store, start, 24)
        apply_retention(store.connection, NOW, 35 * DAY, 400 * DAY, lambda: True)
    assert allocated(store.path, "hour") == 0
    assert store.connection.execute("SELECT count(DISTINCT start) FROM day").fetchone() == (1,)


def test_a_day_has_as_many_environments_as_an_hour(store: Store) -> None:
    start = midnight(NOW) - 50 * DAY
    pending = new_pending()
    for hour in range(24):
        uses = {(Consumer("u", f"{hour}-{n}"), GPU): Usage(1000 + n) for n in range(MAX_ENVIRONMENTS_PER_USER)}
        pending.add({**uses, (Consumer("v", "1"), GPU): Usage(1)}, start + hour * HOUR)
    write(store, pending)
    before = allocated(store.path)
    apply_retention(store.connection, NOW, 35 * DAY, 400 * DAY, lambda: True)
    assert store.connection.execute("SELECT count(*) FROM day").fetchone() == (MAX_ENVIRONMENTS_PER_USER + 2,)
    assert allocated(store.path, "day") == before


def test_users_take_turns_when_environments_are_selected() -> None:
    assert select_environments([(1, 1, 5), (2, 1, 9), (3, 2, 1)]) == {1, 2, 3}
    many = [(number, 1, number) for number in range(1000)] + [(5000 + number, 2 + number, 1) for number in range(600)]
    chosen = select_environments(many)
    assert len(chosen) == MAX_ENVIRONMENTS
    assert 999 in chosen
    assert sum(1 for one in chosen if one >= 5000) == MAX_ENVIRONMENTS - 1


def test_old_data_is_deleted_with_its_names_and_the_file_shrinks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_MAX_PAGES", 5)
    monkeypatch.setattr(retention, "_MAX_ROWS", 100)
    monkeypatch.setattr(time, "time", lambda: NOW - 500 * DAY)
    fill(store, NOW - 500 * DAY, 2000)
    monkeypatch.setattr(time, "time", lambda: NOW)
    pending = PendingUsage()
    pending.load(store.read())
    pending.add({(Consumer("later", "1"), GPU): Usage(5)}, NOW)
    store.write(Batch(pending.take_batch().usages, {"later": Total(None, 5)}))
    (before,) = store.connection.execute("PRAGMA page_count").fetchone()
    forgotten = apply_retention(store.connection, NOW, 35 * DAY, 400 * DAY, lambda: True)
    assert forgotten == {"u0", "u1"}
    assert list(store.read().totals) == ["later"]
    assert allocated(store.path, "hour") == 5
    assert allocated(store.path, "day") == 0
    assert store.connection.execute("SELECT count(*) FROM environment").fetchone() == (1,)
    (after,) = store.connection.execute("PRAGMA page_count").fetchone()
    assert after < before / 2
    assert integrity(store.path) == "ok"
    pending.remove_users(forgotten)
    assert list(pending.update_shown() or {}) == ["later"]


def test_retention_stops_between_two_steps(store: Store) -> None:
    fill(store, midnight(NOW) - 60 * DAY, 60 * 24)
    steps = iter([True, True, *[False] * 20])
    apply_retention(store.connection, NOW, 35 * DAY, 400 * DAY, lambda: next(steps))
    assert store.connection.execute("SELECT count(DISTINCT start) FROM day").fetchone() == (2,)


def test_a_running_ledger_uses_a_changed_configuration(tmp_path: Path) -> None:
    ledger = Ledger(config(tmp_path), "live")
    try:
        ledger.reconfigure(Config(ledger_write_interval=7, ledger_hourly_retention=8 * DAY, ledger_retention=9 * DAY))
        assert ledger._writer
        assert ledger._writer._settings == WriterSettings(7, 8 * DAY, 9 * DAY)
    finally:
        ledger.stop()
        assert ledger.wait(10)


def test_retention_is_due_only_after_an_hour_of_a_steady_clock() -> None:
    """Otherwise all data would look old, and be deleted, when somebody sets the clock ahead."""
    timer = RetentionTimer()
    assert not timer.is_due(0, NOW)
    assert not timer.is_due(1800, NOW + 1800)
    assert timer.is_due(3600, NOW + 3600)
    assert not timer.is_due(3630, NOW + 3630)
    assert not timer.is_due(7300, NOW + 7300 + 1000 * DAY)  # ahead by years
    assert not timer.is_due(7400, NOW + 7400)  # and back
    assert not timer.is_due(10_900, NOW + 10_900)
    assert timer.is_due(11_100, NOW + 11_100)


def test_a_report_adds_up_the_hours_and_days_that_begin_in_its_period(store: Store) -> None:
    start = midnight(NOW) - 60 * DAY
    fill(store, start, 60 * 24, environments=5)
    everything = allocated(store.path) / 1000
    far = datetime.fromtimestamp(start - DAY, timezone.utc), datetime.fromtimestamp(NOW + DAY, timezone.utc)
    by = {name: make_report(store.path, *far, name).rows for name in ("user", "environment", "device")}
    apply_retention(store.connection, NOW, 35 * DAY, 400 * DAY, lambda: True)
    for name, rows in by.items():
        assert sum(row.allocated_seconds for row in rows) == pytest.approx(everything)
        assert make_report(store.path, *far, name).rows == rows, "the days have the same amounts as the hours"
        assert [row.allocated_seconds for row in rows] == sorted((r.allocated_seconds for r in rows), reverse=True)
    assert {row.labels[0] for row in by["user"]} == {"u0", "u1"}
    middle = datetime.fromtimestamp(NOW - 3 * DAY - 1234, timezone.utc)
    halves = [
        make_report(store.path, far[0], middle, "user").rows,
        make_report(store.path, middle, far[1], "user").rows,
    ]
    assert sum(row.allocated_seconds for half in halves for row in half) == pytest.approx(everything)


def test_without_allocated_time_active_and_idle_are_zero(store: Store) -> None:
    """As for work outside genv. With allocated time they may be unknown."""
    pending = new_pending()
    pending.add({(Consumer("alice"), GPU): Usage(energy=5000), (Consumer("bob", "1"), GPU): Usage(1000)}, NOW)
    write(store, pending)
    begins, ends = (datetime.fromtimestamp(moment, timezone.utc) for moment in (NOW, NOW + HOUR))
    for by in ("user", "environment"):
        bob, alice = make_report(store.path, begins, ends, by).rows
        assert (alice.allocated_seconds, alice.active_seconds, alice.idle_seconds, alice.energy_joules) == (0, 0, 0, 5)
        assert (bob.allocated_seconds, bob.active_seconds, bob.idle_seconds, bob.energy_joules) == (1, None, None, None)


def test_an_hour_counts_for_the_period_in_which_it_begins(store: Store) -> None:
    def report(since: int, until: int) -> Report:
        begins, ends = (datetime.fromtimestamp(NOW + moment, timezone.utc) for moment in (since, until))
        return make_report(store.path, begins, ends, "device")

    fill(store, NOW, 3)
    assert report(-HOUR, 0).rows == ()
    half = report(1800, 1800 + HOUR)
    assert half == report(HOUR, 2 * HOUR) != report(0, HOUR)
    assert (half.since, half.until) == (NOW + HOUR, NOW + 2 * HOUR)
    inside = report(60, 120)
    assert (inside.rows, inside.since) == ((), inside.until)
