"""What the ledger keeps: bounds, totals, upkeep, and how its file gets from one version to the next."""

from __future__ import annotations

import os
import random
import re
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from genvd.analysis.restart_state import KnownAccount, LastWork, RestartState, SavedAttachment, SavedTime
from genvd.common.text import RESERVED, clean
from genvd.config import schema as configuration
from genvd.config.schema import Config
from genvd.ledger import paths, retention, schema, writer
from genvd.ledger.amounts import Consumer, Total, Usage
from genvd.ledger.ledger import Ledger
from genvd.ledger.pending import (
    MAX_ENVIRONMENTS,
    MAX_ENVIRONMENTS_PER_USER,
    MAX_USERS,
    ConsumerLimits,
    PendingUsage,
    select_environments,
)
from genvd.ledger.pending import __doc__ as pending_documentation
from genvd.ledger.report import Report, make_report
from genvd.ledger.retention import DAY, RetentionTimer, apply_retention, midnight
from genvd.ledger.saved_state import load_saved_state
from genvd.ledger.store import HOUR, Batch, Store, StoredState, read_file
from genvd.ledger.wall_clock import TrustedClock, TrustedClockState
from genvd.ledger.writer import WriterSettings
from genvd.metrics.limits import Limits
from genvd.model.snapshot import LedgerStatus, Snapshot, UserUse
from tests.support.exported import exported
from tests.support.ledger import SERVICE, allocated, config, integrity, snapshot
from tests.support.waiting import wait_for

NOW = 1_790_000_000 // DAY * DAY + 15 * HOUR
GPU = "GPU-0"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "state", "live")
    yield store
    store.close()


def write(store: Store, pending: PendingUsage, ticks: int = 0) -> None:
    batch = pending.take_batch(ticks)
    store.write(batch)
    pending.set_ceilings(batch.ceilings)


def begun() -> PendingUsage:
    pending = PendingUsage()
    pending.load(StoredState())
    pending.set_ceilings({})
    return pending


# --- Totals --------------------------------------------------------------------------------------------------


def test_what_is_shown_is_never_more_than_the_file_allows(store: Store) -> None:
    """Or else a counter would go back when the monitor is killed, which Prometheus takes for a new one."""
    pending = begun()
    pending.add({(Consumer("alice", "1"), GPU): Usage(1000, 400, 600)}, NOW)
    assert pending.update_shown() == {"alice": Total(None, 0, 0, 0, None)}
    assert pending.capped, "nothing allows for it yet"
    write(store, pending, ticks=3)
    shown = []
    for _ in range(5):
        pending.add({(Consumer("alice", "1"), GPU): Usage(1000, 700, 300, 7)}, NOW)
        shown.append((pending.update_shown() or {})["alice"])
    # Nobody foresaw that more of the time would be active, and that energy would be known.
    assert shown[1] == Total(None, 3000, 1600, 1200, 0)
    assert [one.allocated for one in shown] == [2000, 3000, 4000, 4000, 4000]
    assert pending.capped
    again = PendingUsage()
    again.load(store.read())
    (found,) = (again.update_shown() or {}).values()
    assert found.amounts == (4000, 1600, 2400, None), "a monitor that was killed goes on from there"
    assert store.read().totals == {"alice": Total(None, 1000, 400, 600, None)}, "what is reported is what was counted"
    write(store, pending)
    assert pending.update_shown() == store.read().totals == {"alice": Total(None, 6000, 3900, 2100, 35)}
    assert not pending.capped


