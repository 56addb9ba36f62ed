"""Those details of a GPU that hardly change: limits, modes, the recommended recovery, PCI Express errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pynvml

from genvd.collectors.nvml.board import read_inforom_corrupted
from genvd.collectors.nvml.bounds import flag, watts
from genvd.collectors.nvml.fields import supported_values
from genvd.collectors.nvml.temperatures import read_margin_thresholds, read_thresholds
from genvd.model.device import DeviceDetails, ErrorCount

if TYPE_CHECKING:
    from genvd.collectors.nvml.fields import Field
    from genvd.collectors.nvml.query import DeviceQuery

_MODULE_POWER_LIMIT = (190, 1)
"""``NVML_FI_DEV_POWER_CURRENT_LIMIT`` with ``NVML_POWER_SCOPE_MODULE``."""

_REPLAY_ROLLOVERS = (95, 0)
"""``NVML_FI_DEV_PCIE_REPLAY_ROLLOVER_COUNTER``."""

_RECOVERY_ACTION = (230, 0)
_RECOVERY_ACTIONS = {
    0: "none",
    1: "gpu_reset",
    2: "node_reboot",
    3: "drain_p2p",
    4: "drain_and_reset",
    5: "recover_imex_domain",
    6: "bus_reset",
    7: "system_reboot",
}
"""``NVML_FI_DEV_GET_GPU_RECOVERY_ACTION``, by ``nvmlDeviceGpuRecoveryAction_t``."""

_PCIE_ERRORS: dict[str, Field] = {
    "l0_to_recovery": (169, 0),
    "correctable": (173, 0),
    "naks_received": (174, 0),
    "receiver": (175, 0),
    "bad_tlp": (176, 0),
    "naks_sent": (177, 0),
    "bad_dllp": (178, 0),
    "non_fatal": (179, 0),
    "fatal": (180, 0),
    "unsupported_request": (181, 0),
    "lcrc": (182, 0),
    "lane": (183, 0),
}
"""``NVML_FI_DEV_PCIE_COUNT_...``"""

_FIELDS: tuple[Field, ...] = (_MODULE_POWER_LIMIT, _RECOVERY_ACTION, _REPLAY_ROLLOVERS, *_PCIE_ERRORS.values())

_COMPUTE_MODES = ("default", "exclusive_thread", "prohibited", "exclusive_process")
"""By ``nvmlComputeMode_t``."""


def read_settings(device: DeviceQuery) -> DeviceDetails:
    """Return these details alone, as the GPU reports them."""
    get, fields = device.cache.get_or_fetch, supported_values(device, _FIELDS, "settings")
    limits = get("power limits", lambda: device.call(pynvml.nvmlDeviceGetPowerManagementLimitConstraints)) or (
        None,
        None,
    )
    return DeviceDetails(
        module_power_limit_watts=watts(fields.get(_MODULE_POWER_LIMIT)),
        power_limit_watts=watts(device.call_int(pynvml.nvmlDeviceGetEnforcedPowerLimit)),
        power_limit_default_watts=get(
            "default power limit", lambda: watts(device.call_int(pynvml.nvmlDeviceGetPowerManagementDefaultLimit))
        ),
        power_limit_min_watts=watts(limits[0]),
        power_limit_max_watts=watts(limits[1]),
        thresholds=read_thresholds(device),
        margin_thresholds=read_margin_thresholds(device),
        recovery_action=_RECOVERY_ACTIONS.get(fields.get(_RECOVERY_ACTION, -1)),
        persistence_enabled=flag(device.call_int(pynvml.nvmlDeviceGetPersistenceMode)),
        inforom_corrupted=read_inforom_corrupted(device),
        compute_mode=_compute_mode(device),
        pcie_replays=device.call_int(pynvml.nvmlDeviceGetPcieReplayCounter),
        pcie_replay_rollovers=fields.get(_REPLAY_ROLLOVERS),
        pcie_errors=tuple(ErrorCount(kind, fields[field]) for kind, field in _PCIE_ERRORS.items() if field in fields),
    )


def _compute_mode(device: DeviceQuery) -> str | None:
    mode = device.call_int(pynvml.nvmlDeviceGetComputeMode)
    return None if mode is None or mode >= len(_COMPUTE_MODES) else _COMPUTE_MODES[mode]
