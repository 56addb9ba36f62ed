"""Whether the InfoROM of a board is intact: the memory in which it keeps what it is and what happened to it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from genvd.collectors.nvml import extra_calls

if TYPE_CHECKING:
    from genvd.collectors.nvml.query import DeviceQuery

ASKED_AGAIN_SECONDS = 600.0
"""NVML reads the whole InfoROM from flash memory to answer, and it hardly ever changes."""


class _Answer(NamedTuple):
    """What the device said, and until when that counts, in seconds of the monotonic clock."""

    corrupted: bool
    until: float


def inforom_corrupted(device: DeviceQuery, now: float | None = None) -> bool | None:
    """Return whether its checksums are wrong, as of the last ten minutes; None where the device does not tell.

    Args:
        device: the device.
        now: the time by :func:`time.monotonic`; None for the time it is.

    Raises:
        DeviceLostError: the device does not answer any more.
    """
    now = time.monotonic() if now is None else now
    answer: _Answer | None = device.cache.get("InfoROM")
    if answer is not None and now < answer.until:
        return answer.corrupted
    corrupted: bool | None = device.call(extra_calls.inforom_corrupted)
    if corrupted is not None:
        device.cache.set("InfoROM", _Answer(corrupted, now + ASKED_AGAIN_SECONDS))
    return corrupted
