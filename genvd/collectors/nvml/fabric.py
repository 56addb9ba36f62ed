"""The state of a GPU in the NVLink fabric with NVSwitches (Hopper and later)."""

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
"""``NVML_GPU_FABRIC_STATE_...``; 0 means that there is no fabric."""

_FAILED = "failed"

_PROBLEMS = {
    "degraded_bandwidth": 0,
    "route_recovery": 2,
    "route_unhealthy": 4,
    "access_timeout_recovery": 6,
}
"""``NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_...``: two bits each, 0: not reported, 1: yes, 2: no."""

_CONFIGURATION_SHIFT, _CONFIGURATION_MASK = 8, 0xF
"""Of ``INCORRECT_CONFIGURATION``, 0: not reported, 1: correct, other values: what is wrong."""


def read_fabric(device: DeviceQuery) -> Fabric | None:
    """Return the fabric state of the GPU, or None if there is no fabric."""
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
        flag = mask >> shift & 0x3
        if flag in (1, 2):
            yield FabricProblem(name, flag == 1)
    configuration = mask >> _CONFIGURATION_SHIFT & _CONFIGURATION_MASK
    if configuration:
        yield FabricProblem("incorrect_configuration", configuration != 1)
