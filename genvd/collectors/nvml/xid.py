"""Counts XID errors, the numbered error reports of the driver, from the event set of NVML."""

from __future__ import annotations

import ctypes
import logging
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pynvml

from genvd.collectors.base import CollectorError
from genvd.collectors.nvml.query import call_or_none, decode_text
from genvd.collectors.runner import Runner
from genvd.common.error_log import ErrorLog
from genvd.common.worker_pool import WorkerPool
from genvd.model.device import XidErrors

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger(__name__)

COMMON_XIDS = (13, 31, 32, 43, 45, 48, 61, 62, 63, 64, 74, 79, 92, 94, 95, 119, 120, 121, 140, 149, 154)
"""XIDs whose counters start at 0, so that Prometheus sees the first increase. NVIDIA's "XID Errors" explains them."""

_HARDWARE_XIDS = frozenset({48, 61, 62, 63, 64, 74, 79, 92, 94, 95, 119, 120, 121, 140, *range(144, 151), 154})
"""XIDs that may come with a change of memory health, NVLinks or the recommended recovery. Those of programs do not."""

_MAX_EVENTS = 1000
"""Events per collection; the next collection reads the others."""

_MAX_XID = 65_535
"""NVIDIA's numbers have three digits."""

_MAX_KINDS = 256
"""Maximum number of different XIDs counted for one GPU; further ones are only logged."""

_MAX_KEYS = 4096
"""Maximum number of GPUs with counters, including those that are gone."""

_MAX_UNREGISTRABLE = 64
"""GPUs that cannot be registered and invalidate the event set; with more of them XIDs are not counted."""

_QUIET_SECONDS = 60.0
"""An XID is logged again if it did not occur for this long. A program may cause thousands."""


@dataclass(frozen=True, slots=True)
class _Counts:
    by_device: dict[str, tuple[XidErrors, ...]] = field(default_factory=dict)
    """The counts of each GPU by its key: its UUID, or :func:`_key_without_uuid`."""
    keys: dict[int, str] = field(default_factory=dict)
    """The key of each GPU, by its index."""


class XidCounter:
    """Counts XIDs by GPU. The driver queues the events, so that one read per collection gets all of them.

    Counts belong to a GPU by its UUID and outlive NVML sessions. NVML reports no events from before the registration.
    """

    def __init__(self, pool: WorkerPool) -> None:
        """Create a counter.

        Args:
            pool: the threads for NVML calls.
        """
        self._collector = _XidCollector()
        self._runner = Runner(self._collector, pool)
        self._counts = _Counts()

    def start(self, devices: int, deadline: float) -> None:
        """Start to read the events. NVML must be initialised.

        Args:
            devices: the number of GPUs.
            deadline: when :meth:`finish` stops waiting, as a time of :func:`time.monotonic`.
        """
        self._runner.start(devices, deadline)

    def finish(self) -> None:
        """Wait for the events until the deadline, and update the counts."""
        self._counts = self._runner.result()[0] or _Counts()

    def stop(self) -> bool:
        """Free the event set and return True; do nothing and return False while a call is running or hangs."""
        if self._runner.busy:
            return False
        self._collector.close()
        return True

    def counts(self, index: int, uuid: str | None) -> tuple[XidErrors, ...]:
        """Return the counts of a GPU; none if it reports no events."""
        key = uuid if uuid in self._counts.by_device else self._counts.keys.get(index)
        if uuid is not None and key not in (uuid, _key_without_uuid(index)):
            return ()  # these are the counts of another GPU that had the index before
        return self._counts.by_device.get(key or "", ())


def hardware_errors(counts: Iterable[XidErrors]) -> int:
    """Return the number of errors after which the values of the GPU that hardly change may have changed."""
    return sum(errors.count for errors in counts if errors.xid in _HARDWARE_XIDS)


