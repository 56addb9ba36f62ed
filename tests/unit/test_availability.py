"""Which GPU is free: only what is known to be neither attached nor used."""

from __future__ import annotations

from typing import Any

import pytest

from genvd.analysis.availability import availability
from genvd.model.device import MigInstance
from genvd.model.facts import MigInstanceId
from genvd.model.snapshot import DeviceUse, MissingDevice, Process, Snapshot, UnseenMemory
from genvd.overview import overview
from genvd.overview.summary import summary
from tests.support.shown import GIB, device, environment, holding, machine

HOUR = 3600.0


def process(pid: int = 1, memory: int | None = GIB, **values: Any) -> Process:
    """Return a process of bob outside genv, which computes on GPU 0."""
    use = {name: values.pop(name) for name in ("computes", "type", "mig_places") if name in values}
    defaults: dict[str, Any] = {"uid": 1002, "username": "bob", "command": "python3"}
    return Process(pid, (DeviceUse(0, memory, **use),), **{**defaults, **values})


def held(*idle: float | None) -> Snapshot:
    """Return a machine whose GPU 0 is attached to environments that have not used it for so many seconds."""
    names = [f"e{number}" for number in range(len(idle))]
    return machine(
        devices=(device(0),),
        environments=tuple(
            environment(eid, (0,), idle_seconds=seconds) for eid, seconds in zip(names, idle, strict=True)
        ),
        holdings=tuple(holding(eid, 0, idle_seconds=seconds) for eid, seconds in zip(names, idle, strict=True)),
    )


def used_elsewhere(idle: float | None, environment_idle: float | None) -> Snapshot:
    """Return a machine whose GPU 0 an environment has not used, which was idle for another time as a whole."""
    snapshot = held(idle)
    return snapshot._replace(environments=(environment("e0", (0, 1), idle_seconds=environment_idle),))


