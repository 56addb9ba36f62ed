"""Memory that a process left behind, and memory of processes that nobody can see."""

from __future__ import annotations

from dataclasses import replace

from genvd.analysis.orphan_memory import NEGLIGIBLE_BYTES, OrphanMemoryTracker
from genvd.model.device import Device
from genvd.model.snapshot import DeviceUse, Process, UnseenMemory

GIB = 2**30


def device(used: int, index: int = 0) -> Device:
    return Device(
        index, uuid=f"GPU-{index}", up=True, memory_used_bytes=used, memory_reserved_bytes=0, processes_listed=True
    )


def process(pid: int, memory: int, *, gone: bool = False) -> Process:
    return Process(pid, (DeviceUse(0, memory),), gone=gone)


class Machine:
    """One with processes in pid namespaces of their own."""

    def __init__(self) -> None:
        self._memory = OrphanMemoryTracker()

    def take(
        self, devices: list[Device], processes: tuple[Process, ...], live: frozenset[int] = frozenset()
    ) -> tuple[int, ...]:
        return tuple(one.device_index for one in self._memory.update(devices, processes, live, all_seen=False))


def test_memory_that_came_without_a_process_is_of_somebody_unseen() -> None:
    memory = Machine()
    assert memory.take([device(NEGLIGIBLE_BYTES)], ()) == ()
    assert memory.take([device(20 * GIB)], ()) == (0,)
    assert memory.take([device(20 * GIB + GIB), device(0, 1)], (process(1, GIB),)) == (0,), "beside one that is listed"


def test_where_all_processes_are_seen_memory_of_nobody_is_left_behind() -> None:
    assert OrphanMemoryTracker().update([device(20 * GIB)], (), frozenset(), all_seen=True) == ()


def test_memory_of_a_process_that_was_seen_to_end_is_left_behind() -> None:
    memory = Machine()
    assert memory.take([device(20 * GIB)], (process(1, 20 * GIB),)) == ()
    for _ in range(3):
        assert memory.take([device(20 * GIB)], ()) == ()
    assert memory.take([device(0)], ()) == ()
    assert memory.take([device(20 * GIB)], ()) == (0,), "what was freed since is not that any more"


def test_memory_of_an_ended_process_that_is_still_listed_is_left_behind() -> None:
    memory = Machine()
    assert memory.take([device(20 * GIB)], (process(1, 20 * GIB, gone=True),)) == ()
    assert memory.take([device(20 * GIB)], ()) == ()


def test_a_device_that_does_not_answer_for_a_while_forgets_nothing() -> None:
    memory = Machine()
    memory.take([device(20 * GIB)], (process(1, 20 * GIB),))
    assert memory.take([Device(0, uuid="GPU-0", up=False)], ()) == ()
    assert memory.take([device(20 * GIB)], ()) == ()


def test_a_process_that_is_listed_no_more_and_lives_is_unseen() -> None:
    memory = OrphanMemoryTracker()
    memory.update([device(20 * GIB)], (process(1, 20 * GIB),), frozenset(), all_seen=True)
    assert memory.unlisted_pids({1}) == frozenset()
    for _ in range(2):
        assert memory.unlisted_pids(frozenset()) == {1}
        assert memory.update([device(20 * GIB)], (), {1}, all_seen=True) == (UnseenMemory(0, 20 * GIB),)
    assert memory.update([device(20 * GIB)], (), frozenset(), all_seen=True) == (), "now it has ended"


def test_only_what_nobody_left_behind_is_unseen() -> None:
    memory = OrphanMemoryTracker()
    (unseen,) = memory.update([device(3 * GIB)], (process(1, GIB, gone=True),), frozenset(), all_seen=False)
    assert unseen == UnseenMemory(0, 2 * GIB)


def test_devices_with_one_uuid_are_told_apart() -> None:
    memory = Machine()
    same = [replace(device(8 * GIB), uuid="GPU-0"), replace(device(GIB, 1), uuid="GPU-0")]
    assert memory.take(same, (Process(1, (DeviceUse(1, GIB),)),)) == (0,)
    assert memory.take(same, ()) == (0,)
