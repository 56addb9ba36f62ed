"""Values that hardly change are read once in several collections, with what the stand-in was really asked.

Counters that the stand-in raises with each reading (``0+``) show when a call was made.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from genvd.collectors.base import DeviceGroups, GroupPeriods
from tests.standin import Gpu, Mig, Scenario
from tests.support.gpu_collector import GpuCollector
from tests.support.gpu_profiles import profile
from tests.support.gpus import Start, gpu
from tests.support.monitor import named, series
from tests.support.waiting import wait_for

LOST, UNKNOWN = 15, 999
SIX = GroupPeriods(6, 6, 6)
GROUPS = ("device_details", "memory_health", "nvlink")

Collect = Callable[..., GpuCollector]
Json = dict[str, Any]


@pytest.fixture
def collect(nvml_library: Path, scenario: Scenario) -> Iterator[Collect]:
    """Starts a collector of the GPUs of the scenario."""
    with ExitStack() as stack:
        yield lambda periods=SIX: stack.enter_context(GpuCollector(scenario, nvml_library, periods))


def counting_gpu(number: int) -> Gpu:
    """Return an H100 whose counters tell how often they were read."""
    device, _ = profile("H100 SXM")
    device.uuid = f"GPU-{number}"
    device.ecc_corrected_volatile = device.pcie_replays = device.power = None
    device.extra = {**device.extra, "ecc_corrected_volatile": "0+", "pcie_replays": "0+", "power": "1000+"}
    device.fields = {**device.fields, (161, 3): "0+", (138, 3): "0+"}
    device.event_types = 8
    return device


def readings(device: Json) -> dict[str, int]:
    """Return how often each group was read until now, as the stand-in counts it."""
    return {
        "device_details": device["details"]["pcie_replays"],
        "memory_health": device["health"]["ecc_errors"][0]["count"],
        "nvlink": device["nvlinks"][3]["errors"][0]["count"],
    }


def were_read(before: list[Json], after: list[Json]) -> set[tuple[int, str]]:
    """Return the groups that were read between two collections, by index of the GPU."""
    return {
        (device["index"], group)
        for old, device in zip(before, after, strict=True)
        for group in GROUPS
        if readings(device)[group] != readings(old)[group]
    }


def test_the_first_collection_reads_all_and_each_other_one_an_equal_share(scenario: Scenario, collect: Collect) -> None:
    scenario.gpus = [counting_gpu(number) for number in range(8)]
    scenario.write()
    collector = collect()
    looks = [collector.collect() for _ in range(13)]
    assert all(device["health"]["remap_failed"] is False and len(device["nvlinks"]) == 18 for device in looks[0])
    read = [were_read(before, after) for before, after in pairwise(looks)]
    everything = {(index, group) for index in range(8) for group in GROUPS}
    assert [len(groups) for groups in read] == [len(everything) // 6] * 12
    assert set.union(*read[:6]) == set.union(*read[6:]) == everything, "each once in six collections"
    for index in range(8):
        together = [groups & {(index, group) for group in GROUPS} for groups in read]
        assert max(map(len, together)) == 1, "a GPU is not read long either"
    for before, after in pairwise(looks):
        for old, device in zip(before, after, strict=True):
            assert device["details"]["power_watts"] > old["details"]["power_watts"]
            assert device["nvlinks"][3]["receive_bytes"] is not None
            assert device["nvlinks"][3]["transmit_bytes"] is not None
            moved = [device["nvlinks"][3][way] != old["nvlinks"][3][way] for way in ("receive_bytes", "transmit_bytes")]
            assert moved.count(True) == 1, "the bytes are read in each collection"


def test_the_time_of_the_reading_is_told_and_stays_until_the_next(scenario: Scenario, collect: Collect) -> None:
    scenario.gpus = [counting_gpu(0)]
    scenario.write()
    collector = collect()
    looks = [collector.collect() for _ in range(8)]
    for before, after in pairwise(looks):
        times = [{one["group"]: one["timestamp"] for one in look[0]["group_readings"]} for look in (before, after)]
        assert {(0, group) for group in GROUPS if times[0][group] != times[1][group]} == were_read(before, after)
    collector.periods = GroupPeriods()
    assert were_read(collector.collect(), collector.collect()) == {(0, group) for group in GROUPS}


def test_an_error_of_the_hardware_has_its_gpu_read_in_the_next_collection(scenario: Scenario, collect: Collect) -> None:
    scenario.gpus = [counting_gpu(number) for number in range(2)]
    scenario.write()
    collector = collect(GroupPeriods(1000, 1000, 1000))
    collector.collect()
    for device in scenario.gpus:
        device.remapped_rows = (5, 0, 0, 0)
    scenario.gpus[1].xids.append(31)  # a bug in a program
    scenario.write()

    def rows() -> list[int]:
        return [device["health"]["remapped_rows_corrected"] for device in collector.collect()]

    assert [rows() for _ in range(3)] == [[1, 1]] * 3
    scenario.gpus[1].xids.append(94)
    scenario.write()
    assert [rows() for _ in range(2)] == [[1, 1], [1, 5]], "the event is seen, then the GPU is read"
    (before, after), (other_before, other_after) = (
        [{one["group"]: one["timestamp"] for one in device["group_readings"]} for device in devices]
        for devices in zip(*(collector.collect() for _ in range(2)), strict=True)
    )
    assert (before, other_before) == (after, other_after), "once"
    assert all(other_before[group] > before[group] for group in GROUPS), "all of its groups"


def test_nothing_outlives_its_gpu(scenario: Scenario, collect: Collect) -> None:
    scenario.gpus = [counting_gpu(number) for number in range(2)]
    scenario.write()
    collector = collect(GroupPeriods(1000, 1000, 1000))
    collector.collect()
    scenario.gpus[1] = replace(counting_gpu(7), remapped_rows=(5, 0, 0, 0))
    scenario.write()
    assert collector.collect()[1]["health"]["remapped_rows_corrected"] == 5, "another GPU is read at once"
    scenario.gpus[1].errors = {"*": LOST}
    scenario.write()
    down = collector.collect()[1]
    assert (down["up"], down["health"]["remapped_rows_corrected"], down["nvlinks"]) == (False, None, [])
    assert down["group_readings"] == []
    scenario.gpus[1].errors, scenario.gpus[1].remapped_rows = {}, (6, 0, 0, 0)
    scenario.write()
    assert collector.collect()[1]["health"]["remapped_rows_corrected"] == 6, "so is one that is back"


def test_a_call_that_fails_costs_its_value_and_is_soon_tried_again(scenario: Scenario, collect: Collect) -> None:
    scenario.gpus = [counting_gpu(0)]
    scenario.gpus[0].errors = {"nvmlDeviceGetRemappedRows": UNKNOWN}
    scenario.write()
    collector = collect(GroupPeriods(8, 8, 8))
    looks = [collector.collect() for _ in range(40)]
    assert {look[0]["health"]["remapped_rows_corrected"] for look in looks} == {None}
    read = [were_read(before, after) for before, after in pairwise(looks)]
    at = [number for number, groups in enumerate(read, start=1) if (0, "memory_health") in groups]
    assert {1, 3} <= set(at), "one and two collections later"
    assert len(at) <= 10, "then hardly more often than any other group"
    assert max(after - before for before, after in pairwise(at)) <= 8
    assert collector.log.count("nvmlDeviceGetRemappedRows") == 1, "it is one failure, however seldom it is tried"
    scenario.gpus[0].errors = {}
    scenario.write()
    assert [collector.collect() for _ in range(8)][-1][0]["health"]["remapped_rows_corrected"] == 1


def test_a_value_that_begins_to_fail_is_not_kept(scenario: Scenario, collect: Collect) -> None:
    scenario.gpus = [counting_gpu(0)]
    scenario.write()
    collector = collect()
    assert collector.collect()[0]["health"]["remapped_rows_corrected"] == 1
    scenario.gpus[0].errors = {"nvmlDeviceGetRemappedRows": UNKNOWN}
    scenario.write()
    kept = [collector.collect()[0]["health"]["remapped_rows_corrected"] for _ in range(12)]
    assert kept[5:] == [None] * 7


def test_a_group_that_is_switched_on_is_read_at_once(scenario: Scenario, collect: Collect) -> None:
    scenario.gpus = [counting_gpu(0)]
    scenario.write()
    collector = collect(GroupPeriods(1000, 1000, 1000))
    before = collector.collect()[0]
    collector.groups = DeviceGroups(memory_health=False, nvlink=False)
    off = collector.collect()[0]
    assert off["health"]["remapped_rows_corrected"] is None
    assert {one["group"] for one in off["group_readings"]} == {"device_details"}
    collector.groups = DeviceGroups()
    after = collector.collect()
    assert were_read([before], after) == {(0, "memory_health"), (0, "nvlink")}


def test_errors_of_mig_devices_are_read_with_memory_health(scenario: Scenario, collect: Collect) -> None:
    parts = {0: Mig("MIG-0", gpu_instance=1, compute_instance=0, ecc_locations={(1, 0, 7): 3})}
    scenario.gpus = [gpu(0, migs=parts)]
    scenario.write()
    collector = collect()

    def errors() -> list[int]:
        (device,) = collector.collect()
        return [one["count"] for part in device["mig_instances"] for one in part["placed_errors"]]

    assert errors() == [3]
    parts[0].ecc_locations = {(1, 0, 7): 4}
    parts[1] = Mig("MIG-1", gpu_instance=2, compute_instance=0, ecc_locations={(1, 0, 7): 9})
    scenario.write()
    later = [errors() for _ in range(6)]
    assert [counts[1] for counts in later] == [9] * 6, "one that is new is read at once"
    assert later[-1] == [4, 9]


@pytest.mark.parametrize("group", GROUPS)
def test_intervals_follow_the_configuration(start: Start, scenario: Scenario, tmp_path: Path, group: str) -> None:
    keys = {
        "device_details": series("genv_device_pcie_replays_total", index=0),
        "memory_health": series("genv_device_ecc_errors_total", index=0, severity="corrected", scope="volatile"),
        "nvlink": series("genv_device_nvlink_errors_total", index=0, link=3, kind="replay"),
    }
    scenario.gpus = [counting_gpu(0)]
    scenario.write()
    file = tmp_path / "monitor.yaml"
    file.write_text("collect: {device_details_interval: 1h, memory_health_interval: 1h, nvlink_interval: 1h}\n")
    monitor = start("--interval", "1", "--config", str(file))  # a GPU that is late on a busy machine is read again
    times = "genv_monitor_device_last_read_timestamp_seconds"
    before = monitor.metrics()
    assert {dict(labels)["group"] for _, labels in named(before, times)} == set(GROUPS)
    later = monitor.next_metrics(3)
    assert [later[key] for key in keys.values()] == [before[key] for key in keys.values()]
    assert named(later, times) == named(before, times)
    others = {f"{one}_interval": "1h" if one != group else "0" for one in GROUPS}
    file.write_text("collect: {" + ", ".join(f"{key}: {value}" for key, value in others.items()) + "}\n")
    monitor.process.send_signal(signal.SIGHUP)
    wait_for(lambda: monitor.metrics()[keys[group]] > before[keys[group]] + 2, "it is read in each collection")
    now = monitor.metrics()
    assert {one for one in GROUPS if now[keys[one]] != before[keys[one]]} == {group}
    assert now[series(times, index=0, group=group)] > before[series(times, index=0, group=group)]
