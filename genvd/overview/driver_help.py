"""What helps against trouble with the driver and its GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genvd.model.device import Device

Words = tuple[str, str]
"""What is wrong, and what to do."""

DRIVER: dict[str, Words] = {
    "missing": ("There is no NVIDIA driver.", "Install one; it is picked up by itself."),
    "not_loaded": (
        "The NVIDIA driver is not loaded.",
        "Load it with 'modprobe nvidia'; if that fails, 'dmesg' says why. It is picked up by itself.",
    ),
    "mismatch": (
        "The NVIDIA driver was upgraded, and its kernel module and library differ.",
        "Unload the module and load it anew, or restart the machine. Programs that begin now find no GPU.",
    ),
    "hung": (
        "The NVIDIA driver does not answer.",
        "Look for 'NVRM: Xid' in 'dmesg'. If 'nvidia-smi' hangs too, the machine has to be restarted.",
    ),
    "no_permission": (
        "The NVIDIA driver gives the monitor no permission.",
        "See who may open /dev/nvidiactl and the other device files of the driver: 'ls -l /dev/nvidia*'.",
    ),
}
"""By the state of the driver."""

DRIVER_FAILED: Words = ("The NVIDIA driver answers with an error.", "See 'dmesg', and whether 'nvidia-smi' works.")
"""For a state that is not among these."""

LOOK = "look for 'NVRM: Xid' in 'dmesg'"
"""Where the reason is logged why a GPU is down."""


def reset(index: int) -> str:
    """Say how the GPU at an index is reset; docs/runbook.md says more."""
    commands = f"systemctl stop genv-monitor; nvidia-smi --gpu-reset -i {index}; systemctl start genv-monitor"
    return f"reset it ('{commands}') or restart the machine"


def freed(device: Device) -> str:
    """Say how the memory of a GPU is freed of what a process left in use when it ended."""
    return f"{who_has_it_open(device)} If the monitor is the only one, {reset(device.index)}."


def who_has_it_open(device: Device) -> str:
    """Say how to find the processes that have a GPU open.

    The N of /dev/nvidiaN is the minor number, which on some boards is not the index. Without it no file is named.
    """
    minor, index = device.board.minor_number, device.index
    if minor is None:
        return f"'nvidia-smi -q -i {index}' tells its minor number, and 'fuser -v' on that device file who has it open."
    return f"'fuser -v /dev/nvidia{minor}' as root names the processes that have it open."
