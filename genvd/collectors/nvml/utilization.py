"""Which shares of a device each process took: of SM, memory, encoder and decoder time, by the driver's own samples.

nvidia-ml-py has this call too, but asks for the list once after it has asked for its size, which fails when it has
grown in between. The layout is ``nvmlProcessUtilizationSample_t`` of nvml.h.
"""

from __future__ import annotations

import ctypes
import struct
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import pynvml

from genvd.collectors.host.procfs import MAX_PID
from genvd.collectors.nvml.extra_calls import function
from genvd.model.facts import EngineShares

_SAMPLE = struct.Struct("=I4xQIIII")
"""pid; time in microseconds since the epoch; percent of SM, memory, encoder and decoder time."""

_FIRST_WINDOW = 5_000_000
"""Microseconds for which the driver is asked when it was not asked before: its oldest samples are of long ago."""

_AHEAD = 1_000_000
"""Microseconds by which a sample may be later than now; after a step of the clock it can be hours."""

_MAX_PERCENT = 100
_MIN_CAPACITY = 32
_MAX_CAPACITY = 2**16
_MAX_ATTEMPTS = 12


class ProcessWork(NamedTuple):
    """What one process did."""

    share: float | None
    """Of SM time, 0 to 1; None where no sample makes sense."""
    beside: bool
    """Whether it had the device encode or decode video, or read or write its memory."""
    engines: EngineShares


class ProcessUtilization:
    """Asks one device for the samples since it was last query."""

    def __init__(self) -> None:
        self._device: object = None
        self._seen = 0

    def process_utilization(self, handle: Any, now: float | None = None) -> dict[int, ProcessWork]:
        """Return what each process did of which there are samples.

        Of several samples the mean of each share counts: it is what adds up over time. There are samples only of times
        in which a process did something, so the mean is that of those times.

        Args:
            handle: of the device.
            now: in seconds since the epoch; None for the time it is.

        Raises:
            pynvml.NVMLError: NVML does not tell.
        """
        clock = int((time.time() if now is None else now) * 1_000_000)
        device = _identity(handle)
        if device != self._device or self._seen > clock + _AHEAD:
            self._device, self._seen = device, max(0, clock - _FIRST_WINDOW)
        try:
            samples = _read(handle, self._seen)
        except pynvml.NVMLError as error:
            if error.value == pynvml.NVML_ERROR_NOT_FOUND:  # nobody did anything
                return {}
            raise
        percents: dict[int, list[tuple[int, ...]]] = {}
        newest = self._seen
        for pid, timestamp, *told in samples:
            # The driver has been seen to leave entries unwritten, and to count a share above all there is.
            if 0 < pid <= MAX_PID and self._seen < timestamp <= clock + _AHEAD:
                newest = max(newest, timestamp)
                percents.setdefault(pid, []).append(tuple(told))
        self._seen = newest
        return {pid: _work(told) for pid, told in percents.items()}


def _work(samples: Iterable[tuple[int, ...]]) -> ProcessWork:
    """Return what a process did by its samples: percent of SM, memory, encoder and decoder time in each."""
    share, *others = map(_mean, zip(*samples, strict=True))
    return ProcessWork(share, any(others), EngineShares(*others))


def _mean(percents: Iterable[int]) -> float | None:
    """Return the mean as a share of 1, of those that can be."""
    possible = [percent for percent in percents if percent <= _MAX_PERCENT]
    return sum(possible) / len(possible) / 100 if possible else None


def _identity(handle: Any) -> object:
    """Return what tells a device from another that has its index later; its timestamps say nothing of that one."""
    try:
        return pynvml.nvmlDeviceGetUUID(handle)
    except (pynvml.NVMLError, ValueError):
        return None


def _read(handle: Any, since: int) -> Iterable[tuple[int, ...]]:
    """Return the samples as they are: pid, time, percent of SM, memory, encoder and decoder time."""
    call = function("nvmlDeviceGetProcessUtilization")
    capacity = 0
    for _ in range(_MAX_ATTEMPTS):
        buffer = ctypes.create_string_buffer(capacity * _SAMPLE.size) if capacity else None
        count = ctypes.c_uint(capacity)
        result = call(handle, buffer, ctypes.byref(count), ctypes.c_ulonglong(since))
        if result == pynvml.NVML_SUCCESS:
            raw = buffer.raw if buffer else b""
            return _SAMPLE.iter_unpack(raw[: min(count.value, capacity) * _SAMPLE.size])
        if result != pynvml.NVML_ERROR_INSUFFICIENT_SIZE:
            raise pynvml.NVMLError(result)
        capacity = min(max(2 * capacity, count.value + count.value // 2, _MIN_CAPACITY), _MAX_CAPACITY)
    raise pynvml.NVMLError(pynvml.NVML_ERROR_INSUFFICIENT_SIZE)
