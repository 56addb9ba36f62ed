"""The account collector."""

from __future__ import annotations

import pwd
import time

import pytest

from genvd.collectors.base import CollectorError
from genvd.collectors.host import accounts
from genvd.collectors.host.accounts import MAX_NAME_LOOKUPS, AccountCollector
from genvd.model.facts import AccountFacts, AccountRequest
from tests.support.scarcity import no_descriptors

ROOT = pwd.getpwuid(0).pw_name
NOBODYS = 4_000_321


def ask(collector: AccountCollector, *uids: int, claims: tuple[tuple[int, str], ...] = ()) -> AccountFacts:
    return collector.collect(AccountRequest(frozenset(uids), frozenset(claims)))


def test_names_of_uids() -> None:
    assert ask(AccountCollector(), 0, NOBODYS, 2**32 - 1).names == {0: ROOT, NOBODYS: None, 2**32 - 1: None}


def test_a_claimed_name_is_looked_up_only_if_it_differs() -> None:
    other = next(entry for entry in pwd.getpwall() if entry.pw_uid != 0)
    claims = ((0, ROOT), (0, other.pw_name), (NOBODYS, "no-such-account-here"), (NOBODYS, ROOT))
    found = ask(AccountCollector(), 0, NOBODYS, claims=claims)
    assert found.uids == {other.pw_name: other.pw_uid, "no-such-account-here": None, ROOT: 0}


@pytest.mark.parametrize("name", ["", "a:b", "a\nb", "a b", "x" * 300, "../x", "\ud800", "\0"])
def test_an_impossible_name_is_not_looked_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name != "\ud800":
        monkeypatch.setattr(pwd, "getpwnam", lambda _: pytest.fail("looked up"))
    assert ask(AccountCollector(), 0, claims=((0, name),)).uids == {name: None}


def test_results_are_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    collector = AccountCollector()
    ask(collector, 0, NOBODYS)
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: pwd.struct_passwd(["new"] * 7))
    assert ask(collector, 0, NOBODYS).names == {0: ROOT, NOBODYS: None}
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + accounts.CACHE_MISSING_SECONDS)
    assert ask(collector, 0, NOBODYS).names == {0: ROOT, NOBODYS: "new"}
    monkeypatch.setattr(time, "monotonic", lambda: now + accounts.CACHE_SECONDS)
    assert ask(collector, 0).names == {0: "new"}


def test_invented_names_are_looked_up_a_few_at_a_time() -> None:
    collector = AccountCollector()
    claims = tuple((0, f"made-up-{number}") for number in range(3 * MAX_NAME_LOOKUPS))
    assert [len(ask(collector, 0, claims=claims).uids) for _ in range(4)] == [
        MAX_NAME_LOOKUPS,
        2 * MAX_NAME_LOOKUPS,
        3 * MAX_NAME_LOOKUPS,
        3 * MAX_NAME_LOOKUPS,
    ]


def test_slow_lookups_postpone_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def slow(uid: int) -> pwd.struct_passwd:
        now[0] += 0.4
        return pwd.struct_passwd([str(uid)] * 7)

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(pwd, "getpwuid", slow)
    collector = AccountCollector()
    assert [len(ask(collector, *range(10)).names) for _ in range(4)] == [3, 6, 9, 10]


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "_MAX_CACHED", 10)
    collector = AccountCollector()
    for first in range(0, 100, 5):
        assert len(ask(collector, *range(first, first + 5)).names) == 5
    assert len(collector._names._entries) == 10


def test_without_descriptors_it_fails() -> None:
    collector = AccountCollector()
    with no_descriptors(), pytest.raises(CollectorError, match=r"^cannot be looked up: Too many open files; "):
        ask(collector, NOBODYS)
    assert ask(collector, NOBODYS).names == {NOBODYS: None}
