"""Totals that the counters show, and limits on how many consumers have amounts of their own."""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from genvd.common.text import RESERVED
from genvd.ledger.amounts import Consumer, Total, Usage
from genvd.ledger.ledger import Ledger
from genvd.ledger.pending import (
    MAX_ENVIRONMENTS,
    MAX_ENVIRONMENTS_PER_USER,
    MAX_USERS,
    ConsumerLimits,
    PendingUsage,
)
from genvd.ledger.pending import __doc__ as pending_documentation
from genvd.ledger.store import HOUR, Store, StoredState
from genvd.ledger.writer import WriterSettings
from genvd.metrics.limits import Limits
from genvd.model.snapshot import LedgerStatus, Snapshot, UserUsage
from tests.support.exported import exported
from tests.support.ledger import GPU, NOW, SERVICE, config, new_pending, snapshot, write


def test_counters_are_never_shown_above_the_ceilings_in_the_file(store: Store) -> None:
    """Otherwise a counter would go back when the monitor is killed, which Prometheus takes for a reset."""
    pending = new_pending()
    pending.add({(Consumer("alice", "1"), GPU): Usage(1000, 400, 600)}, NOW)
    assert pending.update_shown() == {"alice": Total(None, 0, 0, 0, None)}
    assert pending.capped, "there is no ceiling yet"
    write(store, pending, ticks=3)
    shown = []
    for _ in range(5):
        pending.add({(Consumer("alice", "1"), GPU): Usage(1000, 700, 300, 7)}, NOW)
        shown.append((pending.update_shown() or {})["alice"])
    # The ceilings could not foresee a higher active rate, nor that energy would become known.
    assert shown[1] == Total(None, 3000, 1600, 1200, 0)
    assert [one.allocated for one in shown] == [2000, 3000, 4000, 4000, 4000]
    assert pending.capped
    again = PendingUsage()
    again.load(store.read())
    (found,) = (again.update_shown() or {}).values()
    assert found.amounts == (4000, 1600, 2400, None, None), "a monitor that was killed continues from there"
    assert store.read().totals == {"alice": Total(None, 1000, 400, 600, None)}, "a report shows what was counted"
    write(store, pending)
    assert pending.update_shown() == store.read().totals == {"alice": Total(None, 6000, 3900, 2100, 35)}
    assert not pending.capped


def test_the_worked_example_in_the_docstring_of_pending_is_true(store: Store) -> None:
    ticks = WriterSettings(30, 0, 0, 10).ticks
    assert ticks == 5
    pending = new_pending()
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


def test_after_several_crashes_the_counters_are_ahead_only_once(store: Store) -> None:
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


def test_while_the_file_cannot_be_written_counters_have_no_ceiling_and_never_go_back(store: Store) -> None:
    pending = new_pending()
    use = {(Consumer("alice", "1"), GPU): Usage(1000, 1000, 0)}
    shown = []
    for step in range(12):
        pending.add(use, NOW)
        if step == 3:
            pending.set_ceilings(None)
        late = pending.take_batch() if step == 7 else None
        if late:  # the batch is written while ticks continue
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


def test_totals_are_unknown_until_the_file_is_read() -> None:
    pending = PendingUsage()
    pending.add({(Consumer("alice", "1"), GPU): Usage(1000)}, NOW)
    assert pending.update_shown() is None
    pending.load(StoredState({"bob": Total(1, 5), "alice": Total(2, 7)}))
    assert pending.update_shown() == {"bob": Total(1, 5), "alice": Total(2, 1007)}


def test_unknown_amounts_have_no_series() -> None:
    status = LedgerStatus((UserUsage("alice", 5.0), UserUsage("bob", 1.0, 0.0, 1.0, 2.5)), None, None)
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


def test_the_sum_of_users_over_the_limit_never_goes_back() -> None:
    """Users who appear later do not change who has series of their own."""
    last = 0.0
    for there in range(1, 8):
        users = tuple(UserUsage(f"u{9 - number}", 10.0 + there) for number in range(there))
        machine = Snapshot(0.0, SERVICE, ledger=LedgerStatus(users))
        series = exported(machine, Limits(0, 3, 0))
        samples = {labels["username"]: value for labels, value in series["genv_user_allocated_device_seconds_total"]}
        assert list(samples)[:3] == ["u9", "u8", "u7"][:there]
        assert samples.get(RESERVED, 0.0) >= last
        last = samples.get(RESERVED, 0.0)
        assert sum(samples.values()) == there * (10 + there)
        dropped = {labels["kind"]: value for labels, value in series["genv_monitor_series_dropped"]}
        assert dropped["user"] == max(0, there - 3)


def test_ten_thousand_environments_of_one_user_leave_room_for_others(tmp_path: Path) -> None:
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
    assert took < 2, "a tick must be fast"


def test_the_number_of_users_is_limited() -> None:
    pending = new_pending()
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


def test_the_first_environments_of_an_hour_keep_amounts_of_their_own() -> None:
    limits = ConsumerLimits()
    first = [Consumer("u", str(number)) for number in range(MAX_ENVIRONMENTS_PER_USER)]
    for _ in range(3):
        assert [limits.apply(one, 0, ("u",)) for one in first] == first
        assert limits.apply(Consumer("u", "late"), 0, ("u",)) == Consumer("u", RESERVED)
        assert limits.apply(Consumer("v", "1"), 0, ("u",)) == Consumer("v", "1")
    assert limits.apply(Consumer("u", "late"), HOUR, ("u",)) == Consumer("u", "late")


def test_pending_usage_is_limited_and_loses_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """For example if a disk fails for weeks."""
    monkeypatch.setattr("genvd.ledger.pending.MAX_PENDING", 300)
    pending = new_pending()
    uses = {(Consumer(f"u{n % 5}", str(n)), f"GPU-{n % 4}"): Usage(1000, 600, 400, 3) for n in range(40)}
    for hour in range(200):
        pending.add(uses, NOW + hour * HOUR)
    batch = pending.take_batch()
    assert len(batch.usages) <= 300 + len(uses)
    whole = Usage()
    for use in batch.usages.values():
        whole.add(use)
    assert (whole.allocated, whole.active, whole.idle, whole.energy) == (8_000_000, 4_800_000, 3_200_000, 24_000)
