"""The structures of extra_calls.py have the layouts of nvidia-ml-py, where it has them."""

from __future__ import annotations

import ctypes

import pynvml
import pytest

from genvd.collectors.nvml import extra_calls
from tests.support.needs import need


@pytest.mark.parametrize(
    ("layout", "number", "version"),
    [
        (extra_calls.SramErrors, 1, "nvmlEccSramErrorStatus_v1"),
        (extra_calls.FabricInfo, 2, "nvmlGpuFabricInfo_v2"),
        (extra_calls.FabricInfo3, 3, "nvmlGpuFabricInfo_v3"),
        (extra_calls.Margin, 1, "nvmlMarginTemperature_v1"),
        (extra_calls.FanSpeed, 1, "nvmlFanSpeedInfo_v1"),
        (extra_calls.RepairStatus, 1, "nvmlRepairStatus_v1"),
    ],
)
def test_a_layout_has_the_version_that_the_driver_knows(
    layout: type[ctypes.Structure], number: int, version: str
) -> None:
    """The version contains the size."""
    need(hasattr(pynvml, version), f"needs a newer nvidia-ml-py: {version}")
    assert extra_calls.struct_version(layout, number) == getattr(pynvml, version)
