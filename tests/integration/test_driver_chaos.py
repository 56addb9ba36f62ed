"""The monitor over a driver of which anything breaks at any time, and nothing it says may be wrong."""

from __future__ import annotations

import os
import random

import pytest

from tests.standin import Process, Scenario
from tests.support.gpus import DEVICE_METRICS, MIB, Start, gpu
from tests.support.monitor import Monitor, named, series
from tests.support.waiting import wait_for

SEED = int(os.environ.get("GENV_TESTS_CHAOS_SEED", "1"))
ROUNDS = int(os.environ.get("GENV_TESTS_CHAOS_ROUNDS", "60"))
MOST_DEVICES = 8
THREADS_BESIDES = 12

OF_DEVICES = (
    "nvmlDeviceGetTemperature*",
    "nvmlDeviceGetUtilizationRates",
    "nvmlDeviceGetMemoryInfo*",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetName",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetComputeRunningProcesses*",
    "nvmlDeviceGetHandleByIndex_v2",
    "*",
)
OF_THE_DRIVER = (*OF_DEVICES, "nvmlInit*", "nvmlShutdown", "nvmlDeviceGetCount_v2", "nvmlSystem*")
ERRORS = (*range(1, 31), 999, 12345)
FOR_EVER = 600_000


def break_something(scenario: Scenario, chance: random.Random) -> None:
    if chance.random() < 0.25:
        heal(scenario, chance.choice((0, 1, 2, 4, MOST_DEVICES)))
    for device in scenario.gpus:
        device.errors = {chance.choice(OF_DEVICES): chance.choice(ERRORS)} if chance.random() < 0.3 else {}
        device.hangs = {chance.choice(OF_DEVICES): FOR_EVER} if chance.random() < 0.2 else {}
    scenario.errors = {chance.choice(OF_THE_DRIVER): chance.choice(ERRORS)} if chance.random() < 0.2 else {}
    scenario.hangs = {chance.choice(OF_THE_DRIVER): FOR_EVER} if chance.random() < 0.15 else {}
    if chance.random() < 0.1:
        scenario.remove()
    else:
        scenario.write()


def heal(scenario: Scenario, devices: int) -> None:
    scenario.gpus = [gpu(number, processes=[Process(100 + number, MIB)]) for number in range(devices)]
    scenario.errors, scenario.hangs = {}, {}


def check_what_it_says(monitor: Monitor) -> None:
    metrics = monitor.next_metrics(1)
    assert sum(named(metrics, "genv_driver_state").values()) == 1
    for (name, _), value in metrics.items():
        assert DEVICE_METRICS.get(name, value) == value
    assert monitor.threads <= MOST_DEVICES + THREADS_BESIDES


def is_well(monitor: Monitor) -> bool:
    metrics = monitor.metrics()
    return (
        all(metrics.get(series(name, index=i)) == v for i in range(MOST_DEVICES) for name, v in DEVICE_METRICS.items())
        and named(metrics, "genv_device_up") == {series("genv_device_up", index=i): 1 for i in range(MOST_DEVICES)}
        and metrics[series("genv_driver_state", state="ok")] == 1
        and metrics[series("genv_processes_total")] == MOST_DEVICES
    )


@pytest.mark.parametrize("seed", [SEED])
def test_whatever_breaks_it_says_nothing_wrong_and_all_is_well_afterwards(
    start: Start, scenario: Scenario, seed: int
) -> None:
    chance = random.Random(seed)
    heal(scenario, 4)
    scenario.write()
    monitor = start("--interval", "0.1")
    for _ in range(ROUNDS):
        break_something(scenario, chance)
        check_what_it_says(monitor)
    heal(scenario, MOST_DEVICES)
    scenario.write()
    wait_for(lambda: is_well(monitor), "all is well")
    assert "Traceback" not in monitor.log
    assert monitor.stop() == 0
