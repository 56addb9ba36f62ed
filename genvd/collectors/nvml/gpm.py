"""What the SMs, their pipes and the memory of a device did from one collection to the next, by its own counters.

GPM is what the driver has for that since Hopper; it does not exclude other profilers, as DCGM's way before it did. Each
reading takes a sample, and NVML compares it with that of the reading before.
"""

from __future__ import annotations

import ctypes
import math
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pynvml

from genvd.model.device import Activity, PipeActivity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from genvd.collectors.nvml.query import Asked

_RATIOS = {"graphics_ratio": 1, "sm_ratio": 2, "sm_occupancy_ratio": 3, "dram_ratio": 10}
_PIPES = {"tensor": 5, "fp64": 11, "fp32": 12, "fp16": 13, "integer": 4}
_THROUGHPUTS = {"pcie_transmit_bytes_per_second": 20, "pcie_receive_bytes_per_second": 21}
_METRICS = (*_RATIOS.values(), *_PIPES.values(), *_THROUGHPUTS.values())
"""``nvmlGpmMetricId_t``: percent, but for the throughputs in MiB/s."""

_METRIC = struct.Struct("@IId3P")
"""``nvmlGpmMetric_t``: id, ``nvmlReturn_t``, value, names. Taken apart at once: members one by one cost more."""

_MIB = 2**20
_MOST_PERCENT = 101.0
"""Counters that are not read at one instant may add up to a little more than all there is."""

_MOST_WINDOWS = 65
"""Of a device and its GPU instances, whose numbers may change with each of them that is made."""

_MOST_MIB = 2**20
"""Each second, over PCI Express: a terabyte."""


class _Window:
    """The last sample of a device or GPU instance, and a buffer for the next one."""

    def __init__(self) -> None:
        self.last: Any = None
        self.spare: Any = None


class GpmReader:
    """Takes the samples of one device and of its GPU instances."""

    def __init__(self) -> None:
        self._identity: object = None
        self._windows: dict[int | None, _Window] = {}
        self._question: Any = None

    def begin(self, *identity: object) -> None:
        """Begin a reading; samples of another device, or of other instances, say nothing of this one."""
        if identity != self._identity:
            self._identity = identity
            self.stop()

    def stop(self) -> None:
        """Forget all samples."""
        for window in self._windows.values():
            for sample in (window.last, window.spare):
                if sample is not None:
                    with suppress(pynvml.NVMLError):
                        pynvml.nvmlGpmSampleFree(sample)
        self._windows.clear()

    def device(self, device: Asked) -> Activity:
        """Return what the device did since the last reading; nothing is known at the first one.

        Raises:
            DeviceLostError: it does not answer any more.
        """
        return self._read(device, None, pynvml.nvmlGpmSampleGet)

    def instance(self, parent: Asked, gpu_instance: int | None) -> Activity:
        """Return what a GPU instance of the device did; its compute instances have no counters of their own.

        Raises:
            DeviceLostError: the device does not answer any more.
        """
        if gpu_instance is None:
            return Activity()
        return self._read(parent, gpu_instance, pynvml.nvmlGpmMigSampleGet, gpu_instance)

    def _read(self, device: Asked, key: int | None, take: Callable[..., Any], *instance: int) -> Activity:
        if not device.constants.get("GPM", lambda: _supported(device)):
            return Activity()
        if key not in self._windows and len(self._windows) >= _MOST_WINDOWS:
            self.stop()
        window = self._windows.setdefault(key, _Window())
        about = "" if key is None else f"GPU instance {key}"
        if window.spare is None:
            window.spare = device.ask(gpm_sample, about=about)
        if window.spare is None or device.ask(take, *instance, window.spare, about=about) is None:
            return Activity()
        window.last, window.spare = window.spare, window.last
        if window.spare is None:  # that was the first one
            return Activity()
        return _activity(device.ask(self.gpm_metrics, window.spare, window.last, about=about) or {})

    def gpm_metrics(self, _: Any, earlier: Any, later: Any) -> dict[int, float]:
        """Return the metrics that the device has, from one sample to a later one. The name stands in the log."""
        question = self._question = self._question or _question()
        question.sample1, question.sample2 = earlier, later
        pynvml.nvmlGpmMetricsGet(question)
        told = _METRIC.iter_unpack(ctypes.string_at(ctypes.addressof(question.metrics), len(_METRICS) * _METRIC.size))
        return {metric: value for metric, result, value, *_ in told if result == pynvml.NVML_SUCCESS}


def _question() -> Any:
    """Return what asks for all metrics; the same each time."""
    question = pynvml.c_nvmlGpmMetricsGet_t()
    question.version = pynvml.NVML_GPM_METRICS_GET_VERSION
    question.numMetrics = len(_METRICS)
    for number, metric in enumerate(_METRICS):
        question.metrics[number].metricId = metric
    return question


def gpm_sample(_: Any) -> Any:
    """Return a buffer for a sample. The name stands in the log."""
    return pynvml.nvmlGpmSampleAlloc()


def _supported(device: Asked) -> bool | None:
    """Tell whether the device has GPM; None where it does not tell."""
    support = device.ask(pynvml.nvmlGpmQueryDeviceSupport)
    return None if support is None else bool(support.isSupportedDevice)


def _activity(told: Mapping[int, float]) -> Activity:
    pipes = ((name, _ratio(told.get(metric))) for name, metric in _PIPES.items())
    return Activity(
        **{name: _ratio(told.get(metric)) for name, metric in _RATIOS.items()},
        **{name: _bytes(told.get(metric)) for name, metric in _THROUGHPUTS.items()},
        pipes=tuple(PipeActivity(name, ratio) for name, ratio in pipes if ratio is not None),
    )


def _ratio(percent: float | None) -> float | None:
    if percent is None or not math.isfinite(percent) or not 0 <= percent <= _MOST_PERCENT:
        return None
    return min(percent / 100, 1.0)


def _bytes(mebibytes: float | None) -> float | None:
    if mebibytes is None or not math.isfinite(mebibytes) or not 0 <= mebibytes <= _MOST_MIB:
        return None
    return mebibytes * _MIB
