"""A bug in the code that reads one part of a GPU."""

from __future__ import annotations

import logging

import pytest

from genvd.collectors.device_set import DeviceLostError, PartReader


def fail() -> int:
    return int("nonsense")


def test_a_bug_costs_its_part_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    reader = PartReader("GPU 3")
    with caplog.at_level(logging.WARNING):
        assert [reader.read("NVLinks", fail, -1) for _ in range(3)] == [-1] * 3
        assert reader.read("fabric", lambda: 7, -1) == 7
        assert reader.read("fabric", fail, -1) == -1
    assert [record.getMessage().split(" failed")[0] for record in caplog.records] == [
        "GPU 3: reading NVLinks",
        "GPU 3: reading fabric",
    ]


def test_a_lost_device_is_not_a_bug() -> None:
    def lose() -> int:
        raise DeviceLostError("gone")

    with pytest.raises(DeviceLostError, match="gone"):
        PartReader("GPU 3").read("NVLinks", lose, -1)
