"""What is counted between two observations, and for whom."""

from __future__ import annotations

import random
from typing import Any

import pytest

from genvd.config.schema import Config
from genvd.ledger.accounting import UsageAccounting, share_energy
from genvd.ledger.amounts import CapacityState, Consumer, Total, Usage, UsageKey
from genvd.ledger.ledger import Ledger
from genvd.ledger.observation import EnergyReading, HeldDevice, Observation, OutsideUse, UnattachedWork, observe
from genvd.model.device import Device
from genvd.model.snapshot import DeviceUse, Environment, Holding, Process, ServiceStatus, Snapshot

ALICE, ALICE_2, BOB = Consumer("alice", "1"), Consumer("alice", "2"), Consumer("bob", "3")
LONGEST = 30.0


def held(
    consumer: Consumer, active: bool | None = None, share: float | None = None, device: str = "GPU-a"
) -> HeldDevice:
    return HeldDevice(consumer, device, active, share)


def counted(*observations: tuple[float, Observation]) -> dict[UsageKey, Usage]:
    accounting = UsageAccounting()
    total: dict[UsageKey, Usage] = {}
    for moment, observation in observations:
        for key, usage in accounting.count(observation, moment, LONGEST).items():
            total.setdefault(key, Usage()).add(usage)
    return total


def test_the_first_observation_has_amounts_of_zero() -> None:
    assert counted((100.0, Observation((held(ALICE, active=True),)))) == {(ALICE, "GPU-a"): Usage(0, 0, 0)}


def test_an_observation_counts_for_the_time_since_the_previous_one() -> None:
    usages = counted(
        (0.0, Observation((held(ALICE, True),))),
        (10.0, Observation((held(ALICE, True), held(BOB, False)))),
        (20.0, Observation((held(BOB, False),))),
        (25.5, Observation((held(BOB, True),))),
    )
    assert usages == {
        (ALICE, "GPU-a"): Usage(10_000, 10_000, 0),
        (BOB, "GPU-a"): Usage(25_500 - 10_000 + 10_000, 5500, 20_000),
    }


def test_the_worked_example_in_the_docstring_of_accounting_is_true() -> None:
    carol = Consumer("carol")

    def usages_for(shares: tuple[float | None, float | None], working: bool = True) -> dict[UsageKey, Usage]:
        holders = (held(ALICE, working, shares[0]), held(ALICE_2, False, 0.0), held(BOB, False, 0.0))
        outside = (UnattachedWork(carol, "GPU-a", shares[1]),) if shares[1] else ()
        uses = (OutsideUse(carol, "GPU-a"),) if shares[1] else ()
        before, after = (
            Observation(holders, outside, (EnergyReading("GPU-a", joules),), uses, frozenset({"GPU-a"}))
            for joules in (500.0, 500.0 + 4000.0)
        )
        return counted((0, before), (10, after))

    usages = usages_for((0.3, 0.1))
    assert usages == {
        (ALICE, "GPU-a"): Usage(10_000, 10_000, 0, 3_000_000, outside=0),
        (ALICE_2, "GPU-a"): Usage(10_000, 0, 10_000, 0, 10_000, 0, 10_000, 0),
        (BOB, "GPU-a"): Usage(10_000, 0, 10_000, 0, outside=0),
        (carol, "GPU-a"): Usage(0, None, None, 1_000_000, outside=10_000),
    }
    alice = Total()
    for one in (ALICE, ALICE_2):
        alice.add(usages[one, "GPU-a"])
    assert alice == Total(None, 10_000, 10_000, 0, 3_000_000, 0)

    without_shares = usages_for((None, None))
    assert [without_shares[one, "GPU-a"].energy for one in (ALICE, ALICE_2, BOB)] == [4_000_000, 0, 0]
    idle = usages_for((0.0, None), working=False)
    assert [idle[one, "GPU-a"].energy for one in (ALICE, ALICE_2, BOB)] == [1_333_333, 1_333_334, 1_333_333]
    assert share_energy(4_000_000, (), ()) == []


