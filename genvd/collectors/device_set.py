"""Collects all GPUs of a driver, each with a runner of its own, so that one that hangs or fails hides no other."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from genvd.collectors.base import CollectorError
from genvd.collectors.runner import HUNG, STEADY_TICKS, Runner
from genvd.common.error_log import ErrorLog
from genvd.common.worker_pool import WorkerPool
from genvd.model.device import Device
from genvd.model.facts import Context, GpuFacts

if TYPE_CHECKING:
    from genvd.collectors.base import Collector


log = logging.getLogger(__name__)

RequestT = TypeVar("RequestT")
T = TypeVar("T")

_DEVICE_TIME_SHARE = 0.8
"""Share of the remaining time in which the GPUs must answer. The rest is left for returning their facts in time."""

MAX_LOGGED_DEVICES = 16
"""GPUs that can be logged as failing one by one at the same time. The others are only counted."""

_MORE = "more"
"""Key in the error log for the GPUs that are only counted."""


class DeviceLostError(Exception):
    """The GPU no longer answers: it fell off the bus or needs a reset."""

    def __init__(self, text: str, code: int | None = None) -> None:
        """Create an error.

        Args:
            text: what is wrong.
            code: the error code of the driver, if there is one.
        """
        super().__init__(text)
        self.code = code


class DeviceFacts(NamedTuple):
    """The facts of one GPU."""

    device: Device
    contexts: tuple[Context, ...] | None
    """None if its process list is unavailable."""


class DeviceSet(Generic[RequestT]):
    """Collects all GPUs of a driver, by their index."""

    def __init__(self, make_collector: Callable[[int], Collector[RequestT, DeviceFacts]]) -> None:
        """Create a set; no GPU is read yet.

        Args:
            make_collector: returns a collector for the GPU with the given index.
        """
        self.pool = WorkerPool("devices")
        self._make_collector = make_collector
        self._runners: dict[int, Runner[RequestT, DeviceFacts]] = {}
        self._errors = ErrorLog(log, STEADY_TICKS, max_active=MAX_LOGGED_DEVICES)
        self._more = ErrorLog(log, STEADY_TICKS)  # for the number of those that _errors does not log
        self._last: dict[int, Device] = {}  # by index: the GPU as it last answered

    @property
    def busy(self) -> bool:
        """Whether a call for any GPU is still running."""
        return any(runner.busy for runner in self._runners.values())

    def forget_identities(self) -> None:
        """Forget which GPU was at which index."""
        self._last.clear()

    def start(self, count: int, request: RequestT, deadline: float) -> None:
        """Start to collect the first ``count`` GPUs, and forget the others.

        Args:
            count: the number of GPUs.
            request: what to collect from each of them.
            deadline: when :meth:`result` stops waiting, as a time of :func:`time.monotonic`.
        """
        for index in [index for index in self._runners if index >= count]:
            self._last.pop(index, None)
            self._errors.forget(self._runners[index].name)
            if self._runners[index].busy:
                self._runners[index].discard()
            else:
                del self._runners[index]
        for index in range(count):
            if index not in self._runners:
                self._runners[index] = Runner(self._make_collector(index), self.pool, self._errors)
            self._runners[index].start(request, deadline)

    def result(self, count: int) -> tuple[GpuFacts, bool]:
        """Wait until the deadline; return the facts of all GPUs, and whether all of them hang."""
        results = [self._result_of(index) for index in range(count)]
        self._log_unlogged_count()
        return _join([facts for facts, _ in results]), bool(results) and all(hung for _, hung in results)

    def _log_unlogged_count(self) -> None:
        if more := self._errors.unlogged:
            text = f"{more} more GPU{'' if more == 1 else 's'} cannot be read; see 'nvidia-smi -L' and 'dmesg'"
            self._more.report(_MORE, text, kind=_MORE)
        else:
            self._more.clear(_MORE, "the other GPUs can be read again, or are gone")

    def _result_of(self, index: int) -> tuple[DeviceFacts, bool]:
        """Return the facts of a GPU, and whether it hangs. After a long failure only its identity is left."""
        facts, status = self._runners[index].result()
        if status.success and facts:
            self._last[index] = facts.device
            return facts, False
        known = facts or DeviceFacts(_identity(self._last.get(index, Device(index))), None)
        return known._replace(device=known.device._replace(index=index, up=False)), status.reason == HUNG


def device_deadline(deadline: float) -> float:
    """Return the deadline for the GPUs, which leaves time before ``deadline`` to pass on their facts."""
    now = time.monotonic()
    return now + _DEVICE_TIME_SHARE * max(0.0, deadline - now)


def all_devices_hung(facts: GpuFacts) -> CollectorError:
    """Return the error to raise if every GPU hangs; ``facts`` are still passed on with it."""
    return CollectorError(
        "no GPU answers in time; the monitor keeps waiting, but the driver may need a restart of the machine",
        HUNG,
        facts,
    )


def _identity(device: Device) -> Device:
    """Return a copy with only the values that identify and describe the GPU, none that change."""
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


def _join(facts_by_index: list[DeviceFacts]) -> GpuFacts:
    """Return the facts of all GPUs together.

    A GPU that is down may be listed at another index by now. So if a working GPU has its UUID, only its index is kept.
    """
    contexts: list[Context] = [context for facts in facts_by_index for context in facts.contexts or ()]
    listed = not facts_by_index or any(facts.contexts is not None for facts in facts_by_index)
    up_uuids = {facts.device.uuid for facts in facts_by_index if facts.device.up}
    devices = (
        Device(facts.device.index, up=facts.device.up)
        if not facts.device.up and facts.device.uuid in up_uuids
        else facts.device
        for facts in facts_by_index
    )
    return GpuFacts(tuple(devices), tuple(contexts) if listed else None)


class PartReader:
    """Reads the parts of one GPU. A bug in the code for one part costs only that part."""

    def __init__(self, name: str, errors: ErrorLog | None = None) -> None:
        """Create a reader.

        Args:
            name: the name of the GPU in the log.
            errors: the log of failures; None to create one.
        """
        self._name = name
        self._errors = errors or ErrorLog(log, STEADY_TICKS)

    def read(self, part: str, read: Callable[[], T], default: T) -> T:
        """Return what ``read`` returns, or ``default`` if it raises an unexpected exception.

        Args:
            part: the name of the part in the log.
            read: reads the part.
            default: the value for a part about which nothing is known.

        Raises:
            DeviceLostError: the GPU no longer answers.
        """
        try:
            value = read()
        except DeviceLostError:
            raise
        except Exception as error:
            self._errors.defect(part, f"{self._name}: reading {part}", error, ", so its values are absent")
            return default
        if part in self._errors.active:
            self._errors.clear(part, f"{self._name}: {part} can be read again")
        return value
