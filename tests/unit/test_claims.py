"""How rejected claims are counted and logged."""

from __future__ import annotations

import logging

import pytest

from genvd.analysis.claims import DUPLICATE, MALFORMED, MAX_TRACKED, REASONS, USERNAME, RejectedClaimCounter, Rejection


def totals(counter: RejectedClaimCounter) -> dict[str, int]:
    return {one.reason: one.total for one in counter.totals() if one.total}


def test_every_reason_is_exported_from_the_start() -> None:
    assert {one.reason: one.total for one in RejectedClaimCounter().totals()} == dict.fromkeys(REASONS, 0)


def test_a_claim_is_counted_when_it_appears() -> None:
    counter = RejectedClaimCounter()
    first, second = Rejection(USERNAME, ("1", "bob")), Rejection(DUPLICATE, ("1",))
    for _ in range(3):
        counter.update([first], {})
    assert totals(counter) == {USERNAME: 1}
    counter.update([first, second, second], {})
    assert totals(counter) == {USERNAME: 1, DUPLICATE: 1}
    counter.update([], {})
    counter.update([first], {})
    assert totals(counter) == {USERNAME: 2, DUPLICATE: 1}


def test_skipped_entries_are_counted_when_their_number_rises() -> None:
    counter = RejectedClaimCounter()
    for number in (3, 3, 5, 0, 1):
        counter.update([], {MALFORMED: number})
    assert totals(counter) == {MALFORMED: 6}


def test_the_number_of_tracked_claims_is_bounded() -> None:
    counter = RejectedClaimCounter()
    for _ in range(3):
        counter.update((Rejection(USERNAME, (number,)) for number in range(3 * MAX_TRACKED)), {})
    assert totals(counter) == {USERNAME: MAX_TRACKED}


def test_nobody_can_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    counter = RejectedClaimCounter()
    for number in range(100):
        counter.update([Rejection(USERNAME, (number, "a\nb"))], {MALFORMED: number})
    assert len(caplog.records) == 2
    assert all("\n" not in record.getMessage() for record in caplog.records)
    counter.update([], {MALFORMED: 1})
    assert [record.getMessage().partition(";")[0] for record in caplog.records[2:]] == [
        f"resolved: {REASONS[USERNAME]}"
    ]
    for number in range(100):
        counter.update([Rejection(USERNAME, (number,))] if number % 2 else [], {MALFORMED: number % 3})
    assert len(caplog.records) < 20
