"""The GPUs of this machine, through NVML: one initialisation after another, and the devices that each one finds."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pynvml

from genvd.collector import HUNG, Collector
from genvd.crew import Crew
from genvd.device_model import PcieThroughput
from genvd.model import Context, Device, DriverVersions, GpuFacts
from genvd.sources import SourceError
from genvd.sources.device_groups import DeviceGroups
from genvd.sources.driver import gpus_of_driver, problem_of
from genvd.sources.nvml_device import DeviceFacts, DeviceQuestion, DeviceSource, identity
from genvd.sources.nvml_events import XidWatch
from genvd.sources.nvml_pcie import PcieSampler
from genvd.sources.nvml_versions import driver_versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

log = logging.getLogger(__name__)

_SHARE_FOR_DEVICES = 0.8
"""Of the time for a reading; the rest is for telling in time what the devices told."""

_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 1.0, 60.0
"""After which NVML is initialised anew for a device that is down; the time doubles."""


class NvmlSource:
    """The GPUs of this machine.

    Each device is asked by itself in another thread, so that one which hangs hides no other. A driver that is not
    there, not loaded or gone is asked for again at every reading.
    """

    name = "nvml"

    groups: DeviceGroups
    """Which values are wanted; may be changed."""

    def __init__(self, groups: DeviceGroups | None = None) -> None:
        self.groups = groups or DeviceGroups()
        self._initialised = False
        self._session = 0
        self._driver = DriverVersions()
        self._gpus: frozenset[str] = frozenset()
        self._devices: dict[int, Collector[DeviceQuestion, DeviceFacts]] = {}
        self._last: dict[int, Device] = {}  # of each index, as it answered last
        self._crew = Crew("devices")
        self._xids = XidWatch(self._crew)
        self._pcie = PcieSampler()
        self._retry_seconds = _FIRST_RETRY_SECONDS
        self._retry_at: float | None = None

    def read(self, question: float) -> GpuFacts:
        """Return all devices and compute contexts; what a device does not tell is absent.

        Args:
            question: when the answer is wanted, of :func:`time.monotonic`.

        Raises:
            SourceError: there is no working driver, or no device answers in time.
        """
        now = time.monotonic()
        deadline = now + _SHARE_FOR_DEVICES * max(0.0, question - now)
        try:
            count = self._count()
        except pynvml.NVMLError as error:
            self._shut_down()
            raise problem_of(error) from None
        return self._ask_devices(count, deadline, self.groups)

    def _count(self) -> int:
        """Return the number of devices, of a new initialisation where the old one will not do any more."""
        if self._initialised and self._worth_initialising_anew():
            self._shut_down()
        if self._initialised:
            with suppress(pynvml.NVMLError):
                return int(pynvml.nvmlDeviceGetCount())
            self._shut_down()
        if not self._initialised:
            pynvml.nvmlInit()
            self._initialised = True
            self._session += 1
            self._last.clear()  # another one may be there now
            self._gpus = gpus_of_driver()
            self._driver = driver_versions()
            log.info("NVIDIA driver %s: NVML is initialised", self._driver.driver or "of unknown version")
        return int(pynvml.nvmlDeviceGetCount())

    def _worth_initialising_anew(self) -> bool:
        """Tell whether NVML may find other devices than it knows: it looks for them only when it is initialised."""
        if self._retry_at is not None and time.monotonic() >= self._retry_at:
            self._retry_at = None
            return True
        return gpus_of_driver() != self._gpus

    def _shut_down(self) -> None:
        if any(device.busy for device in self._devices.values()) or self._pcie.busy or not self._xids.stop():
            return  # nobody knows what a call that hangs still needs
        if self._initialised:
            self._initialised = False
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()

    def _ask_devices(self, count: int, deadline: float, groups: DeviceGroups) -> GpuFacts:
        self._let_go(count)
        for index in range(count):
            device = self._devices.setdefault(index, Collector(DeviceSource(index), self._crew))
            device.ask(DeviceQuestion(self._session, groups))
        if groups.xid:
            self._xids.ask(count)
        self._crew.wait(deadline)
        told = [self._told(index, deadline) for index in range(count)]
        self._plan_retry(facts.device for facts, _ in told)
        facts = _gpu_facts([facts for facts, _ in told])
        facts = replace(facts, devices=tuple(self._beside(facts.devices, groups, deadline)), driver=self._driver)
        if told and all(hung for _, hung in told):
            raise SourceError(
                "no device answers in time; the monitor waits for the driver, and only a restart of the machine may"
                " help it",
                HUNG,
                facts,
            )
        return facts

    def _told(self, index: int, deadline: float) -> tuple[DeviceFacts, bool]:
        """Return what is known of a device, and whether it hangs; of one that hangs for long, which one it is."""
        facts, status = self._devices[index].facts(deadline)
        if status.success and facts:
            self._last[index] = facts.device
            return facts, False
        known = facts or DeviceFacts(identity(self._last.get(index, Device(index))), None)
        return replace(known, device=replace(known.device, index=index, up=False)), status.reason == HUNG

    def _beside(self, devices: tuple[Device, ...], groups: DeviceGroups, deadline: float) -> Iterator[Device]:
        """Return the devices with what threads of their own have found beside the tick."""
        if groups.xid:
            self._xids.take(deadline)
        else:
            self._xids.stop()
        self._pcie.keep({device.index for device in devices if device.up} if groups.pcie_throughput else set())
        for device in devices:
            yield replace(
                device,
                xids=self._xids.of(device.index, device.uuid) if groups.xid else (),
                pcie_throughput=self._pcie.sample(device.index, device.uuid)
                if groups.pcie_throughput and device.up
                else PcieThroughput(),
            )

    def _let_go(self, count: int) -> None:
        """Forget devices that are no more."""
        for index in [index for index in self._devices if index >= count]:
            self._last.pop(index, None)
            if self._devices[index].busy:
                self._devices[index].forget()
            else:
                self._devices.pop(index).close()

    def _plan_retry(self, devices: Iterable[Device]) -> None:
        if all(device.up is not False for device in devices):
            self._retry_seconds, self._retry_at = _FIRST_RETRY_SECONDS, None
        elif self._retry_at is None:
            self._retry_at = time.monotonic() + self._retry_seconds
            self._retry_seconds = min(2 * self._retry_seconds, _LAST_RETRY_SECONDS)


def _gpu_facts(told: list[DeviceFacts]) -> GpuFacts:
    contexts: list[Context] = [context for facts in told for context in facts.contexts or ()]
    listed = not told or any(facts.contexts is not None for facts in told)
    there = {facts.device.uuid for facts in told if facts.device.up}
    devices = (
        Device(facts.device.index, up=facts.device.up)
        if not facts.device.up and facts.device.uuid in there
        else facts.device
        for facts in told  # one that is down was at its index when it last answered; it may be elsewhere by now
    )
    return GpuFacts(tuple(devices), tuple(contexts) if listed else None)
