"""How claims that do not hold are counted and told."""

from __future__ import annotations

import logging

import pytest

from genvd.analysis.claims import DUPLICATE, MALFORMED, MAX_TRACKED, REASONS, USERNAME, RejectedClaimCounter, Rejection


def totals(account: RejectedClaimCounter) -> dict[str, int]:
    return {one.reason: one.total for one in account.totals() if one.total}


def test_every_reason_is_there_from_the_start() -> None:
    assert {one.reason: one.total for one in RejectedClaimCounter().totals()} == dict.fromkeys(REASONS, 0)


def test_a_claim_is_counted_when_it_appears() -> None:
    account = RejectedClaimCounter()
    first, second = Rejection(USERNAME, ("1", "bob")), Rejection(DUPLICATE, ("1",))
    for _ in range(3):
        account.update([first], {})
    assert totals(account) == {USERNAME: 1}
    account.update([first, second, second], {})
    assert totals(account) == {USERNAME: 1, DUPLICATE: 1}
    account.update([], {})
    account.update([first], {})
    assert totals(account) == {USERNAME: 2, DUPLICATE: 1}


def test_what_cannot_be_told_apart_is_counted_when_there_is_more_of_it() -> None:
    account = RejectedClaimCounter()
    for number in (3, 3, 5, 0, 1):
        account.update([], {MALFORMED: number})
    assert totals(account) == {MALFORMED: 6}


def test_what_is_remembered_is_bounded() -> None:
    account = RejectedClaimCounter()
    for _ in range(3):
        account.update((Rejection(USERNAME, (number,)) for number in range(3 * MAX_TRACKED)), {})
    assert totals(account) == {USERNAME: MAX_TRACKED}


def test_the_log_is_not_for_everybody_to_fill(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    account = RejectedClaimCounter()
    for number in range(100):
        account.update([Rejection(USERNAME, (number, "a\nb"))], {MALFORMED: number})
    assert len(caplog.records) == 2
    assert all("\n" not in record.getMessage() for record in caplog.records)
    account.update([], {MALFORMED: 1})
    assert [record.getMessage().partition(";")[0] for record in caplog.records[2:]] == [
        f"no longer: {REASONS[USERNAME]}"
    ]
    for number in range(100):
        account.update([Rejection(USERNAME, (number,))] if number % 2 else [], {MALFORMED: number % 3})
    assert len(caplog.records) < 20