def test_the_worked_example_in_the_docstring_of_pending_is_true(store: Store) -> None:
    ticks = WriterSettings(30, 0, 0, 10).ticks
    assert ticks == 5
    pending = begun()
    rows: list[tuple[int, ...]] = []

    def row(moment: int) -> None:
        """Add what the table has: time, counted, pending, written, ceiling and shown."""
        stored, unwritten = store.read(), sum(usage.allocated for usage in pending._pending.values())
        in_file = [totals.get("alice", Total()).allocated for totals in (stored.totals, stored.ceilings)]
        counted, shown = (totals["alice"].allocated for totals in (pending._sum_totals(), pending._shown))
        rows.append((moment, *(amount // 1000 for amount in (counted, unwritten, *in_file, shown))))

    def tick(*times: int) -> None:
        for moment in times:
            pending.add({(Consumer("alice", "1"), GPU): Usage(10_000, 10_000, 0)}, NOW + moment)
            pending.update_shown()
        row(times[-1])

    tick(10)
    assert pending.capped, "so a write is requested"
    write(store, pending, ticks)
    row(10)
    tick(20)
    tick(30, 40)
    write(store, pending, ticks)
    row(40)
    tick(50, 60)
    pending = PendingUsage()  # the crash and the start
    pending.load(store.read())
    pending.set_ceilings(store.read().ceilings)
    row(70)
    tick(80, 90, 100)
    write(store, pending, ticks)
    row(100)
    tick(110, 120)
    tick(130)
    lines = (pending_documentation or "").splitlines()
    documented = [line.split() for line in lines if re.fullmatch(r"\d+ s .* \d+", line)]
    assert rows == [tuple(int(number) for number in (words[0], *words[-5:])) for words in documented]
    assert rows[-1] == (130, 100, 30, 70, 120, 100)
    write(store, pending)  # a normal stop
    assert store.read().ceilings == store.read().totals


def test_after_crashes_in_a_row_the_counters_wait_for_what_was_counted(store: Store) -> None:
    """What was shown too much is shown once, not again with each crash."""
    ahead = []
    for _ in range(10):
        pending = PendingUsage()
        pending.load(store.read())
        pending.set_ceilings(store.read().ceilings)
        pending.add({(Consumer("alice", "1"), GPU): Usage(1000, 1000, 0)}, NOW)
        write(store, pending, ticks=5)
        counted = store.read().totals["alice"].allocated
        ahead.append(store.read().ceilings["alice"].allocated - counted)
        assert (pending.update_shown() or {})["alice"].allocated >= counted
    assert max(ahead) == 5000


def test_while_it_cannot_be_written_what_was_counted_is_shown_and_nothing_goes_back(store: Store) -> None:
    pending = begun()
    use = {(Consumer("alice", "1"), GPU): Usage(1000, 1000, 0)}
    shown = []
    for step in range(12):
        pending.add(use, NOW)
        if step == 3:
            pending.set_ceilings(None)
        late = pending.take_batch() if step == 7 else None
        if late:  # it is written while the tick goes on
            store.write(late)
            shown.append(pending.update_shown())
            pending.add(use, NOW)
            shown.append(pending.update_shown())
            pending.set_ceilings(late.ceilings)
        shown.append(pending.update_shown())
    amounts = [totals["alice"].allocated for totals in shown if totals]
    assert amounts == sorted(amounts)
    assert amounts[3] == 4000
    assert len(amounts) == 14


def test_what_was_counted_before_is_not_known_until_it_is_read() -> None:
    pending = PendingUsage()
    pending.add({(Consumer("alice", "1"), GPU): Usage(1000)}, NOW)
    assert pending.update_shown() is None
    pending.load(StoredState({"bob": Total(1, 5), "alice": Total(2, 7)}))
    assert pending.update_shown() == {"bob": Total(1, 5), "alice": Total(2, 1007)}


def test_it_is_not_known_is_not_nothing() -> None:
    """Not for the totals, nor in the file, nor in a series."""
    status = LedgerStatus((UserUse("alice", 5.0), UserUse("bob", 1.0, 0.0, 1.0, 2.5)), None, None)
    series = exported(Snapshot(0.0, SERVICE, ledger=status))
    found = {
        name: {labels["username"]: value for labels, value in samples}
        for name, samples in series.items()
        if "username" in samples[0][0]
    }
    assert found == {
        "genv_user_allocated_device_seconds_total": {"alice": 5.0, "bob": 1.0},
        "genv_user_active_device_seconds_total": {"bob": 0.0},
        "genv_user_idle_device_seconds_total": {"bob": 1.0},
        "genv_user_energy_joules_total": {"bob": 2.5},
    }
    assert not any("ledger" in name for name in series)


def test_users_over_the_limit_are_summed_and_the_sum_never_goes_back() -> None:
    """Those who come later do not change who has series of their own."""
    last = 0.0
    for there in range(1, 8):
        users = tuple(UserUse(f"u{9 - number}", 10.0 + there) for number in range(there))
        machine = Snapshot(0.0, SERVICE, ledger=LedgerStatus(users))
        series = exported(machine, Limits(0, 3, 0))
        samples = {labels["username"]: value for labels, value in series["genv_user_allocated_device_seconds_total"]}
        assert list(samples)[:3] == ["u9", "u8", "u7"][:there]
        assert samples.get(RESERVED, 0.0) >= last
        last = samples.get(RESERVED, 0.0)
        assert sum(samples.values()) == there * (10 + there)
        dropped = {labels["kind"]: value for labels, value in series["genv_monitor_series_dropped"]}
        assert dropped["user"] == max(0, there - 3)


# --- When environments last worked ---------------------------------------------------------------------------

WORK = LastWork("1", 1001, NOW - 900.5, NOW - 60.25, NOW - 10.125, 5000.5)


def test_what_is_kept_of_last_work_is_what_is_there_now(store: Store) -> None:
    pending = begun()
    other = LastWork("2", None, NOW, NOW, NOW)
    steps = (((WORK, other), (WORK, other)), (None, (WORK, other)), ((other,), (other,)), ((), ()))
    for last_work, expected in steps:
        if last_work is not None:
            pending.set_restart_state(RestartState(last_work))
        write(store, pending)
        assert store.read().restart_state.last_work == expected
    pending = PendingUsage()
    assert pending.take_restart_state() is None
    devices = (
        SavedAttachment("1", 1, NOW - 900.0, "GPU-b", None),
        SavedAttachment("2", 0, None, None, "00000000:65:00.0"),
    )
    times = (SavedTime("1", -1, NOW - 9000.0, NOW - 900.0, 4000.25, 4100.125, 1e9 + 0.5),)
    accounts = KnownAccount(1001, "alice", main=True), KnownAccount(1001, "ally", main=False)
    restart_state = RestartState((WORK,), times, devices, accounts, "boot")
    before_restart = begun()
    before_restart.set_restart_state(restart_state)
    write(store, before_restart)
    pending.load(store.read())
    assert pending.take_restart_state() == restart_state
    assert pending.take_restart_state() is None, "it is told once"
    write(store, pending)


def test_what_it_remembers_is_read_where_it_can_be(store: Store, tmp_path: Path) -> None:
    ledger = config(store.path.parent)
    assert load_saved_state(ledger) == RestartState()
    store.write(Batch({}, {}, RestartState((WORK,), boot_id="boot")))
    assert load_saved_state(ledger) == RestartState((WORK,), boot_id="boot")
    assert load_saved_state(replace(ledger, ledger_enabled=False)) is None
    assert load_saved_state(config(tmp_path / "nowhere")) is None
    for what in ("pipe", "text", "demo"):
        (tmp_path / what).mkdir()
    os.mkfifo(tmp_path / "pipe" / paths.FILE_NAME)
    (tmp_path / "text" / paths.FILE_NAME).write_text("no ledger " * 1000)
    schema.open_for_writing(tmp_path / "demo" / paths.FILE_NAME, "demo").close()
    for what in ("pipe", "text", "demo"):
        assert load_saved_state(config(tmp_path / what)) is None


def test_names_of_accounts_are_kept_until_others_have_them(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def rewrite(*now: tuple[int, str, bool]) -> Sequence[tuple[int, str, bool]]:
        people = tuple(KnownAccount(*one) for one in now)
        store.write(Batch({}, {}, RestartState(accounts=people)))
        return list(store.read().restart_state.accounts)

    assert rewrite((1, "alice", True), (2, "bob", True)) == [(1, "alice", True), (2, "bob", True)]
    assert rewrite() == [(1, "alice", True), (2, "bob", True)], "she may come back"
    assert rewrite((2, "bob", False), (1, "ally", False))[-1] == (2, "bob", True), "it is still what that uid is called"
    assert rewrite((1, "bob", True), (2, "alice", True)) == [
        (2, "alice", True),
        (1, "ally", False),
        (1, "bob", True),
    ]
    monkeypatch.setattr("genvd.ledger.account_names.MAX_ACCOUNTS", 2)
    assert len(rewrite((3, "carol", True))) == 2
    apply_retention(store.connection, time.time() + 40 * DAY, 35 * DAY, 30 * DAY, lambda: True)
    assert store.read().restart_state.accounts == ()


def test_the_last_work_of_ten_thousand_environments_is_not_kept(store: Store) -> None:
    pending = begun()
    many = [LastWork(str(number), 1000, 1.0, float(number), float(number)) for number in range(10_000)]
    pending.set_restart_state(RestartState((*many, WORK)))
    write(store, pending)
    assert WORK in store.read().restart_state.last_work
    assert store.read().restart_state.last_work[:-1] == tuple(many[-MAX_ENVIRONMENTS_PER_USER:])


# --- Bounds --------------------------------------------------------------------------------------------------


def test_ten_thousand_environments_of_one_push_out_nobody_elses(tmp_path: Path) -> None:
    many = [("mallory", str(number)) for number in range(10_000)]
    machine = snapshot([*many[:5000], ("alice", "a"), *many[5000:], ("bob", "b")], timestamp=NOW)
    ledger = Ledger(config(tmp_path, interval=10), "live")
    ledger.record(machine)
    started = time.monotonic()
    for _ in range(3):
        ledger.record(machine)
    took = (time.monotonic() - started) / 3
    ledger.stop()
    assert ledger.wait(10)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        rows = connection.execute(
            "SELECT username, eid, hour.allocated - allocated_again, hour.allocated FROM hour"
            " JOIN environment ON environment.id = environment JOIN person ON person.id = person"
        ).fetchall()
        totals = dict(connection.execute("SELECT username, allocated FROM person").fetchall())
    own = [row for row in rows if row[0] == "mallory"]
    assert len(own) == MAX_ENVIRONMENTS_PER_USER + 1
    assert sum(row[2] for row in own) == totals["mallory"] == totals["alice"] == totals["bob"]
    assert sum(row[3] for row in own) == 10_000 * totals["alice"]
    assert {row[1] for row in rows if row[0] in ("alice", "bob")} == {"a", "b"}
    assert took < 2, "a tick must not be held up"


def test_many_users_are_bounded_as_well() -> None:
    pending = begun()
    uses = {(Consumer(f"user{number}", "1"), GPU): Usage(10) for number in range(MAX_USERS + 500)}
    pending.add(uses, NOW)
    pending.add(uses, NOW)
    totals = pending.update_shown() or {}
    assert len(totals) == MAX_USERS + 1
    batch = pending.take_batch()
    assert batch.totals[RESERVED].allocated == 2 * 500 * 10
    assert sum(total.allocated for total in batch.totals.values()) == sum(
        use.allocated for use in batch.usages.values()
    )
    assert (
        len({consumer for _, (consumer, _) in batch.usages if consumer.eid not in ("", RESERVED)}) == MAX_ENVIRONMENTS
    )


def test_who_came_first_in_an_hour_keeps_their_place() -> None:
    limits = ConsumerLimits()
    first = [Consumer("u", str(number)) for number in range(MAX_ENVIRONMENTS_PER_USER)]
    for _ in range(3):
        assert [limits.apply(one, 0, ("u",)) for one in first] == first
        assert limits.apply(Consumer("u", "late"), 0, ("u",)) == Consumer("u", RESERVED)
        assert limits.apply(Consumer("v", "1"), 0, ("u",)) == Consumer("v", "1")
    assert limits.apply(Consumer("u", "late"), HOUR, ("u",)) == Consumer("u", "late")


def test_what_waits_to_be_written_is_bounded_and_loses_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a disk fails for weeks."""
    monkeypatch.setattr("genvd.ledger.pending.MAX_PENDING", 300)
    pending = begun()
    uses = {(Consumer(f"u{n % 5}", str(n)), f"GPU-{n % 4}"): Usage(1000, 600, 400, 3) for n in range(40)}
    for hour in range(200):
        pending.add(uses, NOW + hour * HOUR)
    batch = pending.take_batch()
    assert len(batch.usages) <= 300 + len(uses)
    whole = Usage()
    for use in batch.usages.values():
        whole.add(use)
    assert (whole.allocated, whole.active, whole.idle, whole.energy) == (8_000_000, 4_800_000, 3_200_000, 24_000)


HOSTILE = [
    "x" * 5000,
    "'; DROP TABLE person; --",
    "\x1b[2J",
    "\ud800",
    "a\0b",
    "=cmd()",
    "ünï 名前",
    "%s{0}",
    '"',
    "\n",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_is_kept(tmp_path: Path, name: str) -> None:
    ledger = Ledger(config(tmp_path), "live")
    machine = snapshot([(clean(name), clean(name))], timestamp=NOW)
    ledger.record(machine)
    users = ledger.record(machine).users
    ledger.stop()
    assert ledger.wait(10)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        ((kept_name,),) = connection.execute("SELECT username FROM person").fetchall()
        ((eid,),) = connection.execute("SELECT eid FROM environment").fetchall()
    assert users is not None
    assert users[0].username == kept_name == eid == clean(name)
    assert len(kept_name) <= 256
    assert all(ord(character) >= 32 for character in kept_name)


# --- Upkeep --------------------------------------------------------------------------------------------------


def fill(store: Store, start: int, hours: int, environments: int = 3) -> int:
    """Write so many hours of random use; return the milliseconds."""
    chance, pending = random.Random(6), begun()
    for hour in range(hours):
        uses = {
            (Consumer(f"u{number % 2}", str(number)), f"GPU-{number % 4}"): Usage(
                amount := chance.randint(1, HOUR * 1000), amount // 2, amount - amount // 2, None if number else 5
            )
            for number in range(environments)
        }
        pending.add(uses, start + hour * HOUR)
    write(store, pending)
    return allocated(store.path)


def test_hours_become_days_and_no_time_is_lost(store: Store) -> None:
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


def test_a_day_that_is_made_twice_is_added_up(store: Store) -> None:
    """A clock that was set back brings more hours of a day that is made already."""
    start = midnight(NOW) - 50 * DAY
    for _ in range(2):
        fill(store, start, 24)
        apply_retention(store.connection, NOW, 35 * DAY, 400 * DAY, lambda: True)
    assert allocated(store.path, "hour") == 0
    assert store.connection.execute("SELECT count(DISTINCT start) FROM day").fetchone() == (1,)


def test_a_day_keeps_as_many_environments_as_an_hour(store: Store) -> None:
    start = midnight(NOW) - 50 * DAY
    pending = begun()
    for hour in range(24):
        uses = {(Consumer("u", f"{hour}-{n}"), GPU): Usage(1000 + n) for n in range(MAX_ENVIRONMENTS_PER_USER)}
        pending.add({**uses, (Consumer("v", "1"), GPU): Usage(1)}, start + hour * HOUR)
    write(store, pending)
    before = allocated(store.path)
    apply_retention(store.connection, NOW, 35 * DAY, 400 * DAY, lambda: True)
    assert store.connection.execute("SELECT count(*) FROM day").fetchone() == (MAX_ENVIRONMENTS_PER_USER + 2,)
    assert allocated(store.path, "day") == before


def test_those_who_used_most_are_kept_of_every_user_in_turn() -> None:
    assert select_environments([(1, 1, 5), (2, 1, 9), (3, 2, 1)]) == {1, 2, 3}
    many = [(number, 1, number) for number in range(1000)] + [(5000 + number, 2 + number, 1) for number in range(600)]
    chosen = select_environments(many)
    assert len(chosen) == MAX_ENVIRONMENTS
    assert 999 in chosen
    assert sum(1 for one in chosen if one >= 5000) == MAX_ENVIRONMENTS - 1


def test_what_is_too_old_goes_with_its_names_and_the_file_gets_smaller(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_upkeep_ends_when_it_is_told_to(store: Store) -> None:
    fill(store, midnight(NOW) - 60 * DAY, 60 * 24)
    steps = iter([True, True, *[False] * 20])
    apply_retention(store.connection, NOW, 35 * DAY, 400 * DAY, lambda: next(steps))
    assert store.connection.execute("SELECT count(DISTINCT start) FROM day").fetchone() == (2,)


def test_a_ledger_that_runs_keeps_to_what_it_is_told(tmp_path: Path) -> None:
    ledger = Ledger(config(tmp_path), "live")
    try:
        ledger.reconfigure(Config(ledger_write_interval=7, ledger_hourly_retention=8 * DAY, ledger_retention=9 * DAY))
        assert ledger._writer
        assert ledger._writer._settings == WriterSettings(7, 8 * DAY, 9 * DAY)
    finally:
        ledger.stop()
        assert ledger.wait(10)


def test_upkeep_trusts_a_clock_only_when_it_went_on_as_it_should() -> None:
    """Else all there is would look old when somebody sets the clock ahead, and would be thrown away."""
    timer = RetentionTimer()
    assert not timer.is_due(0, NOW)
    assert not timer.is_due(1800, NOW + 1800)
    assert timer.is_due(3600, NOW + 3600)
    assert not timer.is_due(3630, NOW + 3630)
    assert not timer.is_due(7300, NOW + 7300 + 1000 * DAY)  # ahead by years
    assert not timer.is_due(7400, NOW + 7400)  # and back
    assert not timer.is_due(10_900, NOW + 10_900)
    assert timer.is_due(11_100, NOW + 11_100)


def spend(clock: TrustedClock, begin: float, days: int, ahead: float, retention: float = 400 * DAY) -> list[float]:
    """Return by how much what is believed is ahead of what is right, after each of so many days of counting."""
    moments = [begin + DAY * day for day in range(1, days + 1)]
    return [clock.now(moment, NOW + moment + ahead, retention) - NOW - moment for moment in moments]


@pytest.mark.parametrize("ahead", [600 * DAY, 20 * DAY, -20 * DAY, -20_000 * DAY])
def test_a_clock_that_leaps_is_not_believed_for_a_week(ahead: float, caplog: pytest.LogCaptureFixture) -> None:
    """However often the monitor is restarted meanwhile; and at once when the clock is right again."""
    clock = TrustedClock(TrustedClockState(float(NOW)))
    assert clock.now(0.0, NOW, 400 * DAY) == NOW
    doubted = min(0.0, ahead)  # the earlier one of two times throws away less
    assert spend(clock, 0, 3, ahead) == [doubted] * 3
    assert len(caplog.records) == 1
    assert f"{abs(ahead) / DAY:.0f} days {'ahead' if ahead > 0 else 'behind'}" in caplog.text
    again = TrustedClock(clock.state)
    again.now(3 * DAY, NOW + 3 * DAY + ahead, 400 * DAY)
    assert spend(again, 3 * DAY, 3, ahead) == [doubted] * 3
    corrected = TrustedClock(again.state)
    corrected.now(6 * DAY, NOW + 6 * DAY, 400 * DAY)
    assert spend(corrected, 6 * DAY, 1, 0) == [0]
    assert corrected.state.distrusted_seconds == 0
    assert spend(again, 6 * DAY, 3, ahead) == [ahead] * 3


def test_a_machine_that_was_off_for_a_while_is_believed() -> None:
    assert spend(TrustedClock(TrustedClockState(float(NOW))), 0, 1, 5 * DAY) == [5 * DAY]
    (found,) = spend(TrustedClock(TrustedClockState(float(NOW))), 0, 1, 5 * DAY, retention=30 * DAY)
    assert found < 0, "it is long beside what is kept"
    assert spend(TrustedClock(TrustedClockState()), 0, 1, 600 * DAY) == [600 * DAY], "a new ledger has nothing to lose"


def test_a_clock_that_is_years_ahead_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Upkeep comes round meanwhile, here several times a second."""
    monkeypatch.setattr(retention, "INTERVAL_SECONDS", 0.2)
    keeping = config(tmp_path)
    ledger = Ledger(keeping, "live")
    machine, seen = snapshot(), []

    def record_time(*arguments: Any) -> set[str]:
        seen.append(arguments[1])
        return apply_retention(*arguments)

    monkeypatch.setattr(writer, "apply_retention", record_time)
    try:
        wait_for(lambda: ledger.record(machine) and allocated(tmp_path / "ledger.db", "hour") > 0, "it is written")
        had, right = allocated(tmp_path / "ledger.db", "hour"), time.time
        monkeypatch.setattr(time, "time", lambda: right() + 600 * DAY)
        seen.clear()
        wait_for(lambda: ledger.record(machine) and len(seen) >= 3, "upkeep came round")
    finally:
        ledger.stop()
        assert ledger.wait(10)
    assert allocated(tmp_path / "ledger.db", "hour") >= had
    assert all(abs(now - right()) < 60 for now in seen)
    assert caplog.text.count("600 days ahead") == 1


@pytest.mark.parametrize("label", ["20000101T000000Z", "20990101T000000Z"])
def test_the_damaged_file_that_is_set_aside_stays_whatever_the_clock_says(tmp_path: Path, label: str) -> None:
    for number in range(5):
        (tmp_path / "ledger.db").write_text("damaged")
        paths.move_corrupt_file(tmp_path / "ledger.db", f"2026010{number}T000000Z")
    (tmp_path / "ledger.db").write_text("damaged")
    target = paths.move_corrupt_file(tmp_path / "ledger.db", label)
    assert target.exists()
    assert len(list(tmp_path.iterdir())) == 3


# --- Versions ------------------------------------------------------------------------------------------------


def test_a_file_of_an_older_version_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path, "live")
    fill(store, NOW, 3)
    before = store.read().totals
    store.close()
    later = (*schema.MIGRATIONS, ("ALTER TABLE person ADD COLUMN note TEXT", "UPDATE person SET note = 'x'"))
    monkeypatch.setattr(schema, "MIGRATIONS", later)
    monkeypatch.setattr(schema, "OLDEST_READABLE_VERSION", len(later))
    with pytest.raises(schema.UnusableLedgerError, match="older version"):
        schema.open_for_reading(store.path)
    store = Store(tmp_path, "live")
    assert store.read().totals == before
    assert store.connection.execute("SELECT DISTINCT note FROM person").fetchall() == [("x",)]
    assert store.connection.execute("PRAGMA user_version").fetchone() == (len(later),)
    store.close()


def test_a_file_of_the_first_version_is_read_as_it_is_and_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a backup, or on a disk that is full: the counters must go on from what is in it."""
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        store = Store(tmp_path, "live")
        store.connection.execute("INSERT INTO person VALUES (1, 'alice', 1001, ?, 5000, 4000, 1000, NULL)", (NOW,))
        store.connection.execute("UPDATE state SET written = ?", (NOW,))
        before = store.read().totals
        store.close()
    assert before == {"alice": Total(1001, 5000, 4000, 1000, None)}
    stored = read_file(store.path)
    assert (stored.totals, stored.ceilings, stored.restart_state) == (before, {}, RestartState())
    assert stored.clock == TrustedClockState(NOW), "that is when it was last written"
    store = Store(tmp_path, "live")
    assert store.read().totals == before
    assert store.read().restart_state.last_work == ()
    store.write(Batch({}, before, RestartState((WORK,)), {"alice": Total(None, 9000, 4000, 1000, None)}))
    store.close()
    stored = read_file(store.path)
    assert (stored.totals, stored.restart_state) == (before, RestartState((WORK,)))
    assert stored.ceilings == {"alice": Total(1001, 9000, 4000, 1000, None)}


def test_a_step_that_fails_leaves_the_version_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path, "live")
    fill(store, NOW, 3)
    before = store.read().totals
    store.close()
    broken = (*schema.MIGRATIONS, ("UPDATE person SET allocated = 0", "INSERT INTO nowhere VALUES (1)"))
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", broken)
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            Store(tmp_path, "live")
    store = Store(tmp_path, "live")
    assert store.read().totals == before
    store.close()


def test_the_first_version_is_as_it_was_released() -> None:
    """A file out there has these tables: whoever changes them adds a step instead."""
    import hashlib

    digest = hashlib.sha256("\n".join(schema.MIGRATIONS[0]).encode()).hexdigest()
    assert digest[:16] == "602de1f63dc3eb56"


def test_the_file_is_opened_as_documented(store: Store) -> None:
    def pragma(name: str) -> Any:
        return store.connection.execute(f"PRAGMA {name}").fetchone()[0]

    full, incremental = 2, 2
    assert (pragma("journal_mode"), pragma("synchronous"), pragma("auto_vacuum")) == ("wal", full, incremental)
    assert (pragma("application_id"), pragma("user_version")) == (schema.APPLICATIONS["live"], len(schema.MIGRATIONS))


# --- Reports -------------------------------------------------------------------------------------------------


def test_a_report_sums_what_begins_in_the_time(store: Store) -> None:
    start = midnight(NOW) - 60 * DAY
    fill(store, start, 60 * 24, environments=5)
    everything = allocated(store.path) / 1000
    far = datetime.fromtimestamp(start - DAY, timezone.utc), datetime.fromtimestamp(NOW + DAY, timezone.utc)
    by = {name: make_report(store.path, *far, name).rows for name in ("user", "environment", "device")}
    apply_retention(store.connection, NOW, 35 * DAY, 400 * DAY, lambda: True)
    for name, rows in by.items():
        assert sum(row.allocated_seconds for row in rows) == pytest.approx(everything)
        assert make_report(store.path, *far, name).rows == rows, "days say what hours said"
        assert [row.allocated_seconds for row in rows] == sorted((r.allocated_seconds for r in rows), reverse=True)
    assert {row.labels[0] for row in by["user"]} == {"u0", "u1"}
    middle = datetime.fromtimestamp(NOW - 3 * DAY - 1234, timezone.utc)
    halves = [
        make_report(store.path, far[0], middle, "user").rows,
        make_report(store.path, middle, far[1], "user").rows,
    ]
    assert sum(row.allocated_seconds for half in halves for row in half) == pytest.approx(everything)


def test_of_no_time_none_is_active_and_none_idle(store: Store) -> None:
    """As of somebody who works outside of environments; of a time it may not be known."""
    pending = begun()
    pending.add({(Consumer("alice"), GPU): Usage(energy=5000), (Consumer("bob", "1"), GPU): Usage(1000)}, NOW)
    write(store, pending)
    begins, ends = (datetime.fromtimestamp(moment, timezone.utc) for moment in (NOW, NOW + HOUR))
    for by in ("user", "environment"):
        bob, alice = make_report(store.path, begins, ends, by).rows
        assert (alice.allocated_seconds, alice.active_seconds, alice.idle_seconds, alice.energy_joules) == (0, 0, 0, 5)
        assert (bob.allocated_seconds, bob.active_seconds, bob.idle_seconds, bob.energy_joules) == (1, None, None, None)


def test_an_hour_counts_for_the_time_in_which_it_begins(store: Store) -> None:
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


def test_the_configuration_and_the_ledger_agree(tmp_path: Path) -> None:
    settings = configuration.Config(ledger_directory=tmp_path)
    ledger = Ledger(settings, "live")
    threads = [thread for thread in threading.enumerate() if thread.name == "ledger"]
    assert len(threads) == 1
    ledger.stop()
    assert ledger.wait(10)
