"""Processes, environments and users of a Snapshot."""

from __future__ import annotations

import os

from genvd.analysis import join
from genvd.analysis.ownership import resolve_owners
from genvd.collectors.genv import state_parser
from genvd.common.text import decode
from genvd.model.facts import (
    AccountFacts,
    Attachment,
    Context,
    EnvironmentRecord,
    GenvFacts,
    ProcessFacts,
    ProcessOwner,
)
from genvd.model.snapshot import DeviceUse, Environment, Process


def facts(**eids: str | None) -> ProcessFacts:
    return ProcessFacts({int(pid[1:]): ProcessOwner(1001, eid) for pid, eid in eids.items()}, frozenset({1, 2}))


def test_unusual_eids_are_joined_unchanged() -> None:
    """The eid in the file and that in the variables of a process match; different eids never do."""
    texts = ["job\n1", "job\\n1", "job\\x0a1", "caf\udce9", "caf\\udce9", "caf\\xe9", "x" * 300, "x" * 301]
    entries = [{"eid": text, "uid": 1001, "username": text, "pids": [1]} for text in texts]
    genv = GenvFacts(state_parser.parse_environments({"envs": entries}))
    owners = {pid: ProcessOwner(1001, decode(os.fsencode(text))) for pid, text in enumerate(texts, 10)}
    known = ProcessFacts(owners, frozenset({1}), {1: 1001})
    owned, rejections = resolve_owners(genv, known, {})
    joined, more = join.processes([Context(pid, 0, 1) for pid in owners], known, owned)
    environments, _ = join.environments(owned, (), joined)
    assert (rejections, more) == ((), ())
    assert [environment.pids for environment in environments] == [(pid,) for pid in owners]
    assert len(join.users(environments)) == len(texts)


def test_contexts_of_one_process_are_joined() -> None:
    contexts = [Context(7, 1, 10), Context(7, 0, 5), Context(7, 1, 3), Context(8, 0, None), Context(8, 0, 4)]
    accounts = AccountFacts({1001: "alice"})
    assert join.processes(contexts, facts(p7="a"), (), accounts)[0] == (
        Process(7, (DeviceUse(0, 5), DeviceUse(1, 13)), "a", 1001, "alice"),
        Process(8, (DeviceUse(0, None),), environment_unknown="unreadable"),
    )


def test_memory_of_several_contexts_on_one_device_is_counted_once() -> None:
    contexts = [
        Context(7, 0, 10, utilization=0.2),
        Context(7, 0, 10, type="graphics", utilization=0.2, works_beside=True),
        Context(8, 0, None, type="mps"),
        Context(8, 0, 6, type="graphics"),
    ]
    both, client = join.processes(contexts, facts())[0]
    assert both.uses == (DeviceUse(0, 10, utilization=0.2, works_beside=True),)
    assert client.uses == (DeviceUse(0, 6, computes=False, type="mps"),)
    assert (both.compute_uses, client.compute_uses) == (both.uses, ())
    (only,) = join.processes([Context(9, 0, 1, utilization=0.0, works_beside=True)], facts())[0]
    assert only.uses == (DeviceUse(0, 1, utilization=0.0, works_beside=True),)


def environments(genv: GenvFacts, processes: tuple[Process, ...] | None = ()) -> dict[str, Environment]:
    live = ProcessFacts(live_pids=frozenset({1}), kernel_uids={"k": frozenset()})
    owned, _ = resolve_owners(genv, live, {})
    return {e.eid: e for e in join.environments(owned, genv.attachments, processes)[0]}


def test_an_environment_is_active_while_it_has_a_live_process_or_kernel() -> None:
    records = (
        EnvironmentRecord("shell", pids=(9, 1)),
        EnvironmentRecord("kernel", kernel_ids=("k",)),
        EnvironmentRecord("dead", pids=(9,), kernel_ids=("x",)),
        EnvironmentRecord("empty"),
    )
    assert list(environments(GenvFacts(environments=records))) == ["shell", "kernel"]


def test_the_first_active_of_several_environments_with_one_eid_wins() -> None:
    records = tuple(EnvironmentRecord("1", uid=uid, pids=(pid,)) for uid, pid in ((1, 9), (2, 1), (3, 1)))
    assert environments(GenvFacts(environments=records))["1"].uid == 2


def test_devices_and_processes_of_an_environment() -> None:
    genv = GenvFacts(
        environments=(EnvironmentRecord("a", pids=(1,)), EnvironmentRecord("b", pids=(1,))),
        attachments=(Attachment("a", 3), Attachment("a", 1), Attachment("a", 3), Attachment("dead", 0)),
    )
    use = (DeviceUse(0, 1),)
    graphics = (DeviceUse(0, 1, computes=False, type="graphics"),)
    found = environments(
        genv,
        (
            Process(5, use, "a"),
            Process(6, use, "dead"),
            Process(7, use),
            Process(8, use, "a"),
            Process(9, graphics, "a"),
        ),
    )
    assert (found["a"].device_indices, found["a"].pids) == ((1, 3), (5, 8))
    assert (found["b"].device_indices, found["b"].pids) == ((), ())
    assert join.attached_devices(found.values()) == (1, 3)
    assert environments(genv, None)["a"].pids is None


def environment(eid: str, username: str | None, devices: tuple[int, ...], pids: tuple[int, ...] | None) -> Environment:
    return Environment(eid, None, username, None, None, None, None, devices, pids)


def test_users_are_joined_from_their_environments() -> None:
    bob, alice = join.users(
        [
            environment("3", "bobby", (0,), (9,)),
            environment("1", "alice", (0, 1), (5,)),
            environment("2", "alice", (1, 2), (6, 7)),
            environment("4", None, (4,), (8,)),
        ]
    )[::-1]
    assert (alice.username, alice.eids, alice.device_indices, alice.pids) == ("alice", ("1", "2"), (0, 1, 2), (5, 6, 7))
    assert (bob.username, bob.eids, bob.device_indices, bob.pids) == ("bobby", ("3",), (0,), (9,))


def test_processes_of_a_user_are_unknown_while_gpu_processes_are_unknown() -> None:
    (user,) = join.users([environment("1", "alice", (0,), None)])
    assert user.pids is None
