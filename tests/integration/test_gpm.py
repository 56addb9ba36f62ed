"""What devices did by their own counters, from one collection to the next."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.standin import Mig, Scenario, build
from tests.support.gpus import Start, gpu
from tests.support.monitor import PROGRAM, Series, named, series
from tests.support.waiting import wait_for

COLLECTIONS = series("genv_monitor_collections_total")
RATIOS = {"graphics_active": 1, "sm_active": 2, "sm_occupancy": 3, "dram_active": 10}
PIPES = {"tensor": 5, "fp64": 11, "fp32": 12, "fp16": 13, "integer": 4}
ALL = {metric: metric + 0.5 for metric in (*RATIOS.values(), *PIPES.values(), 20, 21)}
OF_GPM = (
    "genv_device_graphics_",
    "genv_device_sm_",
    "genv_device_dram_",
    "genv_device_pipe_",
    "genv_device_pcie_traffic",
)


def of_gpm(metrics: Series, index: int) -> Series:
    return {key: value for key, value in named(metrics, *OF_GPM).items() if ("index", str(index)) in key[1]}


def test_a_device_says_what_it_did(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(0, gpm={**ALL}), gpu(1), gpu(2, extra={"gpm_supported": "1"})]
    scenario.write()
    monitor = start()
    metrics = monitor.next_metrics()
    expected = {
        **{series(f"genv_device_{name}_ratio", index=0): ALL[metric] / 100 for name, metric in RATIOS.items()},
        **{
            series("genv_device_pipe_active_ratio", index=0, pipe=pipe): ALL[metric] / 100
            for pipe, metric in PIPES.items()
        },
        series("genv_device_pcie_traffic_bytes_per_second", index=0, direction="transmit"): 20.5 * 2**20,
        series("genv_device_pcie_traffic_bytes_per_second", index=0, direction="receive"): 21.5 * 2**20,
    }
    assert named(metrics, *OF_GPM) == pytest.approx(expected)
    scenario.gpus[0].gpm[2] = 99
    scenario.write()
    key = series("genv_device_sm_active_ratio", index=0)
    wait_for(lambda: monitor.metrics()[key] == pytest.approx(0.99), "what it did since")
    assert monitor.complaints == []


def test_what_cannot_be_is_absent(start: Start, scenario: Scenario) -> None:
    values: list[tuple[float | str, float | None]] = [
        ("nan", None),
        ("inf", None),
        (-1, None),
        (4e9, None),
        ("na", None),
        (100.4, 1.0),
        (0, 0.0),
    ]
    scenario.gpus = [gpu(number, gpm={2: value, 20: value}) for number, (value, _) in enumerate(values)]
    scenario.write()
    metrics = start().next_metrics()
    found = [metrics.get(series("genv_device_sm_active_ratio", index=number)) for number in range(len(values))]
    assert found == [expected for _, expected in values]
    for number, (_, expected) in enumerate(values):
        traffic = series("genv_device_pcie_traffic_bytes_per_second", index=number, direction="transmit")
        assert (traffic in metrics) == (expected is not None)


def test_mig_devices_have_what_their_gpu_instance_did(start: Start, scenario: Scenario) -> None:
    name = "NVIDIA H200 MIG 1c.3g.71gb"
    scenario.gpus = [
        gpu(
            0,
            migs={
                0: Mig("MIG-0", name, 1, 0, gpm={1: 50, 2: 40, 3: 10, 5: 30, 10: 20}),
                1: Mig("MIG-1", name, 1, 1),
                2: Mig("MIG-2", gpu_instance=2, compute_instance=0),
            },
            extra={"gpm_supported": "1"},
        )
    ]
    scenario.write()
    monitor = start()
    metrics = monitor.next_metrics()
    of_instance: dict[str, float] = {
        "graphics_active": 0.5,
        "sm_active": 0.4,
        "sm_occupancy": 0.1,
        "dram_active": 0.2,
    }
    expected = {
        series(f"genv_mig_{key}_ratio", index=0, instance=instance): value
        for instance in (0, 1)
        for key, value in of_instance.items()
    }
    pipes = {series("genv_mig_pipe_active_ratio", index=0, instance=i, pipe="tensor"): 0.3 for i in (0, 1)}
    found = {key: value for key, value in named(metrics, "genv_mig_").items() if key[0].endswith("_ratio")}
    assert found == pytest.approx({**expected, **pipes})
    assert of_gpm(metrics, 0) == {}
    assert monitor.complaints == []


def test_samples_of_what_was_there_before_say_nothing_and_are_freed(start: Start, scenario: Scenario) -> None:
    """There is room for the samples of one device only: whoever keeps old ones gets no new ones."""
    scenario.gpm_samples = 2
    key = series("genv_device_sm_active_ratio", index=0)
    monitor = None
    for number in range(4):
        scenario.gpus = [gpu(number, gpm={2: 10 * number})]
        scenario.write()
        monitor = monitor or start()
        wait_for(lambda: monitor.metrics().get(key) == pytest.approx(number / 10), f"device {number}")  # noqa: B023
    assert monitor
    gone = [f"GPU 0 (GPU-{number}) is no longer listed by the driver" for number in range(3)]
    assert [text for line in monitor.complaints for text in gone if text in line] == gone
    assert len(monitor.complaints) == len(gone)


def test_the_first_reading_of_a_device_in_the_place_of_another_says_nothing(start: Start, scenario: Scenario) -> None:
    """Whatever it were, it would be of the time from a sample of one device to that of the other."""
    key = series("genv_device_sm_active_ratio", index=0)
    monitor = start("--interval", "1h")

    def collect(number: int) -> float | None:
        scenario.gpus = [gpu(number, gpm={2: 10 * number})]
        scenario.write()
        collections = monitor.metrics()[COLLECTIONS]
        monitor.process.send_signal(signal.SIGHUP)  # collects at once, and once
        wait_for(lambda: monitor.metrics()[COLLECTIONS] > collections, "a collection")
        assert monitor.snapshot()["devices"][0]["uuid"] == f"GPU-{number}"
        return monitor.metrics().get(key)

    assert [collect(number) for number in (1, 1, 1, 2, 2, 1, 1)] == [None, 0.1, 0.1, None, 0.2, None, 0.1]


def test_an_old_driver_and_a_first_collection_have_none(
    start: Start, scenario: Scenario, public_directory: Path, nvml_library: Path, tmp_path: Path
) -> None:
    calls = "QueryDeviceSupport", "SampleAlloc", "SampleFree", "SampleGet", "MigSampleGet", "MetricsGet"
    old = build(public_directory / "before-525", without=[f"nvmlGpm{call}" for call in calls])
    scenario.gpus = [gpu(0, gpm={**ALL})]
    scenario.write()
    monitor = start(library=old)
    assert of_gpm(monitor.next_metrics(), 0) == {}
    assert monitor.complaints == []
    once = subprocess.run(
        [PROGRAM, "once"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **scenario.environment(nvml_library)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "genv_device_temperature" in once
    assert "genv_device_sm_active" not in once
