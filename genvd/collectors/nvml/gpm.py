"""GPM (GPU performance monitoring): the activity of SMs, pipes and memory since the previous collection.

It is available since Hopper and, unlike older DCGM profiling, can run at the same time as other profilers. Each reading
takes a sample, and NVML computes the metrics from this sample and the previous one.
"""

from __future__ import annotations

import ctypes
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pynvml

from genvd.collectors.nvml.bounds import within
from genvd.model.device import Activity, PipeActivity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from genvd.collectors.nvml.query import DeviceQuery

_RATIOS = {"graphics_ratio": 1, "sm_ratio": 2, "sm_occupancy_ratio": 3, "dram_ratio": 10}
_PIPES = {"tensor": 5, "fp64": 11, "fp32": 12, "fp16": 13, "integer": 4}
_THROUGHPUTS = {"pcie_transmit_bytes_per_second": 20, "pcie_receive_bytes_per_second": 21}
_METRICS = (*_RATIOS.values(), *_PIPES.values(), *_THROUGHPUTS.values())
"""``nvmlGpmMetricId_t``: in percent, the throughputs in MiB/s."""

_METRIC = struct.Struct("@IId3P")
"""``nvmlGpmMetric_t``: id, ``nvmlReturn_t``, value, names. Unpacking it at once is faster than member by member."""

_MIB = 2**20
_MAX_PERCENT = 101.0
"""Counters are not read at the same instant, so that a share may be a little above 100 percent."""

_MAX_PAIRS = 65
"""Maximum pairs for a GPU and its GPU instances. Pairs of removed instances are kept until there are this many."""

_MAX_MIB = 2**20
"""Per second, over PCI Express."""


class _SamplePair:
    """The last sample of a GPU or GPU instance, and a buffer for the next one."""

    def __init__(self) -> None:
        self.last: Any = None
        self.spare: Any = None


class GpmReader:
    """Reads the activity of one GPU and its GPU instances."""

    def __init__(self) -> None:
        self._identity: object = None
        self._pairs: dict[int | None, _SamplePair] = {}
        self._request: Any = None

    def clear_on_change(self, *identity: object) -> None:
        """Free the samples if they are of another GPU, MIG mode or session."""
        if identity != self._identity:
            self._identity = identity
            self.free_samples()

    def free_samples(self) -> None:
        """Free all samples."""
        for pair in self._pairs.values():
            for sample in (pair.last, pair.spare):
                if sample is not None:
                    with suppress(pynvml.NVMLError):
                        pynvml.nvmlGpmSampleFree(sample)
        self._pairs.clear()

    def read_device(self, device: DeviceQuery) -> Activity:
        """Return the activity of the GPU since the previous reading; the first reading has none."""
        return self._read(device, None, pynvml.nvmlGpmSampleGet)

    def read_instance(self, parent: DeviceQuery, gpu_instance: int | None) -> Activity:
        """Return the activity of a GPU instance. Its compute instances have no counters of their own."""
        if gpu_instance is None:
            return Activity()
        return self._read(parent, gpu_instance, pynvml.nvmlGpmMigSampleGet, gpu_instance)

    def _read(self, device: DeviceQuery, key: int | None, take: Callable[..., Any], *instance: int) -> Activity:
        """Take a sample, and return the activity since the previous one.

        Args:
            device: the GPU.
            key: the number of its GPU instance; None for the GPU itself.
            take: the NVML call that takes the sample.
            instance: further arguments of this call, before the buffer for the sample.
        """
        if not device.cache.get_or_fetch("GPM", lambda: _supported(device)):
            return Activity()
        if key not in self._pairs and len(self._pairs) >= _MAX_PAIRS:
            self.free_samples()
        pair = self._pairs.setdefault(key, _SamplePair())
        about = "" if key is None else f"GPU instance {key}"
        if pair.spare is None:
            pair.spare = device.call(gpm_sample, about=about)
        if pair.spare is None or device.call(take, *instance, pair.spare, about=about) is None:
            return Activity()
        pair.last, pair.spare = pair.spare, pair.last
        if pair.spare is None:  # this was the first sample
            return Activity()
        return _activity(device.call(self.gpm_metrics, pair.spare, pair.last, about=about) or {})

    def gpm_metrics(self, _: Any, earlier: Any, later: Any) -> dict[int, float]:
        """Return the metrics that the GPU has, between two samples. The log shows the name of this function."""
        request = self._request = self._request or _request()
        request.sample1, request.sample2 = earlier, later
        pynvml.nvmlGpmMetricsGet(request)
        metrics = _METRIC.iter_unpack(ctypes.string_at(ctypes.addressof(request.metrics), len(_METRICS) * _METRIC.size))
        return {metric: value for metric, result, value, *_ in metrics if result == pynvml.NVML_SUCCESS}


def _request() -> Any:
    """Return the request for all metrics, which is reused."""
    request = pynvml.c_nvmlGpmMetricsGet_t()
    request.version = pynvml.NVML_GPM_METRICS_GET_VERSION
    request.numMetrics = len(_METRICS)
    for number, metric in enumerate(_METRICS):
        request.metrics[number].metricId = metric
    return request


def gpm_sample(_: Any) -> Any:
    """Return a buffer for a sample. The log shows the name of this function."""
    return pynvml.nvmlGpmSampleAlloc()


def _supported(device: DeviceQuery) -> bool | None:
    """Return whether the GPU supports GPM; None if unknown."""
    support = device.call(pynvml.nvmlGpmQueryDeviceSupport)
    return None if support is None else bool(support.isSupportedDevice)


def _activity(metrics: Mapping[int, float]) -> Activity:
    pipes = ((name, _ratio(metrics.get(metric))) for name, metric in _PIPES.items())
    return Activity(
        **{name: _ratio(metrics.get(metric)) for name, metric in _RATIOS.items()},
        **{name: _bytes(metrics.get(metric)) for name, metric in _THROUGHPUTS.items()},
        pipes=tuple(PipeActivity(name, ratio) for name, ratio in pipes if ratio is not None),
    )


def _ratio(percent: float | None) -> float | None:
    value = within(percent, 0, _MAX_PERCENT)
    return None if value is None else min(value / 100, 1.0)


def _bytes(mebibytes: float | None) -> float | None:
    value = within(mebibytes, 0, _MAX_MIB)
    return None if value is None else value * _MIB
