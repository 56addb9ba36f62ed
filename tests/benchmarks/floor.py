"""What no monitor can do without: the calls to NVML that may give something else each time, bare, and files of /proc.

``python -m tests.benchmarks.floor [sixteen] PID ...``. It keeps what cannot change: the handles, and what a device does
not support. With ``sixteen`` it makes only the calls for the sixteen metrics of the existing genv monitor. Of every GPU
process it reads /proc/PID/stat and the variables, which name its environment, once and without looking at them.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from ctypes import byref
from typing import Any

import pynvml

from tests.benchmarks.orders import obey

Bare = Callable[[], object]

_DETAIL_FIELDS = (82, 74, 75, 76, 77, 79, 269, 270, 271, 186, 194, 195, 196, 230, 169, *range(173, 184))
"""Temperature of the memory, times of low clocks, power, recovery action, errors of PCIe: one call for all."""

_LINK_FIELDS = (202, 204, 138, 139, 161, 162, 163, 206, 207, 208, 211, 212, 214, 215, 219, 221, 164)
"""Bytes, errors and speed, for each NVLink: one call for all."""

_GPM_METRICS = (1, 2, 3, 10, 5, 11, 12, 13, 4, 20, 21)
_LOCATIONS = range(8)

_MOST_LINKS = 36


def _basic_calls(handle: Any) -> Iterator[tuple[Callable[..., Any], tuple[Any, ...]]]:
    """Return what the sixteen metrics need of a device."""
    yield pynvml.nvmlDeviceGetTemperature, (handle, pynvml.NVML_TEMPERATURE_GPU)
    yield pynvml.nvmlDeviceGetMemoryInfo, (handle, pynvml.nvmlMemory_v2)
    for call in (
        pynvml.nvmlDeviceGetUtilizationRates,
        pynvml.nvmlDeviceGetMigMode,
        pynvml.nvmlDeviceGetComputeRunningProcesses,
        pynvml.nvmlDeviceGetGraphicsRunningProcesses,
        pynvml.nvmlDeviceGetMPSComputeRunningProcesses,
    ):
        yield call, (handle,)


def _calls(handle: Any) -> Iterator[tuple[Callable[..., Any], tuple[Any, ...]]]:
    """Return what there is to ask of a device, of which some is not supported."""
    yield from _basic_calls(handle)
    for call in (
        pynvml.nvmlDeviceGetBAR1MemoryInfo,
        pynvml.nvmlDeviceGetPowerUsage,
        pynvml.nvmlDeviceGetEnforcedPowerLimit,
        pynvml.nvmlDeviceGetTotalEnergyConsumption,
        pynvml.nvmlDeviceGetCurrentClocksEventReasons,
        pynvml.nvmlDeviceGetPerformanceState,
        pynvml.nvmlDeviceGetEncoderUtilization,
        pynvml.nvmlDeviceGetDecoderUtilization,
        pynvml.nvmlDeviceGetJpgUtilization,
        pynvml.nvmlDeviceGetOfaUtilization,
        pynvml.nvmlDeviceGetPersistenceMode,
        pynvml.nvmlDeviceGetComputeMode,
        pynvml.nvmlDeviceGetCurrPcieLinkGeneration,
        pynvml.nvmlDeviceGetCurrPcieLinkWidth,
        pynvml.nvmlDeviceGetPcieReplayCounter,
        pynvml.nvmlDeviceGetRemappedRows,
        pynvml.nvmlDeviceGetRetiredPagesPendingStatus,
        pynvml.nvmlDeviceGetRowRemapperHistogram,
        pynvml.nvmlDeviceGetEncoderStats,
        pynvml.nvmlDeviceGetFBCStats,
        pynvml.nvmlDeviceGetMarginTemperature,
        _gpm(),
    ):
        yield call, (handle,)
    yield pynvml.nvmlDeviceGetSramEccErrorStatus, (handle, byref(pynvml.c_nvmlEccSramErrorStatus_v1_t()))
    yield pynvml.nvmlDeviceGetGpuFabricInfoV, (handle, byref(pynvml.c_nvmlGpuFabricInfo_v2_t()))
    for clock in (pynvml.NVML_CLOCK_GRAPHICS, pynvml.NVML_CLOCK_SM, pynvml.NVML_CLOCK_MEM, pynvml.NVML_CLOCK_VIDEO):
        yield pynvml.nvmlDeviceGetClockInfo, (handle, clock)
    for kind in range(2):
        for counter in range(2):
            yield pynvml.nvmlDeviceGetTotalEccErrors, (handle, kind, counter)
            for location in _LOCATIONS:
                yield pynvml.nvmlDeviceGetMemoryErrorCounter, (handle, kind, counter, location)
        yield pynvml.nvmlDeviceGetRetiredPages, (handle, kind)
        yield pynvml.nvmlDeviceGetPcieThroughput, (handle, kind)
    yield pynvml.nvmlDeviceGetFieldValues, (handle, _supported(handle, _DETAIL_FIELDS, 0))
    links = []
    for link in range(_MOST_LINKS):
        with suppress(pynvml.NVMLError):
            if pynvml.nvmlDeviceGetNvLinkState(handle, link):
                links.append(link)
                yield pynvml.nvmlDeviceGetNvLinkState, (handle, link)
    if links:
        fields = _supported(handle, _LINK_FIELDS, links[0])
        yield pynvml.nvmlDeviceGetFieldValues, (handle, [(field, link) for link in links for field, _ in fields])


def _supported(handle: Any, fields: tuple[int, ...], scope: int) -> list[tuple[int, int]]:
    wanted = [(field, scope) for field in fields]
    told = pynvml.nvmlDeviceGetFieldValues(handle, wanted)
    return [field for field, entry in zip(wanted, told, strict=True) if entry.nvmlReturn == pynvml.NVML_SUCCESS]


def _gpm() -> Callable[[Any], None]:
    """Return what takes a sample of the performance counters and compares it with the one before."""
    question = pynvml.c_nvmlGpmMetricsGet_t()
    samples = [pynvml.nvmlGpmSampleAlloc() for _ in range(2)]

    def ask(handle: Any) -> None:
        samples.reverse()
        pynvml.nvmlGpmSampleGet(handle, samples[1])
        question.version = pynvml.NVML_GPM_METRICS_GET_VERSION
        question.numMetrics = len(_GPM_METRICS)
        question.sample1, question.sample2 = samples
        for number, metric in enumerate(_GPM_METRICS):
            question.metrics[number].metricId = metric
        pynvml.nvmlGpmMetricsGet(question)

    return ask


def _bare(call: Callable[..., Any], arguments: tuple[Any, ...]) -> Bare:
    return lambda: call(*arguments)


def _device(index: int, *, everything: bool) -> list[Bare]:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    found = []
    for call, arguments in (_calls if everything else _basic_calls)(handle):
        with suppress(pynvml.NVMLError):
            if call.__name__ == "ask":  # the first sample has nothing to be compared with
                with suppress(pynvml.NVMLError):
                    call(*arguments)
            call(*arguments)
            found.append(_bare(call, arguments))

    def samples() -> None:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlDeviceGetProcessUtilization(handle, int(time.time() * 1e6) - 5_000_000)

    return [*found, samples] if everything else found


def _read(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.read(descriptor, 16384)
    os.close(descriptor)


def main(*arguments: str) -> None:
    """Ask when told to."""
    pynvml.nvmlInit()
    everything = "sixteen" not in arguments
    pids = [int(argument) for argument in arguments if argument != "sixteen"]
    calls = [call for index in range(pynvml.nvmlDeviceGetCount()) for call in _device(index, everything=everything)]

    def look(times: int) -> None:
        for _ in range(times):
            for call in calls:
                call()
            for pid in pids:
                _read(f"/proc/{pid}/stat")
                _read(f"/proc/{pid}/environ")

    obey({"look": look}, calls=len(calls))


if __name__ == "__main__":
    main(*sys.argv[1:])
