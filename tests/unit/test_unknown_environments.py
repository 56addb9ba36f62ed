"""What is unknown of environments while the environment of a process is unknown."""

from __future__ import annotations

import pytest

from genvd.analysis import activity, join, policy
from genvd.analysis.ownership import OwnedRecord
from genvd.analysis.unknown_environments import NO_POSSIBLE_USE, PossibleUse, possible_use
from genvd.model.device import Device
from genvd.model.facts import AccountFacts, Attachment, Context, EnvironmentRecord, ProcessFacts, ProcessOwner
from genvd.model.snapshot import ServiceStatus, Snapshot

ALICE, BOB, NAMELESS = 1001, 1002, 70_001
ACCOUNTS = AccountFacts({ALICE: "alice", BOB: "bob", 0: "root", NAMELESS: None})


def owned(eid: str, uid: int) -> OwnedRecord:
    return OwnedRecord(EnvironmentRecord(eid, uid, "somebody"), uid, True, frozenset({uid}), frozenset())


OWNED = (owned("a", ALICE), owned("b", BOB))
ATTACHED = (Attachment("a", 0), Attachment("b", 1))
DEVICES = tuple(
    Device(index, uuid=f"GPU-{index}", up=True, processes_listed=True, utilization_percent=50) for index in range(3)
)


def machine(owner: ProcessOwner, *contexts: Context, gone: bool = False) -> tuple[Snapshot, PossibleUse]:
    """Return the machine with one process of a kind, and one of bob's in his environment on device 1."""
    facts = ProcessFacts(
        {7: owner, 8: ProcessOwner(BOB, "b")},
        gone=frozenset({7} if gone else ()),
    )
    processes, _ = join.processes((*contexts, Context(8, 1, 100, utilization=0.0)), facts, OWNED, ACCOUNTS)
    possible = possible_use(processes, facts, OWNED, ACCOUNTS)
    environments, _ = join.environments(OWNED, ATTACHED, processes, ACCOUNTS, possible)
    holdings = activity.holdings(environments, ATTACHED, processes, DEVICES, possible)
    environments = activity.add_activity(environments, ATTACHED, processes, DEVICES, possible_use=possible)
    service = ServiceStatus("1", "live", "3", "13")
    return Snapshot(
        0.0, service, devices=DEVICES, processes=processes, environments=environments, holdings=holdings
    ), possible


def unknown(uid: int | None, namespace_uid: int | None = None) -> ProcessOwner:
    return ProcessOwner(uid, None, namespace_uid=namespace_uid, environment_unknown="no_permission")


@pytest.mark.parametrize(
    ("owner", "eids"),
    [
        (unknown(ALICE), {"a"}),
        (unknown(BOB), {"b"}),
        (unknown(BOB, ALICE), {"a", "b"}),
        (unknown(0), {"a", "b"}),
        (unknown(NAMELESS), {"a", "b"}),
        (unknown(4711), {"a", "b"}),
        (unknown(None), {"a", "b"}),
        (ProcessOwner(ALICE), set()),
    ],
    ids=[
        "owner",
        "other",
        "container of the owner",
        "root",
        "no account",
        "not looked up",
        "no uid",
        "known to be outside",
    ],
)
def test_the_environments_that_a_process_may_belong_to(owner: ProcessOwner, eids: set[str]) -> None:
    _, possible = machine(owner, Context(7, 0, 10))
    assert possible.present == possible.computing == possible.working == {(eid, 0) for eid in eids}


def test_values_that_depend_on_an_unknown_process_are_unknown() -> None:
    seen, _ = machine(unknown(ALICE), Context(7, 0, 10, utilization=0.4), Context(7, 2, 10, utilization=0.0))
    a, b = seen.environments or ()
    assert [(use.memory_bytes, use.share) for use in a.uses or ()] == [(None, None)]
    assert [(use.memory_bytes, use.share) for use in b.uses or ()] == [(100, 0.0)], "bob's is his own"
    assert [holding.active for holding in seen.holdings or ()] == [None, False]
    broken = {(one.eid, rule): is_broken for one, rule, is_broken in policy.all_violations(seen)}
    assert broken == {("a", policy.UNATTACHED_DEVICE): None, ("b", policy.UNATTACHED_DEVICE): False}
    assert policy.unmanaged_by_user(seen) == {"alice": None, "bob": 0}
    assert policy.count_unknown_environments(seen)["no_permission"] == 1


def test_an_unknown_process_that_did_not_work_makes_no_environment_busy() -> None:
    seen, possible = machine(unknown(ALICE), Context(7, 0, 10, utilization=0.0))
    assert possible.working == frozenset()
    assert [holding.active for holding in seen.holdings or ()] == [False, False]


def test_an_ended_process_has_no_effect() -> None:
    seen, possible = machine(unknown(ALICE), Context(7, 0, 10), gone=True)
    assert possible == NO_POSSIBLE_USE
    assert policy.unmanaged_by_user(seen) == {"alice": 0, "bob": 0}
    assert not any(policy.count_unknown_environments(seen).values())
