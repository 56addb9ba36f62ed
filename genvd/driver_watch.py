"""Noticing an NVIDIA driver that this process can never use, because it came after the process.

systemd resolves the device classes that a unit may use when it starts the unit. The classes of a driver that is
loaded later stay shut for the process (systemd.resource-control(5), DeviceAllow=); only a new start opens them.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

CONTROL_DEVICE = Path("/dev/nvidiactl")
DEVICE_CLASSES = Path("/proc/devices")


class DriverWatch:
    """Knows which driver there was when the process started."""

    def __init__(self, device: Path = CONTROL_DEVICE) -> None:
        self._device = device
        self._there_at_start = device.exists()
        self._classes_at_start = _nvidia_classes()

    def needs_new_process(self) -> bool:
        """Tell whether a driver has appeared since the start and its devices are shut for this process.

        A new process finds the driver there when it starts, so this cannot go round in circles.
        """
        appeared = not self._there_at_start or _nvidia_classes() - self._classes_at_start
        if not appeared or not self._device.exists():
            return False
        try:
            os.close(os.open(self._device, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))
        except OSError as error:
            return error.errno == errno.EPERM  # the device policy says EPERM, file permissions EACCES
        return False


def _nvidia_classes() -> frozenset[str]:
    """Return the names of the driver's device classes, as proc_devices(5) lists them."""
    try:
        lines = DEVICE_CLASSES.read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(name for line in lines for name in line.split()[1:2] if name.startswith("nvidia"))