def test_a_user_who_computes_outside_has_the_gpu_once() -> None:
    """Not again with a second process, in another environment, or if the GPU is attached anyway; others count too."""
    holders = (held(ALICE, False),)
    outside = tuple(
        OutsideUse(consumer, device)
        for consumer, device in (
            (Consumer("alice"), "GPU-a"),
            (Consumer("alice"), "GPU-b"),
            (ALICE, "GPU-b"),
            (Consumer("carol"), "GPU-b"),
            (Consumer(""), "GPU-b"),
            (Consumer("", "9"), "GPU-b"),
        )
    )
    observation = Observation(holders, outside=outside)
    usages = counted((0, observation), (10, observation))
    totals: dict[str, Total] = {}
    for (consumer, _), usage in usages.items():
        totals.setdefault(consumer.username, Total()).add(usage)
    assert {name: (total.allocated, total.outside) for name, total in totals.items()} == {
        "alice": (10_000, 10_000),
        "carol": (0, 10_000),
        "": (0, 20_000),  # they may be different people
    }
    assert usages[Consumer("alice"), "GPU-a"].outside == usages[ALICE, "GPU-b"].outside == 10_000


def test_the_time_of_each_gpu_is_counted_once_by_its_state() -> None:
    accounting = UsageAccounting()
    ticks: tuple[tuple[float, tuple[tuple[str, CapacityState], ...]], ...] = (
        (0.0, (("GPU-a", "free"),)),
        (10.0, (("GPU-a", "active"), ("GPU-b", "unknown"))),
        (3610.0, (("GPU-b", "down"),)),
    )
    for moment, states in ticks:
        accounting.count(Observation(None, states=states), moment, LONGEST)
        if moment == 10:
            assert accounting.capacity == {"GPU-a": {"active": 10_000}, "GPU-b": {"unknown": 10_000}}
    assert accounting.capacity == {"GPU-b": {"down": 30_000}}


def test_unknown_use_is_neither_active_nor_idle() -> None:
    assert counted((0, Observation(())), (10, Observation((held(ALICE),)))) == {
        (ALICE, "GPU-a"): Usage(10_000, None, None)
    }
    usages = counted((0, Observation(())), (10, Observation((held(ALICE),))), (20, Observation((held(ALICE, True),))))
    assert usages == {(ALICE, "GPU-a"): Usage(20_000, 10_000, 0)}


def test_nothing_counts_while_holders_are_unknown() -> None:
    observation = Observation((held(ALICE, True),))
    assert counted((0, observation), (10, Observation(None)), (20, observation))[ALICE, "GPU-a"].allocated == 10_000


@pytest.mark.parametrize("gap", [30.001, 3600, 1e7])
def test_a_suspended_hour_counts_for_a_few_intervals_only(gap: float) -> None:
    observation = Observation((held(ALICE, True),), readings=(EnergyReading("GPU-a", 1000.0, 100.0),))
    later = Observation((held(ALICE, True),), readings=(EnergyReading("GPU-a", 1000.0 + 50 * gap),))
    use = counted((0, observation), (gap, later))[ALICE, "GPU-a"]
    assert (use.allocated, use.active) == (30_000, 30_000)
    assert use.energy == pytest.approx(50 * 30_000)  # at the average power


def test_a_clock_that_stops_or_goes_back_counts_nothing() -> None:
    observation = Observation((held(ALICE, True),), readings=(EnergyReading("GPU-a", 5.0, 100.0),))
    assert counted((10, observation), (10, observation), (4, observation)) == {(ALICE, "GPU-a"): Usage(0, 0, 0, 0)}


def test_time_is_neither_lost_nor_doubled_whatever_the_intervals() -> None:
    chance = random.Random(1)
    for _ in range(50):
        moments = [0.0]
        while moments[-1] < 500:
            moments.append(moments[-1] + chance.uniform(0.0001, 29))
        observation = Observation((held(ALICE, True, device="GPU-a"), held(BOB, False, device="GPU-b")))
        usages = counted(*((moment, observation) for moment in moments))
        assert usages[ALICE, "GPU-a"].active == int(moments[-1] * 1000)
        assert usages[BOB, "GPU-b"].idle == int(moments[-1] * 1000)


