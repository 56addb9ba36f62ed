"""The throughput of the PCIe link of each GPU. A reading takes 40 ms, so it runs in the background."""

from __future__ import annotations

import logging
from typing import NamedTuple

import pynvml

from genvd.collectors.device_set import DeviceLostError
from genvd.collectors.nvml.errors import NvmlCalls
from genvd.collectors.nvml.log_limit import GpuErrorLog, LogLimit
from genvd.collectors.nvml.query import DeviceCache, DeviceQuery, decode_text
from genvd.collectors.runner import Runner
from genvd.common.worker_pool import WorkerPool
from genvd.model.device import PcieThroughput

log = logging.getLogger(__name__)

_BYTES_PER_KB = 1024

_PART = "PCIe throughput"

_DO_NOT_WAIT = 0.0
"""Deadline of a call that is not waited for."""


class _Sample(NamedTuple):
    uuid: str | None
    throughput: PcieThroughput


class _PcieCollector:
    """Collects the throughput of the PCIe link of the GPU at an index."""

    def __init__(self, index: int, limit: LogLimit) -> None:
        self.name = f"GPU {index} PCIe throughput"
        self._index = index
        self._calls = NvmlCalls(GpuErrorLog(log, limit, index, _PART))

    def collect(self, request: None = None) -> _Sample:
        """Return the throughput. NVML counts for 20 ms in each direction."""
        self._calls.start_reading()
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(self._index)
            device = DeviceQuery(self.name, handle, self._calls, DeviceCache())
            uuid = decode_text(device.call(pynvml.nvmlDeviceGetUUID))
            return _Sample(
                uuid,
                PcieThroughput(
                    receive=self._bytes(device, pynvml.NVML_PCIE_UTIL_RX_BYTES, "receive"),
                    transmit=self._bytes(device, pynvml.NVML_PCIE_UTIL_TX_BYTES, "transmit"),
                ),
            )
        except (pynvml.NVMLError, DeviceLostError):
            return _Sample(None, PcieThroughput())  # DeviceCollector logs the error

    @staticmethod
    def _bytes(device: DeviceQuery, counter: int, about: str) -> int | None:
        kilobytes = device.call_int(pynvml.nvmlDeviceGetPcieThroughput, counter, about=about)
        return None if kilobytes is None else kilobytes * _BYTES_PER_KB


class PcieSampler:
    """Samples the PCIe links of all GPUs in the background.

    Each collection takes the sample that the previous collection has started, and starts the next one.
    """

    def __init__(self, limit: LogLimit) -> None:
        self._limit = limit
        self._pool = WorkerPool("pcie")
        self._runners: dict[int, Runner[None, _Sample]] = {}  # by the index of the GPU

    @property
    def busy(self) -> bool:
        """Whether an NVML call is running."""
        return any(runner.busy for runner in self._runners.values())

    def sample(self, index: int, uuid: str | None) -> PcieThroughput:
        """Return the last sample of a GPU, empty if it is too old or of another GPU, and start the next one."""
        runner = self._runners.get(index)
        if runner is None:
            runner = self._runners[index] = Runner(_PcieCollector(index, self._limit), self._pool)
            sample = None
        else:
            sample, _ = runner.result()
        runner.start(None, _DO_NOT_WAIT)
        return sample.throughput if sample and sample.uuid == uuid else PcieThroughput()

    def keep_only(self, indices: set[int]) -> None:
        """Stop sampling all other GPUs."""
        for index in [index for index in self._runners if index not in indices]:
            if not self._runners[index].busy:
                del self._runners[index]
                self._limit.release(index, _PART)
