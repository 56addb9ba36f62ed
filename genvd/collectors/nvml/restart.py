"""When only a new process can use the NVIDIA driver."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

from genvd.collectors.nvml.driver import library_identity

CONTROL_DEVICE = Path("/dev/nvidiactl")
DEVICE_CLASSES = Path("/proc/devices")

MIN_PROCESS_SECONDS = 5.0
"""That a process lives at least, so that whatever the driver does, processes do not chase each other."""


class RestartRule:
    """Says when a new process helps, by which driver there was when this one started, and whether it worked."""

    def __init__(self, device: Path = CONTROL_DEVICE) -> None:
        self._device = device
        self._started = time.monotonic()
        self._present_at_start = device.exists()
        self._classes_at_start = _nvidia_classes()
        self._worked = False
        self._library: tuple[int, ...] | None = None

    def restart_reason(self, driver_state: str) -> str | None:
        """Return why a new process is needed, or None if this one will do or a new one would fare no better.

        Args:
            driver_state: one of :data:`genvd.model.snapshot.DRIVER_STATES`.
        """
        self._worked = self._worked or driver_state == "ok"
        if self._library is None and driver_state != "missing":  # else none is loaded, which takes long to find out
            self._library = library_identity()
        if time.monotonic() - self._started < MIN_PROCESS_SECONDS:
            return None
        if driver_state == "mismatch" and (self._worked or library_identity() != self._library):
            # Not so for the new process, if it meets the same: NVML never worked there, and it loads what is on disk.
            return "the NVIDIA driver was upgraded, and only a new process loads its new library"
        if driver_state != "ok" and self._driver_came_later():
            return "an NVIDIA driver was loaded, and systemd opens its devices to a new process only"
        return None

    def _driver_came_later(self) -> bool:
        """Tell whether a driver has appeared since the start and its devices are shut for this process.

        systemd resolves the device classes that a unit may use when it starts the unit. Those of a driver that is
        loaded later stay shut (systemd.resource-control(5), DeviceAllow=). A new process finds the driver there when
        it starts, so this cannot go round in circles.
        """
        appeared = not self._present_at_start or _nvidia_classes() - self._classes_at_start
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
