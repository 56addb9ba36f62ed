"""In what order things are shown: what matters most first, and the same each time."""

from __future__ import annotations

from genvd.model.facts import Context, ProcessOwner
from genvd.model.snapshot import Snapshot
from genvd.overview import overview
from genvd.terminal.client import TimedSnapshot
from genvd.terminal.machine import machine_of
from genvd.terminal.tables import environments, processes
from tests.support.shown import GIB, device, environment, inhabited

ALICE, BOB = 1001, 1002

# By pid: the environment, the owner, GiB, and the share of the device's time.
RUNNING = {
    400: ("calm", ALICE, 4, 0.1),
    300: ("busy", BOB, 2, 0.9),
    200: ("even", ALICE, 3, 0.9),
    101: ("greedy", ALICE, 5, 0.0),
    100: (None, BOB, 3, 0.0),
}
MADE = ("calm", "busy", "even", "greedy")
"""In this order, which is that of nothing else."""


def shown() -> Snapshot:
    """Return a machine on which somebody has more memory than was asked for."""
    limits = {"greedy": 4 * GIB}
    users = {"busy": {"uid": BOB, "username": "bob"}}
    environments = tuple(
        environment(eid, (0,), gpu_memory_bytes=limits.get(eid), name=f"of-{eid}", **users.get(eid, {})) for eid in MADE
    )
    contexts = tuple(Context(pid, 0, size * GIB, utilization=share) for pid, (_, _, size, share) in RUNNING.items())
    owners = {pid: ProcessOwner(uid, eid, f"program-{pid}") for pid, (eid, uid, _, _) in RUNNING.items()}
    return inhabited((device(0),), environments, contexts, owners)


def test_top_shows_first_the_environments_that_break_rules_and_then_those_that_do_most() -> None:
    shown_first = environments(machine_of(TimedSnapshot(shown(), 0.0))).rows
    assert [row.eid for row in shown_first] == ["greedy", "even", "busy", "calm"]


def test_top_shows_first_the_processes_that_have_most_and_then_by_pid() -> None:
    shown_first = processes(machine_of(TimedSnapshot(shown(), 0.0))).rows
    assert [row.pid for row in shown_first] == [101, 400, 100, 200, 300]


def test_the_page_has_environments_as_genv_has_them_users_by_name_and_processes_by_pid() -> None:
    seen = overview(shown())
    assert [row.eid for row in seen.environments or ()] == list(MADE)
    assert [row.username for row in seen.users or ()] == ["alice", "bob"]
    assert [row.pid for row in seen.processes or ()] == sorted(RUNNING)


def test_memory_of_a_device_is_shown_with_the_largest_part_first() -> None:
    (row,) = overview(shown()).devices or ()
    sizes = {name: size for name, _, size, _ in RUNNING.values()}
    parts = [(part.name, part.memory_bytes // GIB) for part in row.memory_by_environment or ()]
    assert parts[0] == ("of-greedy", 5)
    assert [size for _, size in parts] == sorted(sizes.values(), reverse=True)
    assert [(part.name, part.memory_bytes // GIB) for part in row.memory_by_user or ()] == [("alice", 12), ("bob", 5)]