ALONE = machine(devices=(device(0),))
DESKTOP: dict[str, Any] = {"computes": False, "type": "graphics", "command": "Xorg", "uid": 0, "username": "root"}
EMPTY = device(0, mig_mode="enabled", mig_devices=0)
USED = device(0, memory_used_bytes=2 * GIB)
STATES: dict[str, tuple[Snapshot, str]] = {
    "nothing on it": (ALONE, "free"),
    "a process outside genv": (ALONE._replace(processes=(process(),)), "outside"),
    "a process that has ended": (ALONE._replace(processes=(process(gone=True),)), "free"),
    "memory of nobody": (ALONE._replace(devices=(USED,)), "unknown"),
    "memory of an ended process": (ALONE._replace(devices=(USED,), processes=(process(gone=True),)), "unknown"),
    "memory of an unseen process": (ALONE._replace(unseen_memory=(UnseenMemory(0, GIB),)), "unknown"),
    "a process that may be in an environment": (
        ALONE._replace(processes=(process(environment_unknown="unreadable"),)),
        "in_use",
    ),
    "a process of an environment without this GPU": (
        ALONE._replace(environments=(environment("e"),), processes=(process(eid="e"),)),
        "in_use",
    ),
    "a desktop": (ALONE._replace(processes=(process(memory=GIB // 4, **DESKTOP),)), "free"),
    "a program that draws": (ALONE._replace(processes=(process(memory=4 * GIB, **DESKTOP),)), "in_use"),
    "a desktop of unknown memory": (ALONE._replace(processes=(process(memory=None, **DESKTOP),)), "in_use"),
    "an MPS server without clients": (
        ALONE._replace(processes=(process(memory=GIB // 4, uid=0, command="nvidia-cuda-mps"),)),
        "free",
    ),
    "a program that has its name": (ALONE._replace(processes=(process(command="nvidia-cuda-mps"),)), "outside"),
    "attached": (held(0.0), "in_use"),
    "attached, it is unknown whether it works": (held(None), "in_use"),
    "attached, idle for less than the grace": (held(599.0), "in_use"),
    "attached and idle": (held(HOUR), "idle"),
    "attached to an idle and a working one": (held(HOUR, 0.0), "in_use"),
    "attached to one that works on others": (used_elsewhere(HOUR, environment_idle=0.0), "idle"),
    "attached to one of which the others are unknown": (used_elsewhere(HOUR, environment_idle=None), "idle"),
    "attached to an idle one a short time ago": (used_elsewhere(60.0, environment_idle=HOUR), "in_use"),
    "attached to an idle one, it is unknown here": (used_elsewhere(None, environment_idle=HOUR), "in_use"),
    "attached and idle, used outside genv": (held(HOUR)._replace(processes=(process(),)), "idle"),
    "attached, perhaps to more": (held(HOUR)._replace(holders_unknown=(0,)), "in_use"),
    "holders unknown": (ALONE._replace(holders_unknown=(0,)), "unknown"),
    "holders unknown, a process": (ALONE._replace(holders_unknown=(0,), processes=(process(),)), "in_use"),
    "environments unknown": (ALONE._replace(environments=None, holdings=None), "unknown"),
    "environments unknown, a process": (
        ALONE._replace(environments=None, holdings=None, processes=(process(),)),
        "in_use",
    ),
    "processes unknown": (ALONE._replace(processes=None), "unknown"),
    "processes not listed": (ALONE._replace(devices=(device(0, processes_listed=False),)), "unknown"),
    "attached, processes unknown": (held(None)._replace(processes=None), "in_use"),
    "it does not answer": (held(HOUR)._replace(devices=(device(0, up=False),)), "down"),
    "it is unknown whether it answers": (ALONE._replace(devices=(device(0, up=None),)), "unknown"),
    "in a container, memory uncounted": (
        ALONE._replace(sees_machine=False, devices=(device(0, memory_reserved_bytes=None),)),
        "unknown",
    ),
    "memory uncounted": (ALONE._replace(devices=(device(0, memory_reserved_bytes=None),)), "free"),
    "MIG mode without MIG devices": (ALONE._replace(devices=(EMPTY,)), "no_mig_devices"),
    "a process outside MIG devices": (ALONE._replace(devices=(EMPTY,), processes=(process(),)), "outside"),
    "MIG devices that an older service did not count": (
        ALONE._replace(devices=(EMPTY._replace(mig_devices=None),)),
        "free",
    ),
}


@pytest.mark.parametrize("case", STATES)
def test_the_state_of_a_gpu(case: str) -> None:
    snapshot, expected = STATES[case]
    (found,) = availability(snapshot) or ()
    assert found.state == expected
    assert found.idle_since == (snapshot.timestamp - HOUR if expected == "idle" else None)


def test_nothing_is_said_of_gpus_that_are_unknown() -> None:
    assert availability(machine(devices=None)) is None
    assert summary(machine(devices=None), None).text == "It is not known which GPUs are free"


def test_the_mig_devices_with_a_process_are_counted() -> None:
    instances = tuple(MigInstance(number, gpu_instance=number + 7, compute_instance=0) for number in range(3))
    mig = device(0, mig_mode="enabled", mig_instances=instances)
    on_two = process(mig_places=(MigInstanceId(7, 0), MigInstanceId(9, 0)))
    placeless = on_two._replace(uses=(DeviceUse(0, GIB),))
    for processes, expected in (((), 0), ((on_two,), 2), ((on_two, placeless), None), (None, None)):
        (found,) = availability(machine(devices=(mig,), processes=processes)) or ()
        assert found.mig_instances_used == expected


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"devices": ()}, "There are no GPUs"),
        ({"devices": (device(0),)}, "1 of 1 GPU is free: 0"),
        ({"devices": tuple(map(device, range(3)))}, "3 of 3 GPUs are free: 0, 1, 2"),
        ({"devices": (device(0, up=False), device(1))}, "1 of 2 GPUs is free: 1"),
        ({"devices": (device(0),), "processes": None}, "0 of 1 GPU is free; 1 not known"),
        ({"devices": (device(0),), "missing_devices": (MissingDevice(1, None, None),)}, "1 of 2 GPUs is free: 0"),
    ],
    ids=["none", "one", "all", "down", "unknown", "missing"],
)
def test_free_gpus_in_words(parts: dict[str, Any], expected: str) -> None:
    snapshot = machine(**parts)
    assert summary(snapshot, availability(snapshot)).text == expected


def test_people_are_those_who_hold_or_use_a_gpu() -> None:
    snapshot = held(0.0, HOUR)._replace(processes=(process(), process(2, **DESKTOP), process(3, gone=True)))
    assert _people(snapshot) == 2, "alice and bob, not the desktop of root"
    elsewhere = process(4, username="carol", environment_unknown="overwritten")
    assert _people(snapshot._replace(processes=(process(), elsewhere))) == 3, "whatever environment carol is in"


@pytest.mark.parametrize(
    "change",
    [
        {"processes": None},
        {"holders_unknown": (1,)},
        {"devices": (device(0, processes_listed=False),)},
        {"processes": (process(uid=None, username=None, environment_unknown="not_visible"),)},
    ],
    ids=["processes", "holders", "a process list", "whose process"],
)
def test_how_many_people_there_are_is_not_known_without(change: dict[str, Any]) -> None:
    assert _people(held(0.0)._replace(**change)) is None


def _people(snapshot: Snapshot) -> int | None:
    return summary(snapshot, availability(snapshot)).people


def test_a_desktop_is_not_who_uses_a_gpu() -> None:
    snapshot = ALONE._replace(processes=(process(1, **DESKTOP), process(2)))
    (row,) = overview(snapshot).devices or ()
    assert (row.people, row.people_total) == (("bob",), 1)
    assert [one.pid for one in row.running or ()] == [2, 1]