def test_random_machines_add_up() -> None:
    """Active plus idle is allocated; a user holds a GPU once; all energy is charged, and only once."""
    chance = random.Random(2)
    for _ in range(200):
        holders = [Consumer(f"u{n % 3}", str(n)) for n in range(6)]
        accounting, moment, before, joules, drawn = UsageAccounting(), 0.0, 0, 0.0, 0.0
        total: dict[UsageKey, Usage] = {}
        by_user: dict[str, int] = {}
        for tick in range(20):
            step, watts = chance.uniform(0.1, 20), chance.uniform(0, 700)
            moment, joules = moment + step, joules + watts * step
            observation = Observation(
                tuple(held(one, chance.random() < 0.5, chance.random()) for one in holders if chance.random() < 0.7),
                readings=(EnergyReading("GPU-a", joules),),
            )
            if tick and observation.held:
                drawn += watts * step
                for user in {one.consumer.username for one in observation.held}:
                    by_user[user] = by_user.get(user, 0) + int(moment * 1000) - before
            before = int(moment * 1000)
            for key, usage in accounting.count(observation, moment, LONGEST).items():
                total.setdefault(key, Usage()).add(usage)
        users = {name: Total() for name in by_user}
        for (consumer, _), usage in total.items():
            assert usage.allocated == (usage.active or 0) + (usage.idle or 0)
            users[consumer.username].add(usage)
        assert {name: one.allocated for name, one in users.items()} == by_user
        assert all(one.allocated == (one.active or 0) + (one.idle or 0) for one in users.values())
        assert sum(one.energy or 0 for one in users.values()) == pytest.approx(drawn * 1000, abs=20 + drawn * 2)


def test_a_user_holds_a_gpu_once() -> None:
    both = Observation((held(ALICE, False), held(ALICE_2, True), held(BOB, False)))
    usages = counted((0, both), (10, both))
    assert [usages[one, "GPU-a"].allocated for one in (ALICE, ALICE_2, BOB)] == [10_000] * 3
    total = Total()
    for one in (ALICE, ALICE_2):
        total.add(usages[one, "GPU-a"])
    assert (total.allocated, total.active, total.idle) == (10_000, 10_000, 0)
    bob = Total()
    bob.add(usages[BOB, "GPU-a"])
    assert (bob.allocated, bob.active, bob.idle) == (10_000, 0, 10_000)


def test_two_idle_environments_on_a_gpu_are_idle_once_for_the_user() -> None:
    both = Observation((held(ALICE, False), held(ALICE_2, False)))
    total = Total()
    for usage in counted((0, both), (10, both)).values():
        total.add(usage)
    assert (total.allocated, total.active, total.idle) == (10_000, 0, 10_000)


@pytest.mark.parametrize("after", [0.0, 500.0])
def test_a_reset_of_the_energy_counter_loses_no_earlier_energy(after: float) -> None:
    """The driver resets it when it is reloaded."""
    holders = (held(ALICE, True),)
    observations = [
        Observation(holders, readings=(EnergyReading("GPU-a", joules),))
        for joules in (1000.0, 2000.0, after, after + 300)
    ]
    use = counted(*zip((0, 10, 20, 30), observations, strict=True))[ALICE, "GPU-a"]
    assert use.energy == 1_000_000 + 300_000


def test_power_counts_if_there_is_no_energy_counter() -> None:
    observation = Observation((held(ALICE, True),), readings=(EnergyReading("GPU-a", None, 250.0),))
    assert counted((0, observation), (10, observation))[ALICE, "GPU-a"].energy == 2_500_000


def test_energy_counted_from_power_is_not_counted_again_from_the_counter() -> None:
    readings = (
        EnergyReading("GPU-a", 0, 100.0),
        EnergyReading("GPU-a", None, 100.0),
        EnergyReading("GPU-a", 2000, 100.0),
    )
    observations = [Observation((held(ALICE, True),), readings=(reading,)) for reading in readings]
    assert counted(*zip((0, 10, 20), observations, strict=True))[ALICE, "GPU-a"].energy == 2_000_000


@pytest.mark.parametrize("wrong", [1e15, float("nan"), float("inf"), -1.0])
def test_impossible_energy_is_not_counted(wrong: float) -> None:
    readings = [EnergyReading("GPU-a", 0.0, 0.0), EnergyReading("GPU-a", wrong, wrong)]
    observations = [Observation((held(ALICE, True),), readings=(reading,)) for reading in readings]
    assert counted((0, observations[0]), (10, observations[1]))[ALICE, "GPU-a"].energy == 0


def test_energy_that_is_unknown_for_a_while_is_counted_later() -> None:
    def read(joules: float | None) -> Observation:
        return Observation((held(ALICE, True),), readings=(EnergyReading("GPU-a", joules),))

    assert counted((0, read(0)), (10, read(None)), (20, read(2000)))[ALICE, "GPU-a"].energy == 2_000_000
    never = counted((0, read(None)), (10, read(None)))
    assert never[ALICE, "GPU-a"].energy is None


