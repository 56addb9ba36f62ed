"""XID errors: the driver's numbered reports of what goes wrong on a device, from NVML's event set."""

from __future__ import annotations

import ctypes
import logging
import threading
import time
from contextlib import suppress
from typing import Any

import pynvml

from genvd.device_model import XidErrors
from genvd.sources.nvml_asked import text

log = logging.getLogger(__name__)

COMMON_XIDS = (13, 31, 32, 43, 45, 48, 61, 62, 63, 64, 74, 79, 92, 94, 95, 119, 120, 121, 140, 149, 154)
"""That are counted from 0, so that Prometheus sees the first one. See NVIDIA's "XID Errors" for what they mean."""

_SLICE_SECONDS = 0.25
"""That the thread is in one call at most, since nobody can shut NVML down meanwhile."""

_DEFECT = "defect"
_IDLE_SECONDS = 1.0
_FIRST_DELAY_SECONDS, _LAST_DELAY_SECONDS = 0.5, 60.0


class XidWatch:
    """Counts XIDs by device, in a thread of its own that lives as long as a session of NVML.

    What is counted belongs to a device, by its UUID, and outlives sessions. NVML tells nothing of events from before
    a device was registered.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, dict[int, XidErrors]] = {}
        self._keys: dict[int, str] = {}
        self._devices = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._problem: str | None = None

    def watch(self, devices: int) -> None:
        """Watch so many devices, unless they are watched already. NVML has to be initialised."""
        self._devices = devices
        if self._thread is not None and (self._thread.is_alive() or self._problem == _DEFECT):
            return
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(self._stop,), name="nvml-events", daemon=True)
        self._thread.start()

    def stop(self, patience: float = 2 * _SLICE_SECONDS) -> bool:
        """Ask NVML nothing any more.

        Args:
            patience: seconds to wait for that.

        Returns:
            Whether no call is under way any more; one that hangs may be.
        """
        self._stop.set()
        if self._thread is None or not self._thread.is_alive():
            return True
        self._thread.join(patience)
        return not self._thread.is_alive()

    def of(self, index: int, uuid: str | None) -> tuple[XidErrors, ...]:
        """Return what was counted for a device; nothing for one that reports no events."""
        with self._lock:
            key = uuid if uuid in self._counts else self._keys.get(index) if uuid is None else None
            return tuple(count for _, count in sorted(self._counts.get(key or "", {}).items()))

    def _run(self, stop: threading.Event) -> None:
        delay = _FIRST_DELAY_SECONDS
        while not stop.is_set():
            devices = self._devices
            try:
                session = _Session(devices)
            except pynvml.NVMLError as error:
                self._say(str(error))
                stop.wait(delay)
                delay = min(2 * delay, _LAST_DELAY_SECONDS)
                continue
            try:
                self._begin(session)
                while not stop.is_set() and devices == self._devices:
                    self._wait(session, stop)
                    delay = _FIRST_DELAY_SECONDS
                    self._problem = None
            except pynvml.NVMLError as error:
                # A lost device may end every wait at once: the next set does without it.
                self._say(str(error))
                stop.wait(delay)
                delay = min(2 * delay, _LAST_DELAY_SECONDS)
            except Exception:
                log.exception("XID errors: failed unexpectedly and are not counted any more; please report this")
                self._problem = _DEFECT
                return
            finally:
                session.close()

    def _begin(self, session: _Session) -> None:
        with self._lock:
            self._keys = dict(session.keys.values())
            for key in self._keys.values():
                self._counts.setdefault(key, {xid: XidErrors(xid, 0) for xid in COMMON_XIDS})

    def _wait(self, session: _Session, stop: threading.Event) -> None:
        """Wait a moment, and count the event that comes, if any."""
        if not session.keys:
            stop.wait(_IDLE_SECONDS)
            return
        started = time.monotonic()
        event = session.wait(_SLICE_SECONDS)
        if event is None:
            early = _SLICE_SECONDS - (time.monotonic() - started)
            if early > _SLICE_SECONDS / 2:  # nvml.h: it may return before the time is over
                stop.wait(early)
            return
        key, xid = event
        with self._lock:
            counts = self._counts.setdefault(key, {})
            before = counts.get(xid)
            counts[xid] = XidErrors(xid, (before.count if before else 0) + 1, time.time())
        log.warning("%s: XID %d, see 'dmesg' and NVIDIA's \"XID Errors\"", key, xid)

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            log.warning("XID errors: %s; they are not counted until NVML tells of them again", problem)


class _Session:
    """An event set with all devices that report XIDs."""

    def __init__(self, devices: int) -> None:
        """Register the devices that report XIDs; raises NVMLError if no set can be made."""
        self.keys: dict[int, tuple[int, str]] = {}
        """The index of each device and what it is known by, by the address that its handle is."""
        self._set: Any = pynvml.nvmlEventSetCreate()
        useless: set[int] = set()
        while (index := self._register_all(set(range(devices)) - useless)) is not None:
            useless.add(index)
            self.close()
            self._set = pynvml.nvmlEventSetCreate()

    def _register_all(self, indices: set[int]) -> int | None:
        """Return the device, if any, that has left the set in an undefined state, as nvml.h says of this error."""
        self.keys.clear()
        for index in sorted(indices):
            try:  # whoever asks for the rest of the device says what is wrong with it
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            except pynvml.NVMLError:
                continue
            try:
                pynvml.nvmlDeviceRegisterEvents(handle, pynvml.nvmlEventTypeXidCriticalError, self._set)
            except pynvml.NVMLError as error:
                if error.value == pynvml.NVML_ERROR_UNKNOWN:
                    return index
                continue
            self.keys[_address(handle)] = index, _uuid(handle) or f"device {index}"
        return None

    def wait(self, seconds: float) -> tuple[str, int] | None:
        """Return the device and the XID of the next event, or None; raises NVMLError where NVML cannot tell."""
        try:
            event = pynvml.nvmlEventSetWait_v2(self._set, int(1000 * seconds))
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
        """Give the set back."""
        with suppress(pynvml.NVMLError):
            pynvml.nvmlEventSetFree(self._set)


def _address(handle: Any) -> int:
    return ctypes.cast(handle, ctypes.c_void_p).value or 0


def _uuid(handle: Any) -> str | None:
    try:
        return text(pynvml.nvmlDeviceGetUUID(handle))
    except (pynvml.NVMLError, ValueError):
        return None
