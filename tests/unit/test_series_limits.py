"""Which series are kept, and that nothing of the others is lost."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from genvd.metrics import GROUPS
from genvd.metrics.limits import Limits, SeriesLimiter
from genvd.metrics.metric import Metric
from genvd.model.snapshot import DeviceUse, Environment, Process, ServiceStatus, Snapshot, User
from tests.support.exported import exported

MANY = 10_000
NOTHING = Snapshot(0.0, ServiceStatus("1", "live", "3", "13"), environments=(), users=(), processes=())


def environment(eid: str, uid: int | None, pids: tuple[int, ...] = ()) -> Environment:
    return Environment(eid, uid, None, None, None, None, None, (0,), pids)


def process(pid: int, uid: int | None, eid: str = "") -> Process:
    return Process(pid, (DeviceUse(0, pid), DeviceUse(1, None)), eid, uid)


def user(name: str, uid: int) -> User:
    return User(name, ("e",), (0,), (), uid)


def snapshot(
    environments: tuple[Environment, ...] = (), users: tuple[User, ...] = (), processes: tuple[Process, ...] = ()
) -> Snapshot:
    return Snapshot(0.0, NOTHING.service, environments=environments, users=users, processes=processes)


def series(found: dict[str, list[tuple[Mapping[str, str], float]]], name: str) -> dict[tuple[str, ...], float]:
    return {tuple(labels.values()): value for labels, value in found.get(name, ())}


def test_within_the_limits_nothing_changes() -> None:
    machine = snapshot((environment("1", 1),), (user("a", 1),), (process(1, 1, "1"),))
    found = exported(machine, Limits(1, 1, 1))
    assert series(found, "genv_monitor_series_dropped") == {("environment",): 0, ("user",): 0, ("process",): 0}
    assert series(found, "genv_process_used_gpu_memory_bytes") == {("1", "1", "0"): 1}


def test_what_is_over_a_limit_is_summed() -> None:
    machine = snapshot(
        tuple(environment(str(number), 1, (number,) * number) for number in range(5)),
        tuple(user(f"u{number}", number) for number in range(5)),
        tuple(process(number, 1, "e") for number in range(1, 6)),
    )
    found = exported(machine, Limits(3, 2, 1), frozenset(GROUPS))
    assert series(found, "genv_environment_processes_total") == {("0",): 0, ("1",): 1, ("2",): 2, ("(other)",): 7}
    assert series(found, "genv_user_environments_total") == {("u0",): 1, ("u1",): 1, ("(other)",): 3}
    assert series(found, "genv_process_used_gpu_memory_bytes") == {
        ("1", "e", "0"): 1,
        ("(other)", "(other)", "0"): 14,
    }
    assert series(found, "genv_process_devices_total") == {("1", "e"): 2, ("(other)", "(other)"): 8}
    assert series(found, "genv_monitor_series_dropped") == {
        ("environment",): 2 * 2,
        ("user",): 3 * 3,
        ("process",): 4 + 4,
    }
    assert series(found, "genv_environments_total") == {(): 5}
    assert series(found, "genv_processes_total") == {(): 5}
    assert series(found, "genv_users_total") == {(): 5}


def test_a_limit_of_nothing() -> None:
    machine = snapshot((environment("1", 1, (4,)), environment("2", 2)))
    found = exported(machine, Limits(0, 0, 0))
    assert series(found, "genv_environment_processes_total") == {("(other)",): 1}


def test_what_cannot_be_added_is_left_out_and_counted() -> None:
    ratio = Metric("genv_x_ratio", "It is.", ("eid",), lambda s: [((e.eid,), 0.5) for e in s.environments or ()])
    left_out = Metric(ratio.name, ratio.help, ratio.labels, ratio.samples, summable=False)
    machine = snapshot(tuple(environment(str(number), 1) for number in range(4)))
    limiter = SeriesLimiter(machine, Limits(1, 1, 1))
    assert left_out.values(machine, limiter) == {("0",): 0.5}
    assert limiter.dropped["environment"] == 3


def test_a_row_about_no_entity_has_no_limit() -> None:
    row = Metric("genv_x", "It is.", ("index",), lambda s: [((number,), 1) for number in range(100)])
    assert len(row.values(NOTHING, SeriesLimiter(NOTHING, Limits(0, 0, 0)))) == 100


@pytest.mark.parametrize("attacker", [1, 50, 200, None])
def test_what_one_user_has_pushes_nobody_out(attacker: int | None) -> None:
    others = [(uid, number) for uid in range(2, 100) if uid != attacker for number in range(3)]
    machine = snapshot(
        tuple(
            [environment(f"0-{number:06}", attacker) for number in range(MANY)]
            + [environment(f"{uid}-{number}", uid) for uid, number in others]
        ),
        (),
        tuple(
            [process(100_000 + number, attacker) for number in range(MANY)]
            + [process(200_000 + 3 * uid + number, uid) for uid, number in others]
        ),
    )
    found = exported(machine, Limits(400, 400, 400))
    environments = series(found, "genv_environment_attached_devices_total")
    assert {(f"{uid}-{number}",) for uid, number in others} <= environments.keys()
    assert len(environments) == 401
    assert sum(environments.values()) == len(machine.environments or ())
    processes = series(found, "genv_process_devices_total")
    assert {(str(200_000 + 3 * uid + number), "") for uid, number in others} <= processes.keys()
    assert sum(processes.values()) == 2 * len(machine.processes or ())


def test_the_choice_does_not_depend_on_the_order() -> None:
    environments = tuple(environment(str(number), number % 7) for number in range(100))
    first, second = (
        series(exported(snapshot(some), Limits(10, 10, 10)), "genv_environment_attached_devices_total").keys()
        for some in (environments, environments[::-1])
    )
    assert first == second
    newcomer = (environment("zzz", 3),)
    with_one_more = exported(snapshot(environments + newcomer), Limits(10, 10, 10))
    assert series(with_one_more, "genv_environment_attached_devices_total").keys() == first
