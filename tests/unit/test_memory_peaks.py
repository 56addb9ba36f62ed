"""The peak memory of processes and environments."""

from __future__ import annotations

from dataclasses import replace

from genvd.analysis.memory_peaks import MemoryPeaks
from genvd.model.device import Device
from genvd.model.snapshot import DeviceUse, Environment, EnvironmentUse, Process

DEVICES = (Device(0, "GPU-a", processes_listed=True), Device(1, "GPU-b", processes_listed=True))


def process(*memory: int | None, pid: int = 7, started: float | None = 100.0) -> Process:
    return Process(pid, tuple(DeviceUse(index, amount) for index, amount in enumerate(memory)), started=started)


def peaks_of(processes: tuple[Process, ...] | None) -> list[list[int | None]]:
    assert processes is not None
    return [[use.peak_memory_bytes for use in one.uses] for one in processes]


def test_a_process_has_a_peak_on_each_device() -> None:
    peaks = MemoryPeaks()
    for now, highest in (((5, 1), [5, 1]), ((9, 0), [9, 1]), ((2, 3), [9, 3])):
        assert peaks_of(peaks.add_process_peaks((process(*now),), DEVICES)) == [highest]


def test_a_later_process_with_the_same_pid_starts_again() -> None:
    peaks = MemoryPeaks()
    peaks.add_process_peaks((process(9),), DEVICES)
    assert peaks_of(peaks.add_process_peaks((process(2, started=200.0),), DEVICES)) == [[2]]


def test_there_is_no_peak_without_a_start_time_or_memory() -> None:
    peaks = MemoryPeaks()
    assert peaks_of(peaks.add_process_peaks((process(9, started=None),), DEVICES)) == [[None]]
    peaks.add_process_peaks((process(9),), DEVICES)
    assert peaks_of(peaks.add_process_peaks((process(None),), DEVICES)) == [[None]]
    assert peaks_of(peaks.add_process_peaks((process(1),), DEVICES)) == [[9]]


def test_a_peak_belongs_to_the_device_not_to_its_index() -> None:
    peaks = MemoryPeaks()
    peaks.add_process_peaks((process(9),), DEVICES)
    moved = (replace(DEVICES[1], index=0), replace(DEVICES[0], index=1))
    assert peaks_of(peaks.add_process_peaks((process(1, 2),), moved)) == [[1, 9]]


def test_peaks_are_kept_while_a_device_does_not_answer() -> None:
    peaks = MemoryPeaks()
    peaks.add_process_peaks((process(9),), DEVICES)
    for _ in range(10):
        peaks.add_process_peaks((), (Device(0, "GPU-a", up=False), DEVICES[1]))
        assert peaks.add_process_peaks(None, None) is None
    assert peaks_of(peaks.add_process_peaks((process(1),), DEVICES)) == [[9]]


def test_ended_processes_are_forgotten() -> None:
    peaks = MemoryPeaks()
    for number in range(1000):
        peaks.add_process_peaks((process(9, pid=number + 1),), DEVICES)
    assert len(vars(peaks)["_processes"]) < 10
    for _ in range(3):
        peaks.add_process_peaks((), DEVICES)
    assert not vars(peaks)["_processes"]


def environment(*memory: int | None, eid: str = "a", created: float = 1.0) -> Environment:
    uses = tuple(
        EnvironmentUse(index, amount, None, attached=True, computes=True) for index, amount in enumerate(memory)
    )
    return Environment(eid, 1000, "alice", None, None, None, created, (0,), (), uses)


def environment_peaks(peaks: MemoryPeaks, *environments: Environment) -> list[list[int | None]]:
    values = peaks.add_environment_peaks(environments, DEVICES)
    return [[use.peak_memory_bytes for use in one.uses or ()] for one in values]


def test_the_peak_of_an_environment_is_the_highest_sum_of_its_processes() -> None:
    peaks = MemoryPeaks()
    assert environment_peaks(peaks, environment(0, 4)) == [[0, 4]]
    assert environment_peaks(peaks, environment(7, 3)) == [[7, 4]]
    assert environment_peaks(peaks, environment(1, 5), environment(2, eid="b")) == [[7, 5], [2]]


def test_an_environment_has_no_peak_while_its_memory_is_unknown() -> None:
    peaks = MemoryPeaks()
    environment_peaks(peaks, environment(7))
    assert environment_peaks(peaks, environment(None)) == [[None]]
    assert peaks.add_environment_peaks((replace(environment(), uses=None),), None)[0].uses is None
    assert environment_peaks(peaks, environment(1)) == [[7]]


def test_a_later_environment_with_the_same_eid_starts_again() -> None:
    peaks = MemoryPeaks()
    environment_peaks(peaks, environment(7))
    assert environment_peaks(peaks, environment(1, created=2.0)) == [[1]]
    environment_peaks(peaks)
    assert environment_peaks(peaks, environment(2)) == [[2]]
