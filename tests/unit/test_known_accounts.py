"""Account names while the name service has no answer."""

from __future__ import annotations

import pwd

import pytest

from genvd.analysis import known_accounts
from genvd.analysis.known_accounts import KnownAccounts
from genvd.analysis.restart_state import KnownAccount
from genvd.collectors.host import accounts as collector
from genvd.collectors.host.accounts import AccountCollector
from genvd.model.facts import AccountFacts, AccountRequest

ALICE, BOB, NOBODYS = 1001, 1002, 5000
REQUEST = AccountRequest(frozenset({ALICE, BOB, NOBODYS}), frozenset({(ALICE, "ally"), (NOBODYS, "bob")}))
KNOWN = AccountFacts({ALICE: "alice", BOB: "bob", NOBODYS: None}, {"ally": ALICE, "bob": BOB})


@pytest.mark.parametrize(
    "missing",
    [None, AccountFacts(), AccountFacts({ALICE: None, BOB: None, NOBODYS: None}, {"ally": None, "bob": None})],
)
def test_a_missing_answer_does_not_replace_a_known_one(missing: AccountFacts | None) -> None:
    known = KnownAccounts()
    assert known.update(missing, REQUEST).names.get(ALICE) is None
    assert known.update(KNOWN, REQUEST) == KNOWN
    for _ in range(2):
        assert known.update(missing, REQUEST) == KNOWN


def test_another_answer_replaces_a_known_one() -> None:
    known = KnownAccounts()
    known.update(KNOWN, REQUEST)
    new = AccountFacts({ALICE: "carol", BOB: None, NOBODYS: "nora"}, {"ally": BOB, "bob": None})
    assert known.update(new, REQUEST) == AccountFacts(
        {ALICE: "carol", BOB: "bob", NOBODYS: "nora"}, {"ally": BOB, "bob": BOB}
    )


def test_a_name_that_now_belongs_to_another_uid_is_forgotten() -> None:
    known = KnownAccounts()
    known.update(KNOWN, REQUEST)
    assert known.update(AccountFacts({ALICE: None, BOB: "alice"}), REQUEST).names[ALICE] is None
    assert known.update(None, REQUEST).names == {ALICE: None, BOB: "alice", NOBODYS: None}


def test_a_restart_while_the_name_service_is_unavailable_renames_nobody() -> None:
    before, after = KnownAccounts(), KnownAccounts()
    before.update(KNOWN, REQUEST)
    assert set(before.accounts) == {
        KnownAccount(ALICE, "alice", main=True),
        KnownAccount(BOB, "bob", main=True),
        KnownAccount(ALICE, "ally", main=False),
    }
    away = AccountFacts(dict.fromkeys((ALICE, BOB, NOBODYS)), {"ally": None, "bob": None})
    assert after.update(away, REQUEST).names[ALICE] is None, "the ledger is not read yet"
    after.restore(before.accounts)
    for _ in range(2):
        assert after.update(away, REQUEST) == KNOWN
    assert after.accounts == before.accounts, "so it can be restored again after the next restart"
    after = KnownAccounts()
    after.update(AccountFacts({ALICE: "alicia", BOB: None}), REQUEST)
    after.restore(before.accounts)
    assert after.update(None, REQUEST).names == {ALICE: "alicia", BOB: "bob"}, "a newer answer takes precedence"


def test_a_known_name_is_not_free_for_others_while_the_name_service_is_unavailable() -> None:
    known = KnownAccounts()
    known.update(AccountFacts({ALICE: "alice"}), AccountRequest(frozenset({ALICE})))
    claim = AccountRequest(frozenset({NOBODYS}), frozenset({(NOBODYS, "alice")}))
    assert known.update(AccountFacts({NOBODYS: None}, {"alice": None}), claim).uids == {"alice": ALICE}


def test_the_number_of_remembered_accounts_is_bounded_for_uids_with_and_without_a_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(known_accounts, "MAX_ACCOUNTS", 3)
    known = KnownAccounts()
    known.update(KNOWN, REQUEST)
    nobodys = dict.fromkeys(range(6000, 6100))
    assert known.update(AccountFacts(nobodys), AccountRequest(frozenset(nobodys))).names == nobodys
    assert known.update(None, REQUEST).names == {ALICE: "alice", BOB: "bob"}
    people = {uid: f"user{uid}" for uid in range(6000, 6100)}
    known.update(AccountFacts(people), AccountRequest(frozenset(people)))
    assert known.update(None, REQUEST).names == {}


def test_an_account_that_the_name_service_does_not_find_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "CACHE_SECONDS", -1.0)
    accounts, known = AccountCollector(), KnownAccounts()
    request = AccountRequest(frozenset({0}))
    name = pwd.getpwuid(0).pw_name
    assert known.update(accounts.collect(request), request).names == {0: name}

    def away(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    with monkeypatch.context() as directory:
        directory.setattr(pwd, "getpwuid", away)
        assert accounts.collect(request).names == {0: None}
        assert known.update(accounts.collect(request), request).names == {0: name}
