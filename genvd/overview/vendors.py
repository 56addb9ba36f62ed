"""What helps against trouble with a driver and its devices, which is of each vendor's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

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
    freed: Callable[[int], str]
    """How its memory is freed of what nobody in sight has."""


def _reset(index: int) -> str:
    commands = f"systemctl stop genv-monitor; nvidia-smi --gpu-reset -i {index}; systemctl start genv-monitor"
    return f"reset it ('{commands}') or restart the machine"


def _freed(index: int) -> str:
    return (
        f"'fuser -v /dev/nvidia{index}' as root names the processes that have it open. If the monitor is the only one,"
        f" {_reset(index)}."
    )


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
            "See who may open /dev/nvidiactl and /dev/nvidia0.",
        ),
    },
    driver_failed=("The NVIDIA driver answers with an error.", "See 'dmesg', and whether 'nvidia-smi' works."),
    look="look for 'NVRM: Xid' in 'dmesg'",
    reset=_reset,
    freed=_freed,
)

VENDORS = {"nvml": NVIDIA}
"""By the name of the collector that asks them."""
