"""Advice for problems with the NVIDIA driver and its GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genvd.model.device import Device
    from genvd.overview.problem import Severity

Advice = tuple[str, str]
"""A summary of the problem, and what to do about it."""

DRIVER: dict[str, Advice] = {
    "missing": ("No NVIDIA driver is installed.", "Install one. The monitor needs no restart."),
    "not_loaded": (
        "The NVIDIA driver is not loaded.",
        "Run 'modprobe nvidia'; if that fails, 'dmesg' has the reason. The monitor needs no restart.",
    ),
    "mismatch": (
        "The NVIDIA driver was upgraded: the versions of its kernel module and library differ.",
        "Reload the module or restart the machine. Until then, programs that start find no GPU.",
    ),
    "hung": (
        "The NVIDIA driver does not answer.",
        "Look for 'NVRM: Xid' in 'dmesg'. If 'nvidia-smi' hangs too, restart the machine.",
    ),
    "no_permission": (
        "The monitor has no permission to use the NVIDIA driver.",
        "Check who may open /dev/nvidiactl and the other device files of the driver: 'ls -l /dev/nvidia*'.",
    ),
}
"""By state of the driver."""

DRIVER_FAILED: Advice = (
    "The NVIDIA driver returns an error.",
    "See 'dmesg', and check whether 'nvidia-smi' works.",
)
"""For any other state."""

XID_MEANINGS = {
    13: "graphics engine exception",
    31: "GPU memory page fault",
    43: "GPU stopped processing",
    45: "preemptive cleanup",
    48: "double-bit ECC error",
    63: "page retirement or row remapping",
    64: "page retirement or row remapping failed",
    74: "NVLink error",
    79: "GPU has fallen off the bus",
    92: "many corrected ECC errors",
    94: "contained memory error",
    95: "uncontained memory error",
    119: "GSP timeout",
    120: "GSP error",
    140: "unrecovered ECC error",
}
"""Short descriptions from NVIDIA's "XID Errors" (docs.nvidia.com/deploy/xid-errors)."""

CRITICAL_XIDS = frozenset({46, 48, 62, 64, 79, 95, 109, 110, 119, 120, 136, 140, 143})
"""XIDs after which NVIDIA recommends a reset of the GPU or a restart of the machine, as in the alert GenvDeviceXid."""

PROGRAM_XIDS = frozenset(
    {8, 11, 13, 14, 25, 31, 32, *range(37, 42), 43, 44, 45, 60, *range(66, 73), 75, 76, 77, 80, *range(82, 87), 88, 89}
    | {*range(96, 108), *range(126, 136), 139, 141}
)
"""XIDs after which it recommends to restart the program, or nothing: mostly bugs in programs. As in the alert."""

URGENT_RECOVERIES = frozenset({"gpu_reset", "node_reboot", "drain_p2p", "bus_reset", "system_reboot"})
"""Recovery actions before which the GPU cannot be used, as in the alert GenvDeviceRecoveryAction."""


def xid_severity(xid: int) -> Severity:
    """Return the severity of an XID error."""
    return "error" if xid in CRITICAL_XIDS else "info" if xid in PROGRAM_XIDS else "warning"


def reset(indices: Sequence[int]) -> str:
    """Return how to reset GPUs. docs/runbook.md has the details."""
    names = ",".join(map(str, indices))
    commands = f"systemctl stop genv-monitor; nvidia-smi --gpu-reset -i {names}; systemctl start genv-monitor"
    return f"reset {'it' if len(indices) == 1 else 'them'} ('{commands}') or restart the machine"


def freed(devices: Sequence[Device]) -> str:
    """Return how to free GPU memory that ended processes left in use."""
    them = "it" if len(devices) == 1 else "them"
    instead = reset([device.index for device in devices])
    return f"{who_has_it_open(devices)} If only the monitor has {them} open, {instead}."


def who_has_it_open(devices: Sequence[Device]) -> str:
    """Return how to find the processes that have GPUs open.

    The N of /dev/nvidiaN is the minor number. It may differ from the index, so no file is named if it is unknown.
    """
    minors = [device.board.minor_number for device in devices]
    them = "it" if len(devices) == 1 else "them"
    if None in minors:
        indices = ",".join(str(device.index) for device in devices)
        numbers = "its minor number N" if len(devices) == 1 else "the minor number N of each"
        return f"'nvidia-smi -q -i {indices}' shows {numbers}; 'fuser -v /dev/nvidiaN' as root, who has {them} open."
    files = " ".join(f"/dev/nvidia{minor}" for minor in minors)
    return f"'fuser -v {files}' as root lists the processes that have {them} open."
