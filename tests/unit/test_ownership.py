"""Whose an environment is; the same with real people and processes is in tests/integration/test_claims.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from genvd.analysis.claims import DUPLICATE, ENVIRONMENT_OWNER, PROCESS_ENVIRONMENT, RESERVED_NAME, USERNAME
from genvd.analysis.ownership import (
    MAX_MEMBERS,
    Membership,
    OwnedRecord,
    account_name,
    environment_of,
    memberships,
    owned_records,
    username,
    with_names_of_records,
)
from genvd.common.text import RESERVED
from genvd.model.facts import AccountFacts, EnvironmentRecord, GenvFacts, ProcessFacts, ProcessOwner

ROOT, ALICE, BOB, CAROL = 0, 1001, 1002, 1003
RECORD = EnvironmentRecord("e", ALICE, "alice", pids=(1, 2), kernel_ids=("k",))
ACCOUNTS = AccountFacts(
    {ROOT: "root", ALICE: "alice", BOB: "bob", 5000: None},
    {"bob": BOB, "alice": ALICE, "ally": ALICE, "nobody's": None, "root": ROOT},
)


def facts(
    uids: dict[int, int], kernels: tuple[int, ...] | None = None, logins: dict[int, int] | None = None
) -> ProcessFacts:
    kernel_uids = {} if kernels is None else {"k": frozenset(kernels)}
    return ProcessFacts({}, frozenset(uids), uids, logins or {}, kernel_uids)


def only(
    record: EnvironmentRecord, known: ProcessFacts, before: Membership | None = None
) -> tuple[OwnedRecord, list[str]]:
    owned, rejections = owned_records(GenvFacts((record,)), known, {record.eid: before} if before else {})
    (one,) = owned
    return one, [rejection.reason for rejection in rejections]


@pytest.mark.parametrize(
    ("known", "owner", "holds"),
    [
        (facts({1: ALICE}), ALICE, True),
        (facts({1: BOB, 2: ALICE}), ALICE, True),
        (facts({}, kernels=(ALICE,)), ALICE, True),
        (facts({}, kernels=(BOB, ALICE)), ALICE, True),
        (facts({}, kernels=()), ALICE, True),
        (facts({1: ROOT}, logins={1: ALICE}), ALICE, True),
        (facts({1: BOB}), BOB, False),
        (facts({1: BOB, 2: BOB}), BOB, False),
        (facts({1: BOB}, kernels=(CAROL,)), None, False),
        (facts({1: BOB, 2: CAROL}), None, False),
        (facts({1: BOB, 2: ROOT}), BOB, False),
        (facts({1: ROOT}), ROOT, False),
        (facts({1: ROOT}, logins={1: BOB}), ROOT, False),
        (facts({2: BOB, 99: ALICE}), BOB, False),
    ],
)
def test_the_owner_is_who_lives_in_it(known: ProcessFacts, owner: int | None, holds: bool) -> None:
    one, reasons = only(RECORD, known)
    assert (one.uid, one.holds) == (owner, holds)
    assert reasons == ([] if holds else [ENVIRONMENT_OWNER])


def test_who_is_confirmed_by_another_process_is_the_owner() -> None:
    confirmed = replace(facts({1: ROOT, 2: BOB}), confirmed=frozenset({("e", ALICE), ("other", CAROL)}))
    one, reasons = only(RECORD, confirmed)
    assert (one.uid, one.holds, one.pids, reasons) == (ALICE, True, frozenset(), [])
    assert one.members == {ALICE, BOB, ROOT}
    one, reasons = only(replace(RECORD, uid=CAROL), confirmed)
    assert (one.uid, one.pids, reasons) == (BOB, frozenset({2}), [ENVIRONMENT_OWNER])


def test_a_record_that_names_no_owner_claims_nothing() -> None:
    one, reasons = only(EnvironmentRecord("e", pids=(1,)), facts({1: BOB}))
    assert (one.uid, reasons) == (BOB, [])


def test_who_was_seen_in_it_stays_its_owner_while_it_lives() -> None:
    one, _ = only(RECORD, facts({1: ALICE, 2: BOB}))
    history = memberships([one])
    later, reasons = only(RECORD, facts({2: BOB}), history["e"])
    assert (later.uid, reasons) == (ALICE, [])
    assert later.members == {ALICE, BOB}
    assert memberships([later]) == history
    other, reasons = only(EnvironmentRecord("e", CAROL, pids=(2,)), facts({2: BOB}), history["e"])
    assert (other.uid, reasons) == (BOB, [ENVIRONMENT_OWNER])
    assert memberships([other]) == {}


def test_the_owner_is_found_among_however_many_processes_of_others() -> None:
    pids = tuple(range(1, 3 * MAX_MEMBERS))
    one, reasons = only(EnvironmentRecord("e", ALICE, pids=pids), facts({**dict.fromkeys(pids, BOB), pids[-1]: ALICE}))
    assert (one.uid, reasons) == (ALICE, [])


def test_only_so_many_are_remembered_who_have_left() -> None:
    one, history = None, None
    for first in range(1, 3 * MAX_MEMBERS, 500):
        pids = tuple(range(first, first + 500))
        uids = {**{pid: 10_000 + pid for pid in pids}, pids[0]: ALICE}
        one, _ = only(EnvironmentRecord("e", ALICE, pids=pids), facts(uids), history)
        history = memberships([one])["e"]
        assert one.uid == ALICE
        assert len(one.members) <= MAX_MEMBERS


def records(*uids: int) -> GenvFacts:
    return GenvFacts(tuple(EnvironmentRecord("e", uid, pids=(uid,)) for uid in uids))


@pytest.mark.parametrize(
    ("genv", "before", "owner"),
    [
        (records(BOB, ALICE), None, BOB),
        (records(BOB, ALICE), Membership(ALICE, frozenset({ALICE})), ALICE),
        (records(BOB, CAROL, ALICE), Membership(ALICE, frozenset({ALICE})), ALICE),
        (records(ALICE, BOB), Membership(ALICE, frozenset({ALICE})), ALICE),
        (GenvFacts((EnvironmentRecord("e", ALICE, pids=(BOB,)), *records(ALICE).environments)), None, ALICE),
    ],
)
def test_nobody_takes_an_identifier_over(genv: GenvFacts, before: Membership | None, owner: int) -> None:
    known = facts({ALICE: ALICE, BOB: BOB, CAROL: CAROL})
    owned, rejections = owned_records(genv, known, {"e": before} if before else {})
    assert [one.uid for one in owned] == [owner]
    assert [rejection.reason for rejection in rejections] == [DUPLICATE] * (len(genv.environments) - 1)
    assert len(set(rejections)) == len(rejections)


def owned_by(
    uid: int | None, claimed: str | None, *, holds: bool = True, logins: frozenset[int] = frozenset()
) -> OwnedRecord:
    return OwnedRecord(EnvironmentRecord("e", uid, claimed), uid, holds, frozenset(), logins)


@pytest.mark.parametrize(
    ("owned", "name", "reason"),
    [
        (owned_by(ALICE, "alice"), "alice", None),
        (owned_by(ALICE, "ally"), "ally", None),
        (owned_by(ALICE, None), "alice", None),
        (owned_by(BOB, None, holds=False), "bob", None),
        (owned_by(None, None, holds=False), None, None),
        (owned_by(5000, None), "5000", None),
        (owned_by(7000, None), None, None),
        (owned_by(ALICE, "bob"), "alice", USERNAME),
        (owned_by(ALICE, "nobody's"), "alice", USERNAME),
        (owned_by(ALICE, "not looked up"), "alice", None),
        (owned_by(ALICE, RESERVED), "alice", RESERVED_NAME),
        (owned_by(BOB, "alice", holds=False), "bob", None),
        (owned_by(None, "alice", holds=False), None, None),
        (owned_by(5000, "nobody's"), "nobody's", None),
        (owned_by(5000, "bob"), "5000", USERNAME),
        (owned_by(5000, RESERVED), "5000", RESERVED_NAME),
        (owned_by(ROOT, "nobody's"), "nobody's", None),
        (owned_by(ROOT, "alice"), "root", USERNAME),
        (owned_by(ROOT, "alice", logins=frozenset({ALICE})), "alice", None),
        (owned_by(ROOT, "bob", logins=frozenset({ALICE})), "root", USERNAME),
        (owned_by(BOB, "root"), "bob", USERNAME),
        (owned_by(7000, "unknown"), "unknown", None),
        (owned_by(7000, "unknown", holds=False), None, None),
    ],
)
def test_the_name_is_that_of_the_owner(owned: OwnedRecord, name: str | None, reason: str | None) -> None:
    found, rejection = username(owned, ACCOUNTS)
    assert (found, rejection and rejection.reason) == (name, reason)


def of(uid: int | None, name: str | None, *, holds: bool = True) -> OwnedRecord:
    return OwnedRecord(replace(RECORD, uid=uid, username=name), uid, holds, frozenset(), frozenset())


@pytest.mark.parametrize("answer", [{}, {ALICE: None}], ids=["no answer", "no account"])
def test_somebody_without_a_known_account_is_one_person(answer: dict[int, str | None]) -> None:
    """Within environments, whether their records name them or not, and outside."""
    accounts = AccountFacts({BOB: "bob", **answer}, {"bob": BOB, "robert": None, "alice": None})
    records = of(ALICE, "alice"), of(ALICE, None), of(BOB, "robert"), of(ROOT, "alice")
    found = with_names_of_records(records, accounts)
    assert found.names == {BOB: "bob", ALICE: "alice"}
    assert [username(one, found)[0] for one in records[:3]] == ["alice", "alice", "bob"]


@pytest.mark.parametrize(
    "records",
    [
        (of(ALICE, "bob"),),
        (of(ALICE, RESERVED),),
        (of(ALICE, "alice", holds=False),),
        (of(ALICE, "alice"), of(ALICE, "ally")),
    ],
    ids=["of another uid", "nobody's", "not confirmed", "two names"],
)
def test_a_name_in_a_record_that_does_not_tell_who_it_is_is_nobody_elses(records: tuple[OwnedRecord, ...]) -> None:
    for answer in ({}, {ALICE: None}):
        accounts = AccountFacts({BOB: "bob", **answer}, {"bob": BOB, "alice": None, "ally": None})
        found = with_names_of_records(records, accounts)
        assert account_name(ALICE, found) == (str(ALICE) if answer else None)


def test_while_accounts_are_not_known_the_word_of_an_owner_stands() -> None:
    assert username(owned_by(ALICE, "alice"), None) == ("alice", None)
    assert username(owned_by(ALICE, "alice", holds=False), None) == (None, None)


@pytest.mark.parametrize(
    ("process", "counts"),
    [
        (ProcessOwner(ALICE, "e"), True),
        (ProcessOwner(BOB, "e"), False),
        (ProcessOwner(ROOT, "e"), True),
        (ProcessOwner(None, "e"), True),
        (ProcessOwner(700_000, "e", namespace_uid=ALICE), True),
        (ProcessOwner(700_000, "e", namespace_uid=BOB), False),
        (ProcessOwner(700_000, "e", namespace_uid=ROOT), True),
        (ProcessOwner(BOB, "e", login_uid=ALICE), True),
        (ProcessOwner(BOB, "e", login_uid=CAROL), False),
        (ProcessOwner(BOB, "e", login_uid=ROOT), False),
        (ProcessOwner(BOB, "e", ancestors=frozenset({9, 1})), True),
        (ProcessOwner(BOB, "e", ancestors=frozenset({1, 2})), False),
        (ProcessOwner(BOB, "not active"), True),
        (ProcessOwner(BOB, None), True),
    ],
)
def test_a_process_counts_where_its_user_lives(process: ProcessOwner, counts: bool) -> None:
    environment = OwnedRecord(RECORD, ALICE, True, frozenset({ALICE}), frozenset(), frozenset({9}))
    eid, rejection = environment_of(7, process, {"e": environment})
    assert eid == (process.eid if counts else None)
    assert (rejection and rejection.reason) == (None if counts else PROCESS_ENVIRONMENT)


def test_the_name_of_what_is_over_the_limits_is_nobodys() -> None:
    eid, rejection = environment_of(7, ProcessOwner(ALICE, RESERVED), {})
    assert (eid, rejection and rejection.reason) == (None, RESERVED_NAME)
    owned, rejections = owned_records(
        GenvFacts((EnvironmentRecord(RESERVED, ALICE, pids=(1,)),)), facts({1: ALICE}), {}
    )
    assert (owned, [rejection.reason for rejection in rejections]) == ((), [RESERVED_NAME])
