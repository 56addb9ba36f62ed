"""Metrics of the driver: its state, its versions, and the GPUs that it no longer lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.metrics.metric import Metric
from genvd.model.facts import DRIVER_STATES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genvd.metrics.samples import Sample
    from genvd.model.snapshot import Snapshot


def _driver_states(snapshot: Snapshot) -> Iterator[Sample]:
    for state in DRIVER_STATES:
        yield (state,), state == snapshot.driver_state
    if snapshot.driver_state not in DRIVER_STATES:
        yield (snapshot.driver_state,), True


def _driver_info(snapshot: Snapshot) -> Iterator[Sample]:
    driver = snapshot.driver
    if driver is not None and any((driver.driver, driver.cuda, driver.nvml)):
        yield (driver.driver or "", driver.cuda or "", driver.nvml or ""), 1


def _devices_missing(snapshot: Snapshot) -> Iterator[Sample]:
    if snapshot.devices is not None:
        yield (), len(snapshot.missing_devices)


DRIVER = (
    Metric(
        "genv_driver_state",
        "1 for the current state of the NVIDIA driver, 0 for the others: ok, missing, not_loaded, mismatch, hung,"
        " no_permission. Any other failure is failed, which has a series only while it is current.",
        ("state",),
        _driver_states,
    ),
    Metric(
        "genv_driver_info",
        "1, with the versions of the NVIDIA driver as labels; cuda_version is the newest CUDA that it supports.",
        ("driver_version", "cuda_version", "nvml_version"),
        _driver_info,
    ),
    Metric(
        "genv_devices_missing",
        "GPUs that the driver has listed since the monitor started, and no longer lists.",
        (),
        _devices_missing,
    ),
)
