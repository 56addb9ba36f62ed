"""What to talk about with users, in numbers."""

from __future__ import annotations

import pytest

from genvd.model.facts import Context, ProcessOwner
from genvd.model.snapshot import EnvironmentUse
from genvd.overview.talks import memory_text, talks
from tests.support.shown import GIB, device, environment, holding, inhabited, machine

MIB = 2**20


def use(index: int, memory: float | None, least: float = 0) -> EnvironmentUse:
    amount = None if memory is None else int(memory * GIB)
    return EnvironmentUse(index, amount, None, True, True, least_memory_bytes=int(least * GIB))


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ([(use(0, 60), 37.3), (use(1, 60), 37.3)], "60.0 GiB on GPUs 0 and 1, asked for 37.3 each"),
        ([(use(0, 60), 37.3)], "60.0 GiB on GPU 0, asked for 37.3"),
        ([(use(0, 60), 37.3), (use(3, 45), 37.3)], "60.0 GiB on GPU 0 and 45.0 GiB on GPU 3, asked for 37.3 each"),
        ([(use(0, 60), 10), (use(1, 60), 20)], "60.0 GiB on GPU 0 (asked for 10.0 GiB), 60.0 GiB on GPU 1 (asked for"),
        ([(use(0, 1.01), 1)], "1.01 GiB on GPU 0, asked for 1.0"),
        ([(use(0, 2), 0.5)], "2.0 GiB on GPU 0, asked for 512 MiB"),
        ([(use(0, None, least=5), 1)], "5.0 GiB on GPU 0, asked for 1.0"),
        ([(use(0, 0.25), 0)], "256 MiB on GPU 0, asked for 0"),
    ],
    ids=["equal", "one", "different", "limits", "close", "small", "least", "nothing"],
)
def test_memory_above_the_limit_in_words(over: list[tuple[EnvironmentUse, float]], expected: str) -> None:
    assert memory_text([(use, int(limit * GIB)) for use, limit in over]).startswith(expected)


def test_it_says_whom_to_talk_to_the_longest_idle_first() -> None:
    environments = (
        environment("1", (0,), name="short", idle_seconds=700.0),
        environment("2", (1, 2), name="long", idle_seconds=9000.0, username="heidi"),
        environment("3", (3,), name="active", idle_seconds=599.0),
        environment("4", (), name=" ", gpu_memory_bytes=GIB),
        environment("5", (4,), name="many", gpus=0),
    )
    owners = {7: ProcessOwner(1001, "4", "python3"), **dict.fromkeys((8, 9), ProcessOwner(1002, None, "miner"))}
    contexts = (Context(7, 0, 2 * GIB), Context(8, 5, GIB), Context(9, 6, GIB))
    snapshot = inhabited(tuple(map(device, range(8))), environments, contexts, owners)
    snapshot = snapshot._replace(service=snapshot.service._replace(idle_grace_seconds=600.0))
    found = [(talk.username, talk.name, talk.text) for talk in talks(snapshot)]
    assert found == [
        ("heidi", "long", "holds GPUs 1 and 2 idle"),
        ("alice", "short", "holds GPU 0 idle"),
        ("alice", "4", "2.0 GiB on GPU 0, asked for 1.0"),
        ("alice", "4", "computes on GPU 0, not attached"),
        ("bob", "miner 8 and 1 more", "run on GPUs 5 and 6 outside genv"),
        ("alice", "many", "has 1 GPU attached, asked for 0"),
    ]
    assert talks(snapshot)[0].since == snapshot.timestamp - 9000


def test_who_works_on_some_gpus_and_holds_others_idle() -> None:
    hour = 3600.0
    snapshot = machine(
        devices=tuple(map(device, range(8, 17))),
        environments=(
            environment("four", tuple(range(8, 12)), idle_seconds=0.0),
            environment("five", (12, 13, 14, 15, 16)),
        ),
    )
    attached = snapshot.timestamp - 9 * hour
    idle = {8: 0.0, 9: 30.0, 10: 2 * hour, 11: 3 * hour}
    one = [holding("four", index, idle_seconds=seconds, attached=attached) for index, seconds in idle.items()]
    # 12 is idle; 13 was attached a minute ago; 14 is not known; 15 was used a minute ago; 16 has no time of attachment.
    times = {12: (hour, attached), 13: (60.0, snapshot.timestamp - 60), 14: (None, attached), 15: (60.0, attached)}
    two = [holding("five", index, idle_seconds=idle, attached=at) for index, (idle, at) in times.items()]
    snapshot = snapshot._replace(holdings=(*two, *one, holding("five", 16, idle_seconds=60.0)))
    found = [(talk.eid, talk.devices, talk.text, talk.also, talk.since) for talk in talks(snapshot)]
    assert found == [
        ("four", (10, 11), "holds GPUs 10 and 11 idle", "works on GPUs 8 and 9", snapshot.timestamp - 2 * hour),
        ("five", (12,), "holds GPU 12 idle", "works on GPUs 15 and 16", snapshot.timestamp - hour),
    ]
