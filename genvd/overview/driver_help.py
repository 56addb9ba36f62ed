"""Advice for problems with the NVIDIA driver and its GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genvd.model.device import Device

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

PROGRAM_XIDS = frozenset({13, 31, 43})
"""XIDs that a bug in a program usually causes, by the same document."""


def reset(index: int) -> str:
    """Return how to reset a GPU. docs/runbook.md has the details."""
    commands = f"systemctl stop genv-monitor; nvidia-smi --gpu-reset -i {index}; systemctl start genv-monitor"
    return f"reset it ('{commands}') or restart the machine"


def freed(device: Device) -> str:
    """Return how to free GPU memory that an ended process left in use."""
    return f"{who_has_it_open(device)} If only the monitor has it open, {reset(device.index)}."


def who_has_it_open(device: Device) -> str:
    """Return how to find the processes that have a GPU open.

    The N of /dev/nvidiaN is the minor number. It may differ from the index, so no file is named if it is unknown.
    """
    minor, index = device.board.minor_number, device.index
    if minor is None:
        return f"'nvidia-smi -q -i {index}' shows its minor number N; 'fuser -v /dev/nvidiaN' as root, who has it open."
    return f"'fuser -v /dev/nvidia{minor}' as root lists the processes that have it open."
