"""Memory that a process left behind, and memory of unseen processes."""

from __future__ import annotations

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


class ContainerMachine:
    """A machine with processes that have their own pid namespaces."""

    def __init__(self) -> None:
        self._memory = OrphanMemoryTracker()

    def unseen(
        self, devices: list[Device], processes: tuple[Process, ...], live: frozenset[int] = frozenset()
    ) -> tuple[int, ...]:
        return tuple(one.device_index for one in self._memory.update(devices, processes, live, all_seen=False))


def test_memory_that_appears_without_a_process_may_belong_to_an_unseen_one() -> None:
    memory = ContainerMachine()
    assert memory.unseen([device(NEGLIGIBLE_BYTES)], ()) == ()
    assert memory.unseen([device(20 * GIB)], ()) == (0,)
    assert memory.unseen([device(20 * GIB + GIB), device(0, 1)], (process(1, GIB),)) == (0,), (
        "in addition to a listed process"
    )


def test_memory_without_a_process_is_left_behind_if_all_processes_are_seen() -> None:
    assert OrphanMemoryTracker().update([device(20 * GIB)], (), frozenset(), all_seen=True) == ()


def test_memory_of_a_process_that_ended_is_left_behind() -> None:
    memory = ContainerMachine()
    assert memory.unseen([device(20 * GIB)], (process(1, 20 * GIB),)) == ()
    for _ in range(3):
        assert memory.unseen([device(20 * GIB)], ()) == ()
    assert memory.unseen([device(0)], ()) == ()
    assert memory.unseen([device(20 * GIB)], ()) == (0,), "the memory that was left behind has been freed"


def test_memory_of_an_ended_process_that_is_still_listed_is_left_behind() -> None:
    memory = ContainerMachine()
    assert memory.unseen([device(20 * GIB)], (process(1, 20 * GIB, gone=True),)) == ()
    assert memory.unseen([device(20 * GIB)], ()) == ()


def test_nothing_is_forgotten_while_a_device_does_not_answer() -> None:
    memory = ContainerMachine()
    memory.unseen([device(20 * GIB)], (process(1, 20 * GIB),))
    assert memory.unseen([Device(0, uuid="GPU-0", up=False)], ()) == ()
    assert memory.unseen([device(20 * GIB)], ()) == ()


def test_a_live_process_that_is_no_longer_listed_is_unseen() -> None:
    memory = OrphanMemoryTracker()
    memory.update([device(20 * GIB)], (process(1, 20 * GIB),), frozenset(), all_seen=True)
    assert memory.unlisted_pids({1}) == frozenset()
    for _ in range(2):
        assert memory.unlisted_pids(frozenset()) == {1}
        assert memory.update([device(20 * GIB)], (), {1}, all_seen=True) == (UnseenMemory(0, 20 * GIB),)
    assert memory.update([device(20 * GIB)], (), frozenset(), all_seen=True) == (), "now it has ended"


def test_memory_that_was_left_behind_is_not_unseen() -> None:
    memory = OrphanMemoryTracker()
    (unseen,) = memory.update([device(3 * GIB)], (process(1, GIB, gone=True),), frozenset(), all_seen=False)
    assert unseen == UnseenMemory(0, 2 * GIB)


def test_devices_with_the_same_uuid_are_distinguished() -> None:
    memory = ContainerMachine()
    same = [device(8 * GIB)._replace(uuid="GPU-0"), device(GIB, 1)._replace(uuid="GPU-0")]
    assert memory.unseen(same, (Process(1, (DeviceUse(1, GIB),)),)) == (0,)
    assert memory.unseen(same, ()) == (0,)
