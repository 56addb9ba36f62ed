"""The peak memory of processes and environments."""

from __future__ import annotations

from genvd.analysis.memory_peaks import MemoryPeaks
from genvd.model.device import Device
from genvd.model.snapshot import Environment

DEVICES = (Device(0, "GPU-a", processes_listed=True), Device(1, "GPU-b", processes_listed=True))


def peaks_of(
    peaks: MemoryPeaks,
    *memory: int | None,
    pid: int = 7,
    started: float | None = 100.0,
    devices: tuple[Device, ...] = DEVICES,
) -> list[int | None]:
    """Return the peaks of a process that has this memory on the GPUs in the order of their indices."""
    with peaks.of_processes(devices) as peak_of:
        return [peak_of(pid, started, index, amount) for index, amount in enumerate(memory)]


def test_a_process_has_a_peak_on_each_device() -> None:
    peaks = MemoryPeaks()
    for now, highest in (((5, 1), [5, 1]), ((9, 0), [9, 1]), ((2, 3), [9, 3])):
        assert peaks_of(peaks, *now) == highest


def test_a_later_process_with_the_same_pid_starts_again() -> None:
    peaks = MemoryPeaks()
    peaks_of(peaks, 9)
    assert peaks_of(peaks, 2, started=200.0) == [2]


def test_there_is_no_peak_without_a_start_time_or_memory() -> None:
    peaks = MemoryPeaks()
    assert peaks_of(peaks, 9, started=None) == [None]
    peaks_of(peaks, 9)
    assert peaks_of(peaks, None) == [None]
    assert peaks_of(peaks, 1) == [9]


def test_a_peak_belongs_to_the_device_not_to_its_index() -> None:
    peaks = MemoryPeaks()
    peaks_of(peaks, 9)
    moved = (DEVICES[1]._replace(index=0), DEVICES[0]._replace(index=1))
    assert peaks_of(peaks, 1, 2, devices=moved) == [1, 9]


def test_peaks_are_kept_while_a_device_does_not_answer() -> None:
    peaks = MemoryPeaks()
    peaks_of(peaks, 9)
    for _ in range(10):
        assert not peaks_of(peaks, devices=(Device(0, "GPU-a", up=False), DEVICES[1]))
    assert peaks_of(peaks, 1) == [9]


def test_ended_processes_are_forgotten() -> None:
    peaks = MemoryPeaks()
    for number in range(1000):
        peaks_of(peaks, 9, pid=number + 1)
    assert len(vars(peaks)["_processes"]) < 10
    for _ in range(3):
        peaks_of(peaks)
    assert not vars(peaks)["_processes"]


_WithMemory = tuple[Environment, tuple["int | None", ...]]


def environment(*memory: int | None, eid: str = "a", created: float = 1.0) -> _WithMemory:
    """Return an environment, and its memory on the GPUs in the order of their indices."""
    return Environment(eid, 1000, "alice", None, None, None, created, (0,), ()), memory


def environment_peaks(peaks: MemoryPeaks, *environments: _WithMemory) -> list[list[int | None]]:
    peak_of = peaks.of_environments((one for one, _ in environments), DEVICES)
    return [[peak_of(one, index, amount) for index, amount in enumerate(memory)] for one, memory in environments]


def test_the_peak_of_an_environment_is_the_highest_sum_of_its_processes() -> None:
    peaks = MemoryPeaks()
    assert environment_peaks(peaks, environment(0, 4)) == [[0, 4]]
    assert environment_peaks(peaks, environment(7, 3)) == [[7, 4]]
    assert environment_peaks(peaks, environment(1, 5), environment(2, eid="b")) == [[7, 5], [2]]


def test_an_environment_has_no_peak_while_its_memory_is_unknown() -> None:
    peaks = MemoryPeaks()
    environment_peaks(peaks, environment(7))
    assert environment_peaks(peaks, environment(None)) == [[None]]
    assert environment_peaks(peaks, environment()) == [[]]  # its processes are unknown
    assert environment_peaks(peaks, environment(1)) == [[7]]


def test_a_later_environment_with_the_same_eid_starts_again() -> None:
    peaks = MemoryPeaks()
    environment_peaks(peaks, environment(7))
    assert environment_peaks(peaks, environment(1, created=2.0)) == [[1]]
    environment_peaks(peaks)
    assert environment_peaks(peaks, environment(2)) == [[2]]
