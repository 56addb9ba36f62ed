"""The owner of an environment; the same with real people and processes is in tests/integration/test_claims.py."""

from __future__ import annotations

import pytest

from genvd.analysis.claims import DUPLICATE, ENVIRONMENT_OWNER, PROCESS_ENVIRONMENT, RESERVED_NAME, USERNAME
from genvd.analysis.ownership import (
    MAX_MEMBERS,
    Membership,
    OwnedRecord,
    account_name,
    add_record_names,
    memberships,
    resolve_environment,
    resolve_owners,
    resolve_username,
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
    record: EnvironmentRecord, known: ProcessFacts, previous: Membership | None = None
) -> tuple[OwnedRecord, list[str]]:
    owned, rejections = resolve_owners(GenvFacts((record,)), known, {record.eid: previous} if previous else {})
    (one,) = owned
    return one, [rejection.reason for rejection in rejections]


@pytest.mark.parametrize(
    ("known", "owner", "confirmed"),
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
def test_the_owner_is_the_user_whose_processes_are_in_it(
    known: ProcessFacts, owner: int | None, confirmed: bool
) -> None:
    one, reasons = only(RECORD, known)
    assert (one.uid, one.owner_confirmed) == (owner, confirmed)
    assert reasons == ([] if confirmed else [ENVIRONMENT_OWNER])


def test_the_owner_can_be_confirmed_by_another_process() -> None:
    confirmed = facts({1: ROOT, 2: BOB})._replace(confirmed=frozenset({("e", ALICE), ("other", CAROL)}))
    one, reasons = only(RECORD, confirmed)
    assert (one.uid, one.owner_confirmed, one.pids, reasons) == (ALICE, True, frozenset(), [])
    assert one.members == {ALICE, BOB, ROOT}
    one, reasons = only(RECORD._replace(uid=CAROL), confirmed)
    assert (one.uid, one.pids, reasons) == (BOB, frozenset({2}), [ENVIRONMENT_OWNER])


def test_a_record_without_an_owner_is_not_rejected() -> None:
    one, reasons = only(EnvironmentRecord("e", pids=(1,)), facts({1: BOB}))
    assert (one.uid, reasons) == (BOB, [])


def test_a_confirmed_owner_stays_the_owner_while_the_environment_is_active() -> None:
    one, _ = only(RECORD, facts({1: ALICE, 2: BOB}))
    history = memberships([one])
    later, reasons = only(RECORD, facts({2: BOB}), history["e"])
    assert (later.uid, reasons) == (ALICE, [])
    assert later.members == {ALICE, BOB}
    assert memberships([later]) == history
    other, reasons = only(EnvironmentRecord("e", CAROL, pids=(2,)), facts({2: BOB}), history["e"])
    assert (other.uid, reasons) == (BOB, [ENVIRONMENT_OWNER])
    assert memberships([other]) == {}


def test_the_owner_is_found_among_many_processes_of_others() -> None:
    pids = tuple(range(1, 3 * MAX_MEMBERS))
    one, reasons = only(EnvironmentRecord("e", ALICE, pids=pids), facts({**dict.fromkeys(pids, BOB), pids[-1]: ALICE}))
    assert (one.uid, reasons) == (ALICE, [])


def test_the_number_of_remembered_members_is_bounded() -> None:
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
    ("genv", "previous", "owner"),
    [
        (records(BOB, ALICE), None, BOB),
        (records(BOB, ALICE), Membership(ALICE, frozenset({ALICE})), ALICE),
        (records(BOB, CAROL, ALICE), Membership(ALICE, frozenset({ALICE})), ALICE),
        (records(ALICE, BOB), Membership(ALICE, frozenset({ALICE})), ALICE),
        (GenvFacts((EnvironmentRecord("e", ALICE, pids=(BOB,)), *records(ALICE).environments)), None, ALICE),
    ],
)
def test_nobody_can_take_over_the_eid_of_an_active_environment(
    genv: GenvFacts, previous: Membership | None, owner: int
) -> None:
    known = facts({ALICE: ALICE, BOB: BOB, CAROL: CAROL})
    owned, rejections = resolve_owners(genv, known, {"e": previous} if previous else {})
    assert [one.uid for one in owned] == [owner]
    assert [rejection.reason for rejection in rejections] == [DUPLICATE] * (len(genv.environments) - 1)
    assert len(set(rejections)) == len(rejections)


def owned_by(
    uid: int | None, claimed: str | None, *, confirmed: bool = True, logins: frozenset[int] = frozenset()
) -> OwnedRecord:
    return OwnedRecord(EnvironmentRecord("e", uid, claimed), uid, confirmed, frozenset(), logins)


