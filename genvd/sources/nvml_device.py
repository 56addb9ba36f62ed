"""One device, through NVML."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pynvml

from genvd.collector import STEADY_TICKS
from genvd.model import Context, Device
from genvd.sources.nvml_contexts import Contexts
from genvd.sources.nvml_errors import DeviceLostError, NvmlCalls, known
from genvd.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

_MAX_MIG_DEVICES = 64
"""Of one device; today's have at most 7."""


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What one device told."""

    device: Device
    contexts: tuple[Context, ...] | None
    """None when it does not tell who computes on it."""


class DeviceSource:
    """The device at an index, whichever that is.

    Everything is asked anew each time, which costs microseconds: handles, since the device at an index may become
    another one; what was not supported, since the MIG mode may have changed.
    """

    def __init__(self, index: int) -> None:
        self.name = f"device {index}"
        self._index = index
        self._calls = NvmlCalls()
        self._contexts = Contexts(self.name, index, self._calls)
        self._uuid: str | None = None
        self._trouble: str | None = None
        self._answers = 0  # in a row

    def read(self, question: None = None) -> DeviceFacts:
        """Return what the device tells.

        One that does not answer is down, and of one that this user may not ask that is not known: facts as well.
        """
        self._calls.begin()
        try:
            handle = self._handle()
            if handle is None:
                return DeviceFacts(Device(self._index), None)
            facts = self._read(handle)
        except DeviceLostError as error:
            return self._down(str(error))
        self._answers_again()
        return facts

    def _handle(self) -> Any:
        """Return the handle of the device; None if this user may not have it."""
        try:
            return pynvml.nvmlDeviceGetHandleByIndex(self._index)
        except pynvml.NVMLError as error:
            if error.value == pynvml.NVML_ERROR_NO_PERMISSION:
                self._say(f"{error}; see who may open /dev/nvidia{self._index}")
                return None
            raise DeviceLostError(f"NVML gives no handle for it: {error}") from None

    def _read(self, handle: Any) -> DeviceFacts:
        temperature = self._calls.first(
            self.name,
            (pynvml.nvmlDeviceGetTemperature, (handle, pynvml.NVML_TEMPERATURE_GPU)),
            *_newer("nvmlDeviceGetTemperatureV", handle, pynvml.NVML_TEMPERATURE_GPU),
        )
        utilization = self._calls.ask(self.name, pynvml.nvmlDeviceGetUtilizationRates, handle)
        # The second version counts as used what nvidia-smi does; the first, for drivers before 510, adds the driver's
        # own reserve.
        memory = self._calls.first(self.name, (memory_info, (handle,)), (pynvml.nvmlDeviceGetMemoryInfo, (handle,)))
        contexts, listed = self._contexts.read(handle, self._mig_devices(handle))
        if not self._calls.answers:  # to what is asked below, NVML may know the answer without the device
            raise DeviceLostError("every call fails")
        device = Device(
            index=self._index,
            uuid=self._identify(handle),
            up=True,
            name=_text(self._calls.ask(self.name, pynvml.nvmlDeviceGetName, handle)),
            temperature_celsius=known(temperature),
            utilization_percent=known(utilization.gpu) if utilization else None,
            memory_used_bytes=known(memory.used) if memory else None,
            memory_total_bytes=known(memory.total) if memory else None,
            memory_reserved_bytes=known(getattr(memory, "reserved", None)),
            processes_listed=listed,
        )
        return DeviceFacts(device, contexts)

    def _identify(self, handle: Any) -> str | None:
        uuid = _text(self._calls.ask(self.name, pynvml.nvmlDeviceGetUUID, handle))
        if uuid and uuid != self._uuid:
            if self._uuid:
                log.info("%s: is %s now, and was %s", self.name, uuid, self._uuid)
            self._uuid = uuid
        return uuid

    def _mig_devices(self, handle: Any) -> Iterator[tuple[str, Any]]:
        mode = self._calls.ask(self.name, pynvml.nvmlDeviceGetMigMode, handle)
        if mode is None or mode[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
            return
        most = self._calls.ask(self.name, pynvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0
        for instance in range(min(most, _MAX_MIG_DEVICES)):
            name = f"{self.name} MIG {instance}"
            mig_handle = self._calls.ask(name, pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, instance)
            if mig_handle is not None:
                yield name, mig_handle

    def _down(self, reason: str) -> DeviceFacts:
        self._say(f"{reason}; it is marked down until it answers again")
        return DeviceFacts(Device(self._index, self._uuid, up=False), None)

    def _say(self, trouble: str) -> None:
        self._answers = 0
        if self._trouble != trouble:
            self._trouble = trouble
            log.error("%s: %s", self.name, trouble)

    def _answers_again(self) -> None:
        self._answers += 1
        if self._trouble is not None and self._answers >= STEADY_TICKS:
            self._trouble = None
            log.info("%s: answers again", self.name)


def memory_info(handle: Any) -> Any:
    """Ask for memory with the second version of the call. The name stands in the log."""
    return pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)


def _newer(name: str, *arguments: Any) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Return a call that not every nvidia-ml-py has."""
    call = getattr(pynvml, name, None)
    if call is not None:
        yield call, arguments


def _text(value: str | bytes | None) -> str | None:
    return clean(value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value) if value else None
