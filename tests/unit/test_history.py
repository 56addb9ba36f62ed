"""The recorded last hour and day of the devices, and their bounds."""

from __future__ import annotations

import math
import tracemalloc

import pytest

from genvd.analysis.history import (
    DAY_POINTS,
    DAY_SECONDS,
    MAX_DEVICES,
    POINT_SECONDS,
    POINTS,
    SPAN_SECONDS,
    History,
    HistoryRecorder,
)
from genvd.model.device import Device
from genvd.model.snapshot import ServiceStatus, Snapshot

START = 1_000_000 * POINT_SECONDS
SERVICE = ServiceStatus("1", "live", "3", "12")


def at(seconds: float, *devices: Device) -> Snapshot:
    return Snapshot(START + seconds, SERVICE, devices=devices)


def gpu(percent: int | None, uuid: str = "GPU-0", index: int = 0) -> Device:
    return Device(index, uuid, utilization_percent=percent)


def utilization(history: History, uuid: str = "GPU-0") -> list[float | None]:
    return [None if math.isnan(value) else round(value, 3) for value in history.hour.curves[uuid][0]]


def test_collections_within_one_point_are_averaged() -> None:
    recorder = HistoryRecorder()
    for seconds, percent in ((0, 10), (10, 20), (20, 60)):
        history = recorder.record(at(seconds, gpu(percent)))
    assert utilization(history) == [0.3]
    assert utilization(recorder.record(at(30, gpu(100)))) == [0.3, 1]


@pytest.mark.parametrize("percents", [(10, None, 20), (None, 10, 20), (10, 20, None)])
def test_unknown_values_do_not_count_in_an_average(percents: tuple[int | None, ...]) -> None:
    recorder = HistoryRecorder()
    for number, percent in enumerate(percents):
        history = recorder.record(at(10 * number, gpu(percent)))
    assert utilization(history) == [0.15]


def test_the_average_starts_again_for_a_device_that_comes_back_within_a_point() -> None:
    recorder = HistoryRecorder()
    for seconds, devices in ((0, [gpu(90)]), (5, [gpu(90)]), (10, []), (15, [gpu(10)]), (20, [gpu(20)])):
        history = recorder.record(at(seconds, *devices))
    assert utilization(history) == [0.15]


@pytest.mark.parametrize("interval", [0.5, 10, 29, 31, 60, 600])
def test_an_hour_is_kept_whatever_the_interval(interval: float) -> None:
    recorder, seconds = HistoryRecorder(), 0.0
    while seconds < 2 * SPAN_SECONDS:
        history = recorder.record(at(seconds, gpu(50)))
        seconds += interval
    hour = history.hour
    span = hour.times[-1] - hour.times[0]
    assert SPAN_SECONDS - 2 * max(interval, POINT_SECONDS) <= span <= SPAN_SECONDS
    assert len(hour.times) <= POINTS
    assert all(len(curve) == len(hour.times) for curves in hour.curves.values() for curve in curves)


def test_unknown_values_are_gaps() -> None:
    recorder = HistoryRecorder()
    recorder.record(at(0, gpu(50)))
    recorder.record(at(30, gpu(None)))
    recorder.record(Snapshot(START + 60, SERVICE, devices=None))
    history = recorder.record(at(90, gpu(50)))
    assert utilization(history) == [0.5, None, None, 0.5]


def test_a_new_device_has_gaps_before_and_a_removed_one_has_no_curves() -> None:
    recorder = HistoryRecorder()
    recorder.record(at(0, gpu(50)))
    history = recorder.record(at(30, gpu(50), gpu(70, "GPU-1", 1)))
    assert utilization(history, "GPU-1") == [None, 0.7]
    assert recorder.record(at(60, gpu(70, "GPU-1", 0))).hour.curves.keys() == {"GPU-1"}


def test_a_returned_history_does_not_change() -> None:
    recorder = HistoryRecorder()
    history = recorder.record(at(0, gpu(50)))
    recorder.record(at(10, gpu(100)))
    recorder.record(at(40, gpu(100)))
    assert utilization(history) == [0.5]


def test_the_history_starts_again_if_the_clock_is_set_back() -> None:
    recorder = HistoryRecorder()
    recorder.record(at(100, gpu(50)))
    assert len(recorder.record(at(0, gpu(50))).hour.times) == 1


def test_a_day_is_kept_in_complete_points_of_two_minutes() -> None:
    recorder = HistoryRecorder()
    point = DAY_SECONDS / DAY_POINTS
    for number in range(DAY_POINTS + 10):
        start = number * point
        for part in range(4):
            history = recorder.record(at(start + part * point / 4, gpu(number % 100 if part % 2 else 0)))
    day = history.day
    assert len(day.times) == len(day.curves["GPU-0"][0]) == DAY_POINTS - 1
    assert day.times[-1] == START + (DAY_POINTS + 8) * point, "the last point is not complete"
    assert day.curves["GPU-0"][0][-1] == pytest.approx((DAY_POINTS + 8) % 100 / 200), "the average"
    assert recorder.record(at(start + point * 0.9, gpu(1))).day is day, "between two points nothing is copied"
    assert len(history.hour.times) == 4 * 30


def test_the_history_is_bounded() -> None:
    devices = tuple(gpu(50, f"GPU-{index}", index) for index in range(2 * MAX_DEVICES))
    tracemalloc.start()
    try:
        recorder, history = HistoryRecorder(), None
        before, _ = tracemalloc.get_traced_memory()
        for number in range(DAY_POINTS + 60):
            history = recorder.record(at(number * DAY_SECONDS / DAY_POINTS, *devices))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert history is not None
    assert len(history.hour.curves) == len(history.day.curves) == MAX_DEVICES
    assert after - before < 4_000_000, "with the copy that is kept here"
