"""Which time the ledger trusts when it deletes old data."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from genvd.ledger import retention, writer
from genvd.ledger.ledger import Ledger
from genvd.ledger.retention import DAY, apply_retention
from genvd.ledger.wall_clock import TrustedClock, TrustedClockState
from tests.support.ledger import NOW, allocated, config, snapshot
from tests.support.waiting import wait_for


def spend(clock: TrustedClock, begin: float, days: int, ahead: float, retention: float = 400 * DAY) -> list[float]:
    """Return by how much the trusted time is ahead of the right time, after each of so many days of counting."""
    moments = [begin + DAY * day for day in range(1, days + 1)]
    return [clock.now(moment, NOW + moment + ahead, retention) - NOW - moment for moment in moments]


@pytest.mark.parametrize("ahead", [600 * DAY, 20 * DAY, -20 * DAY, -20_000 * DAY])
def test_a_clock_that_jumps_is_not_trusted_for_a_week(ahead: float, caplog: pytest.LogCaptureFixture) -> None:
    """Restarts make no difference, and a corrected clock is trusted at once."""
    clock = TrustedClock(TrustedClockState(float(NOW)))
    assert clock.now(0.0, NOW, 400 * DAY) == NOW
    doubted = min(0.0, ahead)  # the earlier one of the two times deletes less
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


def test_the_clock_of_a_machine_that_was_off_for_days_is_trusted() -> None:
    assert spend(TrustedClock(TrustedClockState(float(NOW))), 0, 1, 5 * DAY) == [5 * DAY]
    (found,) = spend(TrustedClock(TrustedClockState(float(NOW))), 0, 1, 5 * DAY, retention=30 * DAY)
    assert found < 0, "five days are long compared with the retention"
    assert spend(TrustedClock(TrustedClockState()), 0, 1, 600 * DAY) == [600 * DAY], "a new ledger has no old data"


def test_a_clock_that_is_years_ahead_deletes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The retention runs several times a second here."""
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
        wait_for(lambda: ledger.record(machine) and len(seen) >= 3, "the retention has run")
    finally:
        ledger.stop()
        assert ledger.wait(10)
    assert allocated(tmp_path / "ledger.db", "hour") >= had
    assert all(abs(now - right()) < 60 for now in seen)
    assert caplog.text.count("600 days ahead") == 1
