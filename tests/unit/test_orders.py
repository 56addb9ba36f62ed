"""In what order things are shown: what matters most first, and the same each time."""

from __future__ import annotations

from genvd.model.facts import Context, ProcessOwner
from genvd.overview import Overview, overview
from genvd.terminal.style import render_line
from genvd.terminal.view import Frame, build_view
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


def shown() -> Overview:
    """Return a machine on which somebody has more memory than was asked for."""
    limits = {"greedy": 4 * GIB}
    users = {"busy": {"uid": BOB, "username": "bob"}}
    environments = tuple(
        environment(eid, (0,), gpu_memory_bytes=limits.get(eid), name=f"of-{eid}", **users.get(eid, {})) for eid in MADE
    )
    contexts = tuple(Context(pid, 0, size * GIB, utilization=share) for pid, (_, _, size, share) in RUNNING.items())
    owners = {pid: ProcessOwner(uid, eid, f"program-{pid}") for pid, (eid, uid, _, _) in RUNNING.items()}
    return overview(inhabited((device(0),), environments, contexts, owners))


def rows(overview: Overview, *names: str) -> list[str]:
    """Return these names in the order of the lines that begin with them in the terminal view."""
    lines = (
        render_line(line, None, colors=False).split() for line in build_view(overview, Frame(overview.timestamp)).lines
    )
    return [words[0] for words in lines if words and words[0] in names]


def test_top_shows_first_the_environments_that_break_rules_and_then_those_that_do_most() -> None:
    names = [f"of-{eid}" for eid in MADE]
    assert rows(shown(), *names) == ["of-greedy", "of-even", "of-busy", "of-calm"]


def test_top_shows_first_the_processes_that_have_most_and_then_by_pid() -> None:
    assert rows(shown(), *map(str, RUNNING)) == ["101", "400", "100", "200", "300"]


def test_the_page_has_environments_as_genv_has_them_users_by_name_and_processes_by_pid() -> None:
    seen = shown()
    assert [row.eid for row in seen.environments or ()] == list(MADE)
    assert [row.username for row in seen.users or ()] == ["alice", "bob"]
    assert [row.pid for row in seen.processes or ()] == sorted(RUNNING)


def test_memory_of_a_device_is_shown_with_the_largest_part_first() -> None:
    (row,) = shown().devices or ()
    sizes = {name: size for name, _, size, _ in RUNNING.values()}
    parts = [(part.name, part.memory_bytes // GIB) for part in row.memory_by_environment or ()]
    assert parts[0] == ("of-greedy", 5)
    assert [size for _, size in parts] == sorted(sizes.values(), reverse=True)
    assert [(part.name, part.memory_bytes // GIB) for part in row.memory_by_user or ()] == [("alice", 12), ("bob", 5)]
