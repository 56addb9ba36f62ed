"""How a device stands in the fabric of NVLinks and NVSwitches (Hopper and later, in machines that have one)."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pynvml

from genvd.collectors.nvml.extra_calls import fabric_info, fabric_info_3
from genvd.model.device import Fabric, FabricProblem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genvd.collectors.nvml.query import DeviceQuery

_STATES = {1: "not_started", 2: "in_progress", 3: "completed"}
"""``NVML_GPU_FABRIC_STATE_...``; 0 is that there is none."""

_FAILED = "failed"

_PROBLEMS = {
    "degraded_bandwidth": 0,
    "route_recovery": 2,
    "route_unhealthy": 4,
    "access_timeout_recovery": 6,
}
"""``NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_...``: 0 in the two bits there is that the device cannot tell, 1 yes, 2 no."""

_CONFIGURATION_SHIFT, _CONFIGURATION_MASK = 8, 0xF
"""Of ``INCORRECT_CONFIGURATION``: 0 that the device cannot tell, 1 that it is correct, else what is wrong with it."""


def read_fabric(device: DeviceQuery) -> Fabric | None:
    """Return what the device tells; None where there is no fabric.

    Raises:
        DeviceLostError: it does not answer any more.
    """
    info = device.call_first((fabric_info, (device.handle,)), (fabric_info_3, (device.handle,)))
    state = _STATES.get(info.state) if info else None
    if state is None:
        return None
    if state != "completed":
        return Fabric(state)
    if info.status != pynvml.NVML_SUCCESS:
        return Fabric(_FAILED)
    return Fabric(state, str(uuid.UUID(bytes=bytes(info.cluster))), info.clique, tuple(_problems(info.health)))


def _problems(mask: int) -> Iterator[FabricProblem]:
    for name, shift in _PROBLEMS.items():
        told = mask >> shift & 0x3
        if told in (1, 2):
            yield FabricProblem(name, told == 1)
    configuration = mask >> _CONFIGURATION_SHIFT & _CONFIGURATION_MASK
    if configuration:
        yield FabricProblem("incorrect_configuration", configuration != 1)
