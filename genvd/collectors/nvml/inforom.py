"""Whether the InfoROM of a GPU board, its persistent memory, is corrupted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from genvd.collectors.nvml import extra_calls

if TYPE_CHECKING:
    from genvd.collectors.nvml.query import DeviceQuery

CACHE_SECONDS = 600.0
"""NVML reads the whole InfoROM from flash memory for each call, and it hardly ever changes."""


class _Answer(NamedTuple):
    """A cached answer."""

    corrupted: bool
    expires: float
    """Seconds of the monotonic clock."""


def read_inforom_corrupted(device: DeviceQuery, now: float | None = None) -> bool | None:
    """Return whether the checksums of the InfoROM are wrong; None if unknown. Answers are cached for ten minutes.

    Args:
        device: the GPU.
        now: of :func:`time.monotonic`; None for the current time.
    """
    now = time.monotonic() if now is None else now
    answer: _Answer | None = device.cache.get("InfoROM")
    if answer is not None and now < answer.expires:
        return answer.corrupted
    corrupted: bool | None = device.call(extra_calls.inforom_corrupted)
    if corrupted is not None:
        device.cache.set("InfoROM", _Answer(corrupted, now + CACHE_SECONDS))
    return corrupted
