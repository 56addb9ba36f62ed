"""Decides when the process must restart itself to use the NVIDIA driver."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

from genvd.collectors.nvml.driver import library_identity

CONTROL_DEVICE = Path("/dev/nvidiactl")
DEVICE_CLASSES = Path("/proc/devices")

MIN_PROCESS_SECONDS = 5.0
"""The minimum lifetime of a process, which limits the rate of restarts."""


class RestartRule:
    """Decides whether a new process would help, from the driver at the start and whether it has worked since."""

    def __init__(self, device: Path = CONTROL_DEVICE) -> None:
        self._device = device
        self._started = time.monotonic()
        self._present_at_start = device.exists()
        self._classes_at_start = _nvidia_classes()
        self._worked = False
        self._library: tuple[int, ...] | None = None

    def restart_reason(self, driver_state: str) -> str | None:
        """Return why a new process is needed, or None if it is not needed or would not help.

        Args:
            driver_state: one of :data:`genvd.model.facts.DRIVER_STATES`.
        """
        self._worked = self._worked or driver_state == "ok"
        if self._library is None and driver_state != "missing":  # looking for a missing library takes long
            self._library = library_identity()
        if time.monotonic() - self._started < MIN_PROCESS_SECONDS:
            return None
        if driver_state == "mismatch" and (self._worked or library_identity() != self._library):
            # The new process does not restart again: NVML has not worked there, and its library is the one on disk.
            return "the NVIDIA driver was upgraded, and only a new process loads its new library"
        if driver_state != "ok" and self._driver_loaded_later():
            return "an NVIDIA driver was loaded, and systemd opens its devices to a new process only"
        return None

    def _driver_loaded_later(self) -> bool:
        """Return whether a driver was loaded after the start and this process has no access to its devices.

        systemd resolves the device classes of DeviceAllow= when it starts a unit (systemd.resource-control(5)), so a
        driver that is loaded later stays inaccessible. A new process finds the driver at its start, so it does not
        restart for this reason.
        """
        appeared = not self._present_at_start or _nvidia_classes() - self._classes_at_start
        if not appeared or not self._device.exists():
            return False
        try:
            os.close(os.open(self._device, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))
        except OSError as error:
            return error.errno == errno.EPERM  # the device policy causes EPERM, file permissions EACCES
        return False


def _nvidia_classes() -> frozenset[str]:
    """Return the names of the driver's device classes, as proc_devices(5) lists them."""
    try:
        lines = DEVICE_CLASSES.read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(name for line in lines for name in line.split()[1:2] if name.startswith("nvidia"))
