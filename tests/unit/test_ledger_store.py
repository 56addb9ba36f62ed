"""The ledger's file: restart state, names, damage, versions and settings of SQLite."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from genvd.analysis.restart_state import DeviceWork, KnownAccount, LastWork, RestartState, SavedAttachment, SavedTime
from genvd.common.text import clean
from genvd.config import schema as configuration
from genvd.ledger import paths, schema
from genvd.ledger.amounts import Consumer, Total, Usage
from genvd.ledger.ledger import Ledger, load_restart_state
from genvd.ledger.pending import MAX_ENVIRONMENTS_PER_USER, PendingUsage
from genvd.ledger.report import Report, make_report
from genvd.ledger.retention import DAY, apply_retention
from genvd.ledger.store import Batch, Store, read_file
from genvd.ledger.wall_clock import TrustedClockState
from tests.support.ledger import NOW, config, fill, new_pending, snapshot, write

DEVICES = (DeviceWork(0, NOW - 60.25, NOW - 10.125), DeviceWork(1, NOW - 800.5, NOW - 10.125))
WORK = LastWork("1", 1001, NOW - 900.5, NOW - 60.25, NOW - 10.125, 5000.5, DEVICES)


def test_the_restart_state_replaces_the_previous_one(store: Store) -> None:
    pending = new_pending()
    other = LastWork("2", None, NOW, NOW, NOW, None, (DeviceWork(3, NOW, NOW),))
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
    before_restart = new_pending()
    before_restart.set_restart_state(restart_state)
    write(store, before_restart)
    pending.load(store.read())
    assert pending.take_restart_state() == restart_state
    assert pending.take_restart_state() is None, "it is returned once"
    write(store, pending)


def test_the_saved_restart_state_is_read_if_there_is_a_ledger(store: Store, tmp_path: Path) -> None:
    ledger = config(store.path.parent)
    assert load_restart_state(ledger) == RestartState()
    store.write(Batch({}, {}, RestartState((WORK,), boot_id="boot")))
    assert load_restart_state(ledger) == RestartState((WORK,), boot_id="boot")
    assert load_restart_state(replace(ledger, ledger_enabled=False)) is None
    assert load_restart_state(config(tmp_path / "nowhere")) is None
    for what in ("pipe", "text", "demo"):
        (tmp_path / what).mkdir()
    os.mkfifo(tmp_path / "pipe" / paths.FILE_NAME)
    (tmp_path / "text" / paths.FILE_NAME).write_text("no ledger " * 1000)
    schema.open_for_writing(tmp_path / "demo" / paths.FILE_NAME, "demo").close()
    for what in ("pipe", "text", "demo"):
        assert load_restart_state(config(tmp_path / what)) is None


def test_account_names_are_kept_until_other_accounts_have_them(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def rewrite(*now: tuple[int, str, bool]) -> Sequence[tuple[int, str, bool]]:
        people = tuple(KnownAccount(*one) for one in now)
        store.write(Batch({}, {}, RestartState(accounts=people)))
        return list(store.read().restart_state.accounts)

    assert rewrite((1, "alice", True), (2, "bob", True)) == [(1, "alice", True), (2, "bob", True)]
    assert rewrite() == [(1, "alice", True), (2, "bob", True)], "alice may appear again"
    assert rewrite((2, "bob", False), (1, "ally", False))[-1] == (2, "bob", True), "still the main name of that uid"
    assert rewrite((1, "bob", True), (2, "alice", True)) == [
        (2, "alice", True),
        (1, "ally", False),
        (1, "bob", True),
    ]
    monkeypatch.setattr("genvd.ledger.account_names.MAX_ACCOUNTS", 2)
    assert len(rewrite((3, "carol", True))) == 2
    apply_retention(store.connection, time.time() + 40 * DAY, 35 * DAY, 30 * DAY, lambda: True)
    assert store.read().restart_state.accounts == ()


def test_the_last_work_of_a_limited_number_of_environments_is_saved(store: Store) -> None:
    pending = new_pending()
    many = [LastWork(str(number), 1000, 1.0, float(number), float(number)) for number in range(10_000)]
    pending.set_restart_state(RestartState((*many, WORK)))
    write(store, pending)
    assert WORK in store.read().restart_state.last_work
    assert store.read().restart_state.last_work[:-1] == tuple(many[-MAX_ENVIRONMENTS_PER_USER:])


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
def test_any_name_can_be_stored(tmp_path: Path, name: str) -> None:
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


@pytest.mark.parametrize("label", ["20000101T000000Z", "20990101T000000Z"])
def test_the_latest_damaged_file_is_kept_whatever_the_clock_shows(tmp_path: Path, label: str) -> None:
    for number in range(5):
        (tmp_path / "ledger.db").write_text("damaged")
        paths.move_corrupt_file(tmp_path / "ledger.db", f"2026010{number}T000000Z")
    (tmp_path / "ledger.db").write_text("damaged")
    target = paths.move_corrupt_file(tmp_path / "ledger.db", label)
    assert target.exists()
    assert len(list(tmp_path.iterdir())) == 3


def test_a_file_of_an_older_version_is_upgraded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_file_of_the_first_version_is_read_without_an_upgrade_and_upgraded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a backup, or on a full disk: the counters must continue from its content."""
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
    assert stored.clock == TrustedClockState(NOW), "the time of the last write"
    store = Store(tmp_path, "live")
    assert store.read().totals == before
    assert store.read().restart_state.last_work == ()
    store.write(Batch({}, before, RestartState((WORK,)), {"alice": Total(None, 9000, 4000, 1000, None)}))
    store.close()
    stored = read_file(store.path)
    assert (stored.totals, stored.restart_state) == (before, RestartState((WORK,)))
    assert stored.ceilings == {"alice": Total(1001, 9000, 4000, 1000, None)}


