"""In which collections the groups that hardly change are read."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from genvd.collectors.base import GroupPeriods, group_periods
from genvd.collectors.nvml.group_reader import Schedule
from genvd.config.schema import Config

GROUPS = ("device_details", "memory_health", "nvlink")


@pytest.mark.parametrize("period", [2, 3, 6, 7, 60, 600])
@pytest.mark.parametrize("devices", [1, 2, 3, 4, 8, 16, 64])
def test_no_collection_reads_more_than_its_share(devices: int, period: int) -> None:
    periods = GroupPeriods(period, period, period)
    begun: Counter[int] = Counter()
    each: Counter[tuple[int, str]] = Counter()
    for number in range(1000, 1000 + period):
        now, later = Schedule(number, devices, periods), Schedule(number + 1, devices, periods)
        for index in range(devices):
            for group in GROUPS:
                if now.turn(group, index) != later.turn(group, index):
                    begun[number] += 1
                    each[index, group] += 1
    assert max(begun.values()) == math.ceil(devices * len(GROUPS) / period)
    assert set(each.values()) == {1}
    assert len(each) == devices * len(GROUPS)


@pytest.mark.parametrize(
    ("interval", "group", "period"), [(10, 60, 6), (10, 69, 6), (10, 5, 1), (10, 0, 1), (0.2, 0.6, 3), (3600, 60, 1)]
)
def test_an_interval_is_whole_collections_and_never_longer(interval: float, group: float, period: int) -> None:
    config = Config(collect_interval=interval, collect_memory_health_interval=group)
    assert group_periods(config).memory_health == period