class _XidCollector:
    """Reads the XID events of all GPUs that report them."""

    name = "XID errors"

    def __init__(self) -> None:
        self._counts: dict[str, dict[int, XidErrors]] = {}
        self._devices = 0
        self._session: _Session | None = None
        self._errors = ErrorLog(log, repeat_seconds=_QUIET_SECONDS)

    def collect(self, request: int) -> _Counts:
        """Return the counts so far; the request is the number of GPUs.

        Raises:
            CollectorError: the events cannot be read.
        """
        try:
            if self._session is None or self._devices != request:
                self.close()
                self._register(request)
            self._count_events()
        except pynvml.NVMLError as error:
            self.close()  # a lost GPU may end every wait at once; the next set is without it
            problem = f"{error}; XIDs are not counted until NVML reports events again; see 'dmesg'"
            raise CollectorError(problem, partial=self._result()) from None
        return self._result()

    def close(self) -> None:
        """Free the event set."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _register(self, devices: int) -> None:
        self._session = _Session(devices)
        self._devices = devices
        present = {key for _, key in self._session.keys.values()}
        for key in list(self._counts)[: max(0, len(self._counts.keys() | present) - _MAX_KEYS)]:
            if key not in present:
                del self._counts[key]
        for key in present:
            self._counts.setdefault(key, {xid: XidErrors(xid, 0) for xid in COMMON_XIDS})

    def _count_events(self) -> None:
        if self._session is None or not self._session.keys:
            return
        events: Counter[tuple[str, int]] = Counter()
        try:
            for _ in range(_MAX_EVENTS):
                event = self._session.next_event()
                if event is None:
                    return
                events[event] += 1
        finally:
            for (key, xid), number in events.items():
                self._count(key, xid, number)

    def _count(self, key: str, xid: int, number: int) -> None:
        times = "" if number == 1 else f" ({number} times)"
        line = f"{key}: XID {xid}{times}, see 'dmesg' and NVIDIA's \"XID Errors\""
        self._errors.report((key, xid), line, kind=xid)
        counts = self._counts.setdefault(key, {}) if len(self._counts) < _MAX_KEYS else self._counts.get(key, {})
        before = counts.get(xid)
        if xid <= _MAX_XID and (before is not None or len(counts) < _MAX_KINDS):
            counts[xid] = XidErrors(xid, (before.count if before else 0) + number, time.time())

    def _result(self) -> _Counts:
        keys = dict(self._session.keys.values()) if self._session else {}
        return _Counts(
            {key: tuple(counts[xid] for xid in sorted(counts)) for key, counts in self._counts.items()}, keys
        )


class _Session:
    """An event set with all GPUs that report XIDs."""

    def __init__(self, devices: int) -> None:
        """Register the GPUs that report XIDs; raise NVMLError if no set can be created."""
        self.keys: dict[int, tuple[int, str]] = {}
        """The index and the key of each GPU, by its handle, which is an address."""
        self._set: Any = pynvml.nvmlEventSetCreate()
        unregistrable: set[int] = set()
        while (index := self._register_all(set(range(devices)) - unregistrable)) is not None:
            unregistrable.add(index)
            self.close()
            if len(unregistrable) > _MAX_UNREGISTRABLE:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN)
            self._set = pynvml.nvmlEventSetCreate()

    def _register_all(self, indices: set[int]) -> int | None:
        """Register the GPUs; return the first that fails and leaves the set undefined (nvml.h), or None."""
        self.keys.clear()
        for index in sorted(indices):
            try:  # DeviceCollector logs the errors
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            except pynvml.NVMLError:
                continue
            try:
                pynvml.nvmlDeviceRegisterEvents(handle, pynvml.nvmlEventTypeXidCriticalError, self._set)
            except pynvml.NVMLError as error:
                if error.value == pynvml.NVML_ERROR_UNKNOWN:
                    return index
                continue
            self.keys[_address(handle)] = index, _uuid(handle) or _key_without_uuid(index)
        self._replace_duplicate_uuids()
        return None

    def _replace_duplicate_uuids(self) -> None:
        """Replace UUIDs that several GPUs have by keys with the index."""
        devices = Counter(key for _, key in self.keys.values())
        for address, (index, key) in self.keys.items():
            if devices[key] > 1:
                self.keys[address] = index, _key_without_uuid(index)

    def next_event(self) -> tuple[str, int] | None:
        """Return the key and XID of the next queued event, or None; raise NVMLError if it cannot be read."""
        try:
            event = pynvml.nvmlEventSetWait_v2(self._set, 0)  # a timeout of 0 returns at once (nvml.h)
        except pynvml.NVMLError as error:
            if error.value == pynvml.NVML_ERROR_TIMEOUT:
                return None
            raise
        if not event.eventType & pynvml.nvmlEventTypeXidCriticalError:
            return None
        _, key = self.keys.get(_address(event.device), (-1, None))
        key = key or _uuid(event.device)
        return (key, int(event.eventData)) if key else None

    def close(self) -> None:
        """Free the set."""
        with suppress(pynvml.NVMLError):
            pynvml.nvmlEventSetFree(self._set)


def _key_without_uuid(index: int) -> str:
    return f"GPU {index}"


def _address(handle: Any) -> int:
    return ctypes.cast(handle, ctypes.c_void_p).value or 0


def _uuid(handle: Any) -> str | None:
    return decode_text(call_or_none(pynvml.nvmlDeviceGetUUID, handle))
