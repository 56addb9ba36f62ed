"""What helps against trouble with a driver and its devices, which is of each vendor's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genvd.device_model import Device

Words = tuple[str, str]
"""What is wrong, and what to do."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """The words for the devices of one vendor."""

    driver: Mapping[str, Words]
    """By the state of the driver."""
    driver_failed: Words
    """For a state that is not among these."""
    look: str
    """Where a device that is down tells why."""
    reset: Callable[[int], str]
    """How the device at an index is reset; docs/runbook.md says more."""
    freed: Callable[[Device], str]
    """How the memory of a device is freed of what a process left behind when it ended."""
    unseen: Callable[[Device], str]
    """How to find who has memory of a device that the monitor cannot see."""


def _reset(index: int) -> str:
    commands = f"systemctl stop genv-monitor; nvidia-smi --gpu-reset -i {index}; systemctl start genv-monitor"
    return f"reset it ('{commands}') or restart the machine"


def _freed(device: Device) -> str:
    return f"{_who_has_it_open(device)} If the monitor is the only one, {_reset(device.index)}."


def _who_has_it_open(device: Device) -> str:
    """Say how to find the processes that have a device open.

    The N of /dev/nvidiaN is the minor number, which on some boards is not the index. Without it no file is named.
    """
    minor, index = device.board.minor_number, device.index
    if minor is None:
        return f"'nvidia-smi -q -i {index}' tells its minor number, and 'fuser -v' on that device file who has it open."
    return f"'fuser -v /dev/nvidia{minor}' as root names the processes that have it open."


NVIDIA = Vendor(
    driver={
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
    },
    driver_failed=("The NVIDIA driver answers with an error.", "See 'dmesg', and whether 'nvidia-smi' works."),
    look="look for 'NVRM: Xid' in 'dmesg'",
    reset=_reset,
    freed=_freed,
    unseen=_who_has_it_open,
)

VENDORS = {"nvml": NVIDIA}
"""By the name of the collector that asks them."""
