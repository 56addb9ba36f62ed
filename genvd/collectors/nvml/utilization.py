"""The utilization of a GPU by each process: SM, memory, encoder and decoder time, from the driver's samples.

nvidia-ml-py has this call too, but it reads the size and then the list once, which fails if the list has grown in
between. The layout is ``nvmlProcessUtilizationSample_t`` of nvml.h.
"""

from __future__ import annotations

import ctypes
import struct
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import pynvml

from genvd.collectors.host.procfs import MAX_PID
from genvd.collectors.nvml.extra_calls import call_with_growing_buffer, library_function
from genvd.collectors.nvml.query import call_or_none
from genvd.model.facts import EngineShares

_SAMPLE = struct.Struct("=I4xQIIII")
"""pid, microseconds since the epoch, percent of SM, memory, encoder and decoder time."""

_FIRST_WINDOW = 5_000_000
"""Microseconds that the first reading goes back. The driver's oldest samples are much older."""

_MAX_AHEAD = 1_000_000
"""Microseconds by which a sample may be later than now. Others, such as after a clock step, are ignored."""

_MAX_PERCENT = 100
_MAX_CAPACITY = 2**16


class ProcessWork(NamedTuple):
    """The utilization by one process."""

    sm_ratio: float | None
    """Share of SM time, 0 to 1; None without a valid sample."""
    uses_other_engines: bool
    """Whether it used the video encoder, the decoder or the GPU memory."""
    engines: EngineShares


class ProcessUtilization:
    """Reads the samples of one GPU since the previous reading."""

    def __init__(self) -> None:
        self._uuid: object = None
        self._seen = 0  # time of the newest sample that was read, in microseconds since the epoch

    def process_utilization(self, handle: Any, now: float | None = None) -> dict[int, ProcessWork]:
        """Return the utilization by each process that has samples.

        It is the mean of the samples. The driver samples a process only while it is active.

        Args:
            handle: of the GPU.
            now: Unix time in seconds; None for the current time.

        Raises:
            pynvml.NVMLError: the call fails.
        """
        now_microseconds = int((time.time() if now is None else now) * 1_000_000)
        uuid = call_or_none(pynvml.nvmlDeviceGetUUID, handle)
        if uuid != self._uuid or self._seen > now_microseconds + _MAX_AHEAD:
            self._uuid, self._seen = uuid, max(0, now_microseconds - _FIRST_WINDOW)
        try:
            samples = _read(handle, self._seen)
        except pynvml.NVMLError as error:
            if error.value == pynvml.NVML_ERROR_NOT_FOUND:  # no process was active
                return {}
            raise
        percents: dict[int, list[tuple[int, ...]]] = {}
        newest = self._seen
        for pid, timestamp, *values in samples:
            # Some drivers leave entries unwritten.
            if 0 < pid <= MAX_PID and self._seen < timestamp <= now_microseconds + _MAX_AHEAD:
                newest = max(newest, timestamp)
                percents.setdefault(pid, []).append(tuple(values))
        self._seen = newest
        return {pid: _work(samples) for pid, samples in percents.items()}


def _work(samples: Iterable[tuple[int, ...]]) -> ProcessWork:
    """Return the utilization by a process; each sample is percent of SM, memory, encoder and decoder time."""
    sm_ratio, *others = map(_mean, zip(*samples, strict=True))
    return ProcessWork(sm_ratio, any(others), EngineShares(*others))


def _mean(percents: Iterable[int]) -> float | None:
    """Return the mean of the valid samples as a ratio; some drivers report more than 100 percent."""
    valid = [percent for percent in percents if percent <= _MAX_PERCENT]
    return sum(valid) / len(valid) / 100 if valid else None


def _read(handle: Any, since: int) -> Iterable[tuple[int, ...]]:
    """Return the raw samples: pid, time, percent of SM, memory, encoder and decoder time."""
    call = library_function("nvmlDeviceGetProcessUtilization")
    raw, count = call_with_growing_buffer(
        lambda buffer, count: call(handle, buffer, count, ctypes.c_ulonglong(since)), _SAMPLE.size, 0, _MAX_CAPACITY
    )
    return _SAMPLE.iter_unpack(raw[: count * _SAMPLE.size])
