"""How often the InfoROM of a board is read."""

from __future__ import annotations

import logging

import pytest

from genvd.collectors.nvml import extra_calls
from genvd.collectors.nvml.board import INFOROM_CACHE_SECONDS, read_inforom_corrupted
from genvd.collectors.nvml.errors import NvmlCalls
from genvd.collectors.nvml.query import DeviceCache, DeviceQuery
from genvd.common.error_log import ErrorLog


def test_the_inforom_is_read_once_in_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter((False, True))

    def inforom(handle: object) -> bool:
        return next(answers)

    monkeypatch.setattr(extra_calls, "inforom_corrupted", inforom)
    device = DeviceQuery("GPU 0", None, NvmlCalls(ErrorLog(logging.getLogger())), DeviceCache())
    times = (0.0, 1.0, INFOROM_CACHE_SECONDS - 1, INFOROM_CACHE_SECONDS, INFOROM_CACHE_SECONDS + 1)
    assert [read_inforom_corrupted(device, now) for now in times] == [False, False, False, True, True]