@pytest.mark.parametrize(
    ("holders", "outside", "expected"),
    [
        # Charged to those who work, by their shares.
        ([held(ALICE, True, 0.6), held(BOB, True, 0.2)], [], {ALICE: 750, BOB: 250}),
        ([held(ALICE, True, 0.01), held(BOB, False, 0.0)], [], {ALICE: 1000, BOB: 0}),
        ([held(ALICE, True, 0.01), held(BOB, None, None)], [], {ALICE: 1000}),
        # If nobody works, to those who hold the GPU.
        ([held(ALICE, False, 0.0), held(BOB, False, 0.0)], [], {ALICE: 500, BOB: 500}),
        ([held(ALICE), held(BOB)], [], {ALICE: 500, BOB: 500}),
        # Without shares, to those who work.
        (
            [held(ALICE, True, None), held(BOB, True, 0.5), held(ALICE_2, False, 0.0)],
            [],
            {ALICE: 500, BOB: 500, ALICE_2: 0},
        ),
        # Work outside genv is charged to its user; if the user is unknown, to nobody.
        (
            [held(ALICE, True, 0.5)],
            [UnattachedWork(Consumer("carol"), "GPU-a", 0.5)],
            {ALICE: 500, Consumer("carol"): 500},
        ),
        (
            [held(ALICE, False, 0.0)],
            [UnattachedWork(Consumer("carol"), "GPU-a", 0.5)],
            {ALICE: 0, Consumer("carol"): 1000},
        ),
        ([held(ALICE, False, 0.0)], [UnattachedWork(Consumer(""), "GPU-a", 0.5)], {ALICE: 0}),
        ([], [], {}),
    ],
)
def test_who_is_charged_for_the_energy(
    holders: list[HeldDevice], outside: list[UnattachedWork], expected: dict[Consumer, int]
) -> None:
    assert dict(share_energy(1000, holders, outside)) == expected


def test_parts_add_up_to_the_energy() -> None:
    chance = random.Random(3)
    for _ in range(500):
        holders = [held(Consumer("u", str(n)), True, chance.random()) for n in range(chance.randint(1, 40))]
        energy = chance.randint(0, 10**9)
        parts = share_energy(energy, holders, ())
        assert sum(part for _, part in parts) == energy
        assert all(part >= 0 for _, part in parts)


def test_an_observation_of_a_snapshot() -> None:
    environments = (
        Environment("7", 1001, "alice", "train\n", None, None, 1.7e9, (0, 5), ()),
        Environment("8", None, None, None, None, None, 1e300, (0,), ()),
    )
    snapshot = Snapshot(
        0.0,
        ServiceStatus("1", "live", "3", "13"),
        devices=(Device(0, "GPU-a"), Device(1)),
        environments=environments,
        processes=(
            Process(1, (DeviceUse(0, None, utilization=0.5),), "7", 1001, "alice"),
            Process(2, (DeviceUse(0, None, utilization=0.25), DeviceUse(1, None, utilization=1)), None, 1002, "bob"),
            Process(3, (DeviceUse(0, None, utilization=0.0),), None, 1003, "carol"),
        ),
        holdings=(
            Holding("7", 1001, "alice", 0, "GPU-a", True, 0.5, None),
            Holding("7", 1001, "alice", 5, None, None, None, None),
            Holding("8", None, None, 0, "GPU-a", None, float("nan"), None),
        ),
    )
    observation = observe(snapshot)
    assert observation.held == (
        HeldDevice(Consumer("alice", "7", 1_700_000_000, 1001, "train\\x0a"), "GPU-a", True, 0.5),
        HeldDevice(Consumer("", "8"), "GPU-a", None, None),
    )
    assert observation.held[0].consumer.name == "train\\x0a"
    bob = Consumer("bob", uid=1002)
    assert observation.unattached_work == (
        UnattachedWork(bob, "GPU-a", 0.25),
        UnattachedWork(bob, "device 1", 1),  # without a UUID
    )


def _process(pid: int, index: int, eid: str | None = None, username: str | None = "carol", **more: Any) -> Process:
    use = DeviceUse(index, 2**30, more.pop("computes", True), more.pop("type", "compute"))
    return Process(pid, (use,), eid, 1003, username, **more)


def _states(snapshot: Snapshot) -> list[str]:
    return [state for _, state in observe(snapshot).states]


