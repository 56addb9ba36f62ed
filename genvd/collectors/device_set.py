"""The devices of a driver, each asked by itself: one that hangs, or fails, hides no other."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from genvd.collectors.base import CollectorError
from genvd.collectors.runner import HUNG, STEADY_TICKS, Runner
from genvd.common.error_log import ErrorLog
from genvd.common.worker_pool import WorkerPool
from genvd.model.device import Device
from genvd.model.facts import Context, GpuFacts

if TYPE_CHECKING:
    from genvd.collectors.base import Collector


log = logging.getLogger(__name__)

Q = TypeVar("Q")

_SHARE_FOR_DEVICES = 0.8
"""Of the time for a reading; the rest is for telling in time what the devices told."""

MAX_LOGGED_DEVICES = 16
"""DeviceSet that fail at a time and have a line each in the log."""

_MORE = "more"
"""What can go wrong besides: more devices than these."""


class DeviceLostError(Exception):
    """The device does not answer any more: it fell off the bus or needs a reset."""

    def __init__(self, text: str, code: int | None = None) -> None:
        """Make one.

        Args:
            text: what is wrong.
            code: the driver's number for that, if it gives one.
        """
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What one device told."""

    device: Device
    contexts: tuple[Context, ...] | None
    """None when it does not tell who computes on it."""


class DeviceSet(Generic[Q]):
    """All devices of a driver, by their places."""

    def __init__(self, collector: Callable[[int], Collector[Q, DeviceFacts]]) -> None:
        """Make it ready to ask.

        Args:
            collector: gives what asks the device at an index.
        """
        self.pool = WorkerPool("devices")
        self._collector = collector
        self._devices: dict[int, Runner[Q, DeviceFacts]] = {}
        self._errors = ErrorLog(log, STEADY_TICKS, max_active=MAX_LOGGED_DEVICES)
        self._more = ErrorLog(log, STEADY_TICKS)
        self._last: dict[int, Device] = {}  # of each index, as it answered last

    @property
    def busy(self) -> bool:
        """Whether a device still works on a request."""
        return any(device.busy for device in self._devices.values())

    def forget_identities(self) -> None:
        """Take no device any more for the one that was at its index before."""
        self._last.clear()

    def start(self, count: int, request: Q, deadline: float) -> None:
        """Ask the first ``count`` devices, and forget the others."""
        for index in [index for index in self._devices if index >= count]:
            self._last.pop(index, None)
            self._errors.forget(self._devices[index].name)
            if self._devices[index].busy:
                self._devices[index].discard()
            else:
                del self._devices[index]
        for index in range(count):
            if index not in self._devices:
                self._devices[index] = Runner(self._collector(index), self.pool, self._errors)
            self._devices[index].start(request, deadline)

    def result(self, count: int) -> tuple[GpuFacts, bool]:
        """Return the facts from the devices, waiting until the deadline, and whether all of them hang."""
        told = [self._told(index) for index in range(count)]
        self._log_how_many_more()
        return _gpu_facts([facts for facts, _ in told]), bool(told) and all(hung for _, hung in told)

    def _log_how_many_more(self) -> None:
        """Count in one line the devices that fail beyond those that are logged one by one."""
        if more := self._errors.unlogged:
            text = f"{more} more device{'' if more == 1 else 's'} cannot be read; see 'nvidia-smi -L' and 'dmesg'"
            self._more.report(_MORE, text, kind=_MORE)
        else:
            self._more.clear(_MORE, "the further devices can be read again, or are gone")

    def _told(self, index: int) -> tuple[DeviceFacts, bool]:
        """Return what is known of a device, and whether it hangs; of one that hangs for long, which one it is."""
        facts, status = self._devices[index].result()
        if status.success and facts:
            self._last[index] = facts.device
            return facts, False
        known = facts or DeviceFacts(_identity(self._last.get(index, Device(index))), None)
        return replace(known, device=replace(known.device, index=index, up=False)), status.reason == HUNG


def device_deadline(deadline: float) -> float:
    """Return until when devices are waited for, so that what they told is told in time."""
    now = time.monotonic()
    return now + _SHARE_FOR_DEVICES * max(0.0, deadline - now)


def all_devices_hung(facts: GpuFacts) -> CollectorError:
    """Return why the driver gives nothing usable."""
    return CollectorError(
        "no device answers in time; the monitor waits for the driver, and only a restart of the machine may help it",
        HUNG,
        facts,
    )


def _identity(device: Device) -> Device:
    """Return which device it is, without how it does."""
    return Device(
        index=device.index,
        uuid=device.uuid,
        name=device.name,
        pci_bus_id=device.pci_bus_id,
        architecture=device.architecture,
        vbios_version=device.vbios_version,
        mig_mode=device.mig_mode,
        board=device.board,
    )


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


T = TypeVar("T")


class PartReader:
    """Reads the parts of one device."""

    def __init__(self, name: str, errors: ErrorLog | None = None) -> None:
        """Make it ready to read.

        Args:
            name: of the device, for the log.
            errors: where failures are logged; None for a log of its own.
        """
        self._name = name
        self._errors = errors or ErrorLog(log, STEADY_TICKS)

    def read(self, part: str, read: Callable[[], T], nothing: T) -> T:
        """Return what is read, or ``nothing`` if that fails as nobody expects.

        Args:
            part: what is read, for the log.
            read: reads it.
            nothing: stands for a part of which nothing is known.

        Raises:
            DeviceLostError: the device does not answer any more.
        """
        try:
            value = read()
        except DeviceLostError:
            raise
        except Exception as error:
            self._errors.defect(part, f"{self._name}: its {part}", error, " and is left out")
            return nothing
        if part in self._errors.active:
            self._errors.clear(part, f"{self._name}: its {part} can be read again")
        return value
