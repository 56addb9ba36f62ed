"""Noticing an NVIDIA driver that this process can never use, because it came after the process.

systemd resolves the device classes that a unit may use when it starts the unit. The classes of a driver that is
loaded later stay shut for the process (systemd.resource-control(5), DeviceAllow=); only a new start opens them.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

CONTROL_DEVICE = Path("/dev/nvidiactl")


class DriverWatch:
    """Knows whether there was a driver when the process started."""

    def __init__(self, device: Path = CONTROL_DEVICE) -> None:
        self._device = device
        self._there_at_start = device.exists()

    def needs_new_process(self) -> bool:
        """Tell whether a driver has appeared since the start and its devices are shut for this process.

        A new process finds the driver there when it starts, so this cannot go round in circles.
        """
        if self._there_at_start or not self._device.exists():
            return False
        try:
            os.close(os.open(self._device, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))
        except OSError as error:
            return error.errno == errno.EPERM  # the device policy says EPERM, file permissions EACCES
        return False
