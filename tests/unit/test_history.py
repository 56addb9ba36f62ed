"""The last hour of the devices: what is kept of it, and that it stays bounded."""

from __future__ import annotations

import math
import tracemalloc

import pytest

from genvd.analysis.history import MAX_DEVICES, POINT_SECONDS, POINTS, SPAN_SECONDS, History, HistoryRecorder
from genvd.model.device import Device
from genvd.model.snapshot import ServiceStatus, Snapshot

START = 1_000_000 * POINT_SECONDS
SERVICE = ServiceStatus("1", "live", "3", "12")


def at(seconds: float, *devices: Device) -> Snapshot:
    return Snapshot(START + seconds, SERVICE, devices=devices)


def gpu(percent: int | None, uuid: str = "GPU-0", index: int = 0) -> Device:
    return Device(index, uuid, utilization_percent=percent)


def utilization(past: History, uuid: str = "GPU-0") -> list[float | None]:
    return [None if math.isnan(value) else round(value, 3) for value in past.curves[uuid][0]]


def test_collections_within_one_point_are_averaged() -> None:
    history = HistoryRecorder()
    for seconds, percent in ((0, 10), (10, 20), (20, 60)):
        past = history.record(at(seconds, gpu(percent)))
    assert utilization(past) == [0.3]
    assert utilization(history.record(at(30, gpu(100)))) == [0.3, 1]


@pytest.mark.parametrize("percents", [(10, None, 20), (None, 10, 20), (10, 20, None)])
def test_what_is_not_known_counts_for_nothing_in_an_average(percents: tuple[int | None, ...]) -> None:
    history = HistoryRecorder()
    for number, percent in enumerate(percents):
        past = history.record(at(10 * number, gpu(percent)))
    assert utilization(past) == [0.15]


def test_a_device_that_comes_back_within_a_point_is_averaged_anew() -> None:
    history = HistoryRecorder()
    for seconds, devices in ((0, [gpu(90)]), (5, [gpu(90)]), (10, []), (15, [gpu(10)]), (20, [gpu(20)])):
        past = history.record(at(seconds, *devices))
    assert utilization(past) == [0.15]


@pytest.mark.parametrize("interval", [0.5, 10, 29, 31, 60, 600])
def test_an_hour_is_kept_whatever_the_interval(interval: float) -> None:
    history, seconds = HistoryRecorder(), 0.0
    while seconds < 2 * SPAN_SECONDS:
        past = history.record(at(seconds, gpu(50)))
        seconds += interval
    span = past.times[-1] - past.times[0]
    assert SPAN_SECONDS - 2 * max(interval, POINT_SECONDS) <= span <= SPAN_SECONDS
    assert len(past.times) <= POINTS
    assert all(len(curve) == len(past.times) for curves in past.curves.values() for curve in curves)


def test_what_is_not_known_is_a_gap() -> None:
    history = HistoryRecorder()
    history.record(at(0, gpu(50)))
    history.record(at(30, gpu(None)))
    history.record(Snapshot(START + 60, SERVICE, devices=None))
    past = history.record(at(90, gpu(50)))
    assert utilization(past) == [0.5, None, None, 0.5]


def test_a_device_that_comes_later_has_no_past_and_one_that_is_gone_none_at_all() -> None:
    history = HistoryRecorder()
    history.record(at(0, gpu(50)))
    past = history.record(at(30, gpu(50), gpu(70, "GPU-1", 1)))
    assert utilization(past, "GPU-1") == [None, 0.7]
    assert history.record(at(60, gpu(70, "GPU-1", 0))).curves.keys() == {"GPU-1"}


def test_what_requests_read_does_not_change_any_more() -> None:
    history = HistoryRecorder()
    past = history.record(at(0, gpu(50)))
    history.record(at(10, gpu(100)))
    history.record(at(40, gpu(100)))
    assert utilization(past) == [0.5]


def test_a_clock_that_is_set_back_begins_anew() -> None:
    history = HistoryRecorder()
    history.record(at(100, gpu(50)))
    assert len(history.record(at(0, gpu(50))).times) == 1


def test_it_does_not_grow() -> None:
    devices = tuple(gpu(50, f"GPU-{index}", index) for index in range(2 * MAX_DEVICES))
    history = HistoryRecorder()
    for number in range(2 * POINTS):
        past = history.record(at(number * POINT_SECONDS, *devices))
    assert len(past.curves) == MAX_DEVICES
    tracemalloc.start()
    try:
        past = history.record(at(2 * SPAN_SECONDS, *devices))
        before, _ = tracemalloc.get_traced_memory()
        for number in range(POINTS):
            past = history.record(at(2 * SPAN_SECONDS + number * POINT_SECONDS, *devices))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 300_000  # the one copy that is kept here
