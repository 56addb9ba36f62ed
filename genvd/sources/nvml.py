"""Devices and the compute processes on them, through NVML."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pynvml

from genvd.model import Context, Device, GpuFacts
from genvd.sources import SourceError
from genvd.sources.nvml_errors import DeviceLostError, NvmlCalls, known
from genvd.sources.nvml_processes import ComputeProcesses, RunningProcess
from genvd.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

_WHY_NOT = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: (
        "no NVIDIA driver: libnvidia-ml.so.1 is not found;"
        " once a driver is installed it is picked up by itself ('genv monitor --demo' shows a simulated machine)"
    ),
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: (
        "the NVIDIA driver is not loaded: 'modprobe nvidia' loads it, and then it is picked up by itself"
    ),
    pynvml.NVML_ERROR_NO_PERMISSION: (
        "the NVIDIA driver gives this user no permission: see who may open /dev/nvidiactl and /dev/nvidia0"
    ),
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: (
        "the NVIDIA driver is too old for nvidia-ml-py, which misses a function of it: install a newer driver"
    ),
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        "the NVIDIA driver was upgraded, its library and kernel module differ:"
        " restart the monitor, and if that does not help, the machine"
    ),
}


class NvmlSource:
    """The GPUs of this machine.

    A driver that is not there, not loaded or gone is asked for again at every reading.
    """

    name = "nvml"

    def __init__(self) -> None:
        self._session: _Session | None = None

    def read(self, question: None = None) -> GpuFacts:
        """Return all devices and compute contexts; what a device does not tell is absent.

        Raises:
            SourceError: there is no working driver.
        """
        try:
            if self._session is None:
                pynvml.nvmlInit()
                self._session = _Session()
                self._session.announce()
            return self._session.read()
        except pynvml.NVMLError as error:
            self._close()
            raise SourceError(_WHY_NOT.get(error.value, f"NVML does not answer: {error}")) from None

    def _close(self) -> None:
        if self._session is not None:
            self._session = None
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()


class _Session:
    """One initialisation of NVML, and all that holds as long as it does."""

    def __init__(self) -> None:
        self._calls = NvmlCalls()
        self._processes = ComputeProcesses()
        self._known: dict[int, _KnownDevice] = {}
        self._lost: set[int] = set()

    def announce(self) -> None:
        """Log which driver answers."""
        with suppress(DeviceLostError):
            version = self._calls.ask("driver", pynvml.nvmlSystemGetDriverVersion)
            log.info("NVIDIA driver %s: NVML is initialised", version)

    def read(self) -> GpuFacts:
        devices: list[Device] = []
        contexts: list[Context] = []
        count = pynvml.nvmlDeviceGetCount()
        listed = count == 0
        for index in range(count):
            try:
                device, of_device = self._device(index), self._contexts(index)
            except DeviceLostError as error:
                self._lose(index, str(error))
                continue
            devices.append(device)
            if of_device is not None:
                listed = True
                contexts.extend(of_device)
            self._find_again(index)
        return GpuFacts(tuple(devices), tuple(contexts) if listed else None)

    def _device(self, index: int) -> Device:
        """Return the device.

        Raises:
            DeviceLostError: it does not answer.
        """
        fixed = self._known_device(index)
        used, total = self._memory(index, fixed.handle)
        utilization = self._calls.ask(index, pynvml.nvmlDeviceGetUtilizationRates, fixed.handle)
        return Device(
            index=index,
            uuid=fixed.uuid,
            name=fixed.name,
            temperature_celsius=self._temperature(index, fixed.handle),
            utilization_percent=known(utilization.gpu) if utilization else None,
            memory_used_bytes=used,
            memory_total_bytes=total,
        )

    def _known_device(self, index: int) -> _KnownDevice:
        if index not in self._known:
            handle = self._calls.ask(index, pynvml.nvmlDeviceGetHandleByIndex, index)
            if handle is None:
                raise DeviceLostError("NVML gives no handle for it")
            self._known[index] = _KnownDevice(
                handle=handle,
                uuid=_text(self._calls.ask(index, pynvml.nvmlDeviceGetUUID, handle)),
                name=_text(self._calls.ask(index, pynvml.nvmlDeviceGetName, handle)),
            )
        return self._known[index]

    def _temperature(self, index: int, handle: Any) -> int | None:
        sensor = pynvml.NVML_TEMPERATURE_GPU
        temperature = self._calls.ask(index, pynvml.nvmlDeviceGetTemperature, handle, sensor)
        newer = getattr(pynvml, "nvmlDeviceGetTemperatureV", None)
        if newer is not None and not self._calls.supports(index, pynvml.nvmlDeviceGetTemperature):
            temperature = self._calls.ask(index, newer, handle, sensor)
        return known(temperature)

    def _memory(self, index: int, handle: Any) -> tuple[int | None, int | None]:
        """Return used and total memory in bytes.

        The second version of the call counts as used what nvidia-smi does; the first, for drivers before 510,
        adds the driver's own reserve.
        """
        memory = self._calls.ask(index, memory_info, handle)
        if memory is None and not self._calls.supports(index, memory_info):
            memory = self._calls.ask(index, pynvml.nvmlDeviceGetMemoryInfo, handle)
        return (known(memory.used), known(memory.total)) if memory is not None else (None, None)

    def _contexts(self, index: int) -> list[Context] | None:
        """Return the compute contexts on the device; None if it does not tell."""
        handle = self._known_device(index).handle
        of_parent = self._running(index, handle)
        of_instances = [self._running((index, i), mig_handle) for i, mig_handle in self._mig_devices(index, handle)]
        told = [processes for processes in (of_parent, *of_instances) if processes is not None]
        if not told:
            return None
        # Without privileges a parent shows none of its instances' processes: those then tell themselves.
        seen = {process.pid for process in of_parent or ()}
        running = [*(of_parent or ()), *(p for ps in of_instances for p in ps or () if p.pid not in seen)]
        return [Context(process.pid, index, process.memory_bytes) for process in running]

    def _running(self, device: object, handle: Any) -> list[RunningProcess] | None:
        return self._calls.ask(device, self._processes.compute_processes, handle)

    def _mig_devices(self, index: int, handle: Any) -> Iterator[tuple[int, Any]]:
        mode = self._calls.ask(index, pynvml.nvmlDeviceGetMigMode, handle)
        if mode is None or mode[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
            return
        for instance in range(self._calls.ask(index, pynvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
            mig_handle = self._calls.ask(index, pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, instance)
            if mig_handle is not None:
                yield instance, mig_handle

    def _lose(self, index: int, reason: str) -> None:
        self._known.pop(index, None)
        if index not in self._lost:
            self._lost.add(index)
            log.error("device %d: %s; its metrics are left out until it answers again", index, reason)

    def _find_again(self, index: int) -> None:
        if index in self._lost:
            self._lost.discard(index)
            log.info("device %d: answers again", index)


@dataclass(frozen=True, slots=True)
class _KnownDevice:
    """What of a device does not change while NVML stays initialised."""

    handle: Any
    uuid: str | None
    name: str | None


def memory_info(handle: Any) -> Any:
    """Ask for memory with the second version of the call. The name stands in the log."""
    return pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)


def _text(value: str | bytes | None) -> str | None:
    return clean(value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value) if value else None
