"""Collects the facts about all GPUs through NVML, and reinitialises NVML when necessary."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import pynvml

from genvd.collectors.base import CollectorError, DeviceGroups, GpuRequest
from genvd.collectors.device_set import DeviceSet, all_devices_hung, device_deadline
from genvd.collectors.host.procfs import host_memory
from genvd.collectors.nvml.device import DeviceCollector, DeviceRequest
from genvd.collectors.nvml.driver import driver_error, driver_gpus, read_driver_versions
from genvd.collectors.nvml.group_reader import Schedule
from genvd.collectors.nvml.log_limit import LogLimit
from genvd.collectors.nvml.pcie import PcieSampler
from genvd.collectors.nvml.xid import XidCounter, hardware_errors
from genvd.common.error_log import ErrorLog
from genvd.model.device import Device, DriverVersions, PcieThroughput
from genvd.model.facts import GpuFacts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

log = logging.getLogger(__name__)

_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 1.0, 60.0
"""Seconds until NVML is reinitialised for a GPU that is down; doubled each time."""

_MAX_DEVICES = 4096
"""A higher count is an error of the driver."""

_MORE = "more"
"""The key in the error log for the GPUs whose errors are not logged one by one."""


class NvmlCollector:
    """Collects the facts about the NVIDIA GPUs of this machine.

    Each GPU is read in a thread of its own, so that one that hangs does not hide the others. If the driver is missing
    or not loaded, each collection tries again.
    """

    name = "nvml"

    def __init__(self) -> None:
        self._initialised = False
        self._session = 0  # see DeviceRequest.session
        self._count = 0
        self._driver = DriverVersions()
        self._gpus: frozenset[str] = frozenset()  # the PCI addresses when NVML was initialised
        self._log_limit = LogLimit()
        self._devices: DeviceSet[DeviceRequest] = DeviceSet(partial(DeviceCollector, limit=self._log_limit))
        self._xids = XidCounter(self._devices.pool)
        self._pcie = PcieSampler(self._log_limit)
        self._hardware_errors: dict[int, int] = {}  # see DeviceRequest.hardware_errors
        self._retry_seconds = _FIRST_RETRY_SECONDS
        self._retry_at: float | None = None
        self._errors = ErrorLog(log)

    def collect(self, request: GpuRequest) -> GpuFacts:
        """Return all GPUs and the contexts on them.

        Raises:
            CollectorError: the driver is missing or broken, or no GPU answers in time.
        """
        deadline = device_deadline(request.deadline)
        try:
            count = self._count_devices()
        except pynvml.NVMLError as error:
            self._shut_down()
            raise driver_error(error) from None
        except CollectorError:  # the count is impossible; reinitialising may help
            self._shut_down()
            raise
        return self._collect_devices(count, deadline, request)

    def _count_devices(self) -> int:
        """Return the number of GPUs; initialise or reinitialise NVML if necessary."""
        if self._initialised and self._should_reinitialise():
            self._shut_down()
        if self._initialised:
            with suppress(pynvml.NVMLError):
                return _device_count()
            self._shut_down()
        if not self._initialised:
            self._initialise()
        return _device_count()

    def _initialise(self) -> None:
        pynvml.nvmlInit()
        self._initialised = True
        self._session += 1
        self._devices.forget_identities()
        self._gpus = driver_gpus()
        self._driver = read_driver_versions()
        text = f"NVIDIA driver {self._driver.driver or 'of unknown version'}: NVML is initialised"
        # While a GPU is down, this happens each minute, and is logged at INFO only the first time.
        if not self._errors.report("initialised", text, level=logging.INFO):
            log.debug("%s", text)

    def _should_reinitialise(self) -> bool:
        """Return whether NVML may find other GPUs now. It enumerates them only when it is initialised."""
        if self._retry_at is not None and time.monotonic() >= self._retry_at:
            self._retry_at = None
            return True
        return driver_gpus() != self._gpus

    def _shut_down(self) -> None:
        """Shut NVML down, unless a call is running: one that hangs may still use the session."""
        if self._devices.busy or self._pcie.busy or not self._xids.stop():
            return
        if self._initialised:
            self._initialised = False
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()

    def _collect_devices(self, count: int, deadline: float, request: GpuRequest) -> GpuFacts:
        groups = request.groups
        if count != self._count:  # the same index may be another GPU now
            self._session, self._count = self._session + 1, count
        schedule = Schedule(request.number, count, request.periods)
        device_request = DeviceRequest(self._session, groups, schedule, self._hardware_errors)
        self._devices.start(count, device_request, deadline)
        if groups.xid:
            self._xids.start(count, deadline)
        facts, hung = self._devices.result(count)
        self._log_limit.drop_from(count)
        self._log_unlogged_count()
        self._schedule_retry(facts.devices)
        facts = facts._replace(
            devices=tuple(self._with_background_results(facts.devices, groups)),
            driver=self._driver,
            host_memory=host_memory() if any(device.shares_host_memory for device in facts.devices) else None,
        )
        self._hardware_errors = {device.index: hardware_errors(device.xids) for device in facts.devices}
        if hung:
            raise all_devices_hung(facts)
        return facts

    def _log_unlogged_count(self) -> None:
        """Log the number of failing GPUs that are not logged one by one."""
        if more := self._log_limit.unlogged:
            gpus = "GPU has" if more == 1 else "GPUs have"
            text = f"{more} more {gpus} NVML errors, which are logged at level debug only; see 'dmesg'"
            self._errors.report(_MORE, text, kind=_MORE)
        else:
            self._errors.clear(_MORE, "no more GPUs have NVML errors than those logged one by one")

    def _with_background_results(self, devices: tuple[Device, ...], groups: DeviceGroups) -> Iterator[Device]:
        """Return the GPUs with their XID errors and PCIe throughput."""
        if groups.xid:
            self._xids.finish()
        else:
            self._xids.stop()
        self._pcie.keep_only({device.index for device in devices if device.up} if groups.pcie_throughput else set())
        for device in devices:
            yield device._replace(
                xids=self._xids.counts(device.index, device.uuid) if groups.xid else (),
                pcie_throughput=self._pcie.sample(device.index, device.uuid)
                if groups.pcie_throughput and device.up
                else PcieThroughput(),
            )

    def _schedule_retry(self, devices: Iterable[Device]) -> None:
        """Schedule a reinitialisation of NVML if a GPU is down."""
        if all(device.up is not False for device in devices):
            self._retry_seconds, self._retry_at = _FIRST_RETRY_SECONDS, None
        elif self._retry_at is None:
            self._retry_at = time.monotonic() + self._retry_seconds
            self._retry_seconds = min(2 * self._retry_seconds, _LAST_RETRY_SECONDS)


def _device_count() -> int:
    """Return the number of GPUs.

    Raises:
        pynvml.NVMLError: the call fails.
        CollectorError: the number is impossible.
    """
    count = int(pynvml.nvmlDeviceGetCount())
    if count > _MAX_DEVICES:
        raise CollectorError(
            f"the NVIDIA driver reports {count} GPUs, which is more than any machine has ({_MAX_DEVICES});"
            " see 'nvidia-smi -L', reload the driver or restart the machine",
            "failed",
        )
    return count