@pytest.mark.parametrize(
    ("owned", "name", "reason"),
    [
        (owned_by(ALICE, "alice"), "alice", None),
        (owned_by(ALICE, "ally"), "ally", None),
        (owned_by(ALICE, None), "alice", None),
        (owned_by(BOB, None, confirmed=False), "bob", None),
        (owned_by(None, None, confirmed=False), None, None),
        (owned_by(5000, None), "5000", None),
        (owned_by(7000, None), None, None),
        (owned_by(ALICE, "bob"), "alice", USERNAME),
        (owned_by(ALICE, "nobody's"), "alice", USERNAME),
        (owned_by(ALICE, "not looked up"), "alice", None),
        (owned_by(ALICE, RESERVED), "alice", RESERVED_NAME),
        (owned_by(BOB, "alice", confirmed=False), "bob", None),
        (owned_by(None, "alice", confirmed=False), None, None),
        (owned_by(5000, "nobody's"), "nobody's", None),
        (owned_by(5000, "bob"), "5000", USERNAME),
        (owned_by(5000, RESERVED), "5000", RESERVED_NAME),
        (owned_by(ROOT, "nobody's"), "nobody's", None),
        (owned_by(ROOT, "alice"), "root", USERNAME),
        (owned_by(ROOT, "alice", logins=frozenset({ALICE})), "alice", None),
        (owned_by(ROOT, "bob", logins=frozenset({ALICE})), "root", USERNAME),
        (owned_by(BOB, "root"), "bob", USERNAME),
        (owned_by(7000, "unknown"), "unknown", None),
        (owned_by(7000, "unknown", confirmed=False), None, None),
    ],
)
def test_the_username_is_that_of_the_owner(owned: OwnedRecord, name: str | None, reason: str | None) -> None:
    found, rejection = resolve_username(owned, ACCOUNTS)
    assert (found, rejection and rejection.reason) == (name, reason)


def of(uid: int | None, name: str | None, *, confirmed: bool = True) -> OwnedRecord:
    return OwnedRecord(RECORD._replace(uid=uid, username=name), uid, confirmed, frozenset(), frozenset())


@pytest.mark.parametrize("answer", [{}, {ALICE: None}], ids=["no answer", "no account"])
def test_a_user_without_a_known_account_has_one_name(answer: dict[int, str | None]) -> None:
    """Inside environments, whether or not their records have a username, and outside."""
    accounts = AccountFacts({BOB: "bob", **answer}, {"bob": BOB, "robert": None, "alice": None})
    records = of(ALICE, "alice"), of(ALICE, None), of(BOB, "robert"), of(ROOT, "alice")
    found = add_record_names(records, accounts)
    assert found.names == {BOB: "bob", ALICE: "alice"}
    assert [resolve_username(one, found)[0] for one in records[:3]] == ["alice", "alice", "bob"]


@pytest.mark.parametrize(
    "records",
    [
        (of(ALICE, "bob"),),
        (of(ALICE, RESERVED),),
        (of(ALICE, "alice", confirmed=False),),
        (of(ALICE, "alice"), of(ALICE, "ally")),
    ],
    ids=["of another uid", "nobody's", "not confirmed", "two names"],
)
def test_a_record_name_is_not_used_where_it_is_ambiguous_or_unconfirmed(records: tuple[OwnedRecord, ...]) -> None:
    for answer in ({}, {ALICE: None}):
        accounts = AccountFacts({BOB: "bob", **answer}, {"bob": BOB, "alice": None, "ally": None})
        found = add_record_names(records, accounts)
        assert account_name(ALICE, found) == (str(ALICE) if answer else None)


def test_the_username_of_a_confirmed_record_is_used_while_accounts_are_unknown() -> None:
    assert resolve_username(owned_by(ALICE, "alice"), None) == ("alice", None)
    assert resolve_username(owned_by(ALICE, "alice", confirmed=False), None) == (None, None)


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
def test_a_process_counts_in_the_environment_of_which_its_user_is_a_member(process: ProcessOwner, counts: bool) -> None:
    environment = OwnedRecord(RECORD, ALICE, True, frozenset({ALICE}), frozenset(), frozenset({9}))
    eid, rejection = resolve_environment(7, process, {"e": environment})
    assert eid == (process.eid if counts else None)
    assert (rejection and rejection.reason) == (None if counts else PROCESS_ENVIRONMENT)


def test_the_reserved_name_is_rejected() -> None:
    eid, rejection = resolve_environment(7, ProcessOwner(ALICE, RESERVED), {})
    assert (eid, rejection and rejection.reason) == (None, RESERVED_NAME)
    owned, rejections = resolve_owners(
        GenvFacts((EnvironmentRecord(RESERVED, ALICE, pids=(1,)),)), facts({1: ALICE}), {}
    )
    assert (owned, [rejection.reason for rejection in rejections]) == ((), [RESERVED_NAME])