DEVICES = tuple(Device(index, f"GPU-{index}", up=True, processes_listed=True) for index in range(4))
ENVIRONMENT = Environment("7", 1001, "alice", None, None, None, None, (0,), ())
HOLDING = Holding("7", 1001, "alice", 0, "GPU-0", True, 0.5, None)
MACHINE = Snapshot(
    0.0,
    ServiceStatus("1", "live", "3", "13"),
    devices=DEVICES,
    environments=(ENVIRONMENT,),
    processes=(
        _process(1, 0, "7", "alice"),
        _process(2, 1),
        _process(3, 1),
        _process(4, 2, "7", "alice"),
    ),
    holdings=(HOLDING,),
)


def test_who_computes_outside_is_seen() -> None:
    """In no environment, or on a GPU that the environment has not attached."""
    observation = observe(MACHINE)
    assert [(use.consumer.username, use.consumer.eid, use.device) for use in observation.outside] == [
        ("carol", "", "GPU-1"),
        ("alice", "7", "GPU-2"),
    ]
    assert observation.outside_known == {f"GPU-{index}" for index in range(4)}
    assert _states(MACHINE) == ["active", "outside", "outside", "free"]


@pytest.mark.parametrize(
    "process",
    [
        pytest.param(_process(2, 1, gone=True), id="it has ended"),
        pytest.param(_process(2, 1, environment_unknown="not_visible"), id="its environment is unknown"),
        pytest.param(_process(2, 1, computes=False, type="graphics"), id="it only draws"),
        pytest.param(Process(2, (DeviceUse(1, 1),), None, 0, "root", "nvidia-cuda-mps"), id="the server of MPS"),
    ],
)
def test_nobody_is_blamed_for(process: Process) -> None:
    assert observe(MACHINE._replace(processes=(process,))).outside == ()


@pytest.mark.parametrize(
    ("change", "states"),
    [
        pytest.param({"processes": None}, ["active", "unknown", "unknown", "unknown"], id="processes"),
        pytest.param({"environments": None, "holdings": None}, ["unknown"] * 4, id="environments"),
        pytest.param({"holders_unknown": (0, 1, 2, 3)}, ["unknown"] * 4, id="indices"),
        pytest.param(
            {"devices": tuple(one._replace(processes_listed=False) for one in DEVICES)},
            ["active", "unknown", "unknown", "unknown"],
            id="lists",
        ),
        pytest.param(
            {
                "environments": (ENVIRONMENT._replace(devices_known=False),),
                "processes": (_process(4, 2, "7", "alice"),),
            },
            ["active"],
            id="attachments",
        ),
        pytest.param({"devices": None}, [], id="GPUs"),
    ],
)
def test_what_is_not_known_counts_for_nobody(change: dict[str, Any], states: list[str]) -> None:
    observation = observe(MACHINE._replace(**change))
    assert observation.outside == ()
    found = [state for _, state in observation.states]
    assert found[: len(states)] == states
    assert "free" not in found[: len(states)]


def test_a_gpu_is_idle_only_if_all_its_holders_are() -> None:
    for workings, state in (((True, None), "active"), ((False, None), "attached"), ((False, False), "idle")):
        holdings = tuple(HOLDING._replace(eid="7", active=working) for working in workings)
        assert _states(MACHINE._replace(holdings=holdings, processes=()))[0] == state
    lost = MACHINE._replace(devices=(DEVICES[0]._replace(up=False),))
    assert _states(lost) == ["down"]


def test_each_active_environment_has_counters_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """They begin at 0 with the environment, also if it has the ID of an earlier one, and end with it."""
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr("time.monotonic", lambda: float(next(now)))
    ledger = Ledger(Config(), "live")

    def usages(machine: Snapshot) -> list[tuple[str, float, float | None]]:
        return [(one.eid, one.allocated_seconds, one.outside_seconds) for one in ledger.record(machine).environments]

    assert usages(MACHINE) == [("7", 0.0, 0.0)]
    assert usages(MACHINE) == [("7", 10.0, 10.0)]
    assert usages(MACHINE._replace(environments=None, holdings=None)) == [("7", 10.0, 10.0)]
    other = MACHINE._replace(environments=(ENVIRONMENT._replace(username="bob", created=1.7e9),), processes=())
    assert usages(other) == [("7", 0.0, 0.0)]
    assert usages(other) == [("7", 20.0, 0.0)]
    assert usages(MACHINE._replace(environments=(), holdings=(), processes=())) == []