@pytest.mark.parametrize("version", range(1, len(schema.MIGRATIONS) + 1))
def test_a_file_of_any_version_is_reported_and_upgraded_without_a_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    """Time outside environments and capacity are unknown in older files, and 0 is not unknown."""
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:version])
        old = Store(tmp_path, "live")
        person = "INSERT INTO person (id, username, uid, last, allocated, active, idle, energy)"
        old.connection.execute(f"{person} VALUES (1, 'alice', 1001, ?, 7000, 4000, 1000, 9)", (NOW,))
        old.connection.execute("INSERT INTO environment VALUES (1, 1, '7', -1, 'train', ?)", (NOW,))
        old.connection.execute("INSERT INTO device VALUES (1, 'GPU-0')")
        columns = (
            "start, environment, device, allocated, active, idle, energy, allocated_again, active_again, idle_again"
        )
        for table, start in (("hour", NOW), ("day", NOW - 40 * DAY)):
            amounts = (3500, 2000, 500, None, 100, 0, 100)
            statement = f"INSERT INTO {table} ({columns}) VALUES (?, 1, 1{', ?' * len(amounts)})"
            old.connection.execute(statement, (start, *amounts))
        old.close()

    def report() -> Report:
        since, until = (datetime.fromtimestamp(time, timezone.utc) for time in (NOW - 50 * DAY, NOW + DAY))
        return make_report(tmp_path / "ledger.db", since, until, "user")

    (row,) = report().rows
    assert row.amounts == (6.8, 4.0, 0.8, None, None)
    store = Store(tmp_path, "live")
    assert store.read().totals == {"alice": Total(1001, 7000, 4000, 1000, 9)}
    assert (report().rows, report().capacity) == ((row,), None)
    pending = new_pending()
    pending.load(store.read())
    usage = {(Consumer("alice"), "GPU-0"): Usage(outside=5000)}
    pending.add(usage, NOW, {"GPU-0": {"outside": 5000, "free": 1000}})
    write(store, pending)
    store.close()
    (row,) = report().rows
    assert row.amounts == (6.8, 4.0, 0.8, None, 5.0)
    assert (report().capacity or {})["outside"] == 5.0
    assert read_file(tmp_path / "ledger.db").totals["alice"].outside == 5000


def test_a_file_without_the_last_work_on_each_gpu_is_read(tmp_path: Path) -> None:
    """It has the same version: an older program may use the file in between."""
    store = Store(tmp_path, "live")
    store.write(Batch({}, {}, RestartState((WORK,))))
    store.connection.execute("DROP TABLE device_work")
    store.close()
    assert read_file(store.path).restart_state.last_work == (WORK._replace(devices=()),)
    store = Store(tmp_path, "live")
    store.write(Batch({}, {}, RestartState((WORK,))))
    store.close()
    assert read_file(store.path).restart_state.last_work == (WORK,)


def test_a_failed_migration_leaves_the_previous_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_the_first_migration_is_as_released() -> None:
    """Existing files have these tables. To change them, append a migration."""
    import hashlib

    digest = hashlib.sha256("\n".join(schema.MIGRATIONS[0]).encode()).hexdigest()
    assert digest[:16] == "602de1f63dc3eb56"


def test_the_file_is_opened_as_documented(store: Store) -> None:
    def pragma(name: str) -> Any:
        return store.connection.execute(f"PRAGMA {name}").fetchone()[0]

    full, incremental = 2, 2
    assert (pragma("journal_mode"), pragma("synchronous"), pragma("auto_vacuum")) == ("wal", full, incremental)
    assert (pragma("application_id"), pragma("user_version")) == (schema.APPLICATIONS["live"], len(schema.MIGRATIONS))


def test_a_ledger_with_the_default_configuration_starts(tmp_path: Path) -> None:
    settings = configuration.Config(ledger_directory=tmp_path)
    ledger = Ledger(settings, "live")
    threads = [thread for thread in threading.enumerate() if thread.name == "ledger"]
    assert len(threads) == 1
    ledger.stop()
    assert ledger.wait(10)
