"""Collects the facts about one GPU through NVML."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import pynvml

from genvd.collectors.base import DeviceGroups, GroupPeriods
from genvd.collectors.device_set import DeviceFacts, DeviceLostError, PartReader
from genvd.collectors.nvml.board import read_board
from genvd.collectors.nvml.bounds import celsius, percentage, ratio
from genvd.collectors.nvml.c2c import read_c2c_links
from genvd.collectors.nvml.contexts import ContextReader
from genvd.collectors.nvml.details import read_details
from genvd.collectors.nvml.errors import NvmlCalls, value_or_none
from genvd.collectors.nvml.fabric import read_fabric
from genvd.collectors.nvml.gpm import GpmReader
from genvd.collectors.nvml.group_reader import GroupReader, Schedule
from genvd.collectors.nvml.log_limit import GpuErrorLog, LogLimit
from genvd.collectors.nvml.memory import read_memory
from genvd.collectors.nvml.memory_health import read_memory_health
from genvd.collectors.nvml.mig import MigDevice, MigReader
from genvd.collectors.nvml.nvlink import read_nvlinks, with_traffic
from genvd.collectors.nvml.query import DeviceCache, DeviceQuery, decode_text
from genvd.collectors.nvml.settings import read_settings
from genvd.common.error_log import ErrorLog
from genvd.model.device import Activity, C2cLink, Device, DeviceDetails, Fabric, MemoryHealth, NvLink

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from genvd.collectors.nvml.mig import MigMode
    from genvd.model.device import LocationErrors, MigInstance

log = logging.getLogger(__name__)

T = TypeVar("T")

_ARCHITECTURES = {
    2: "Kepler",
    3: "Maxwell",
    4: "Pascal",
    5: "Volta",
    6: "Turing",
    7: "Ampere",
    8: "Ada",
    9: "Hopper",
    10: "Blackwell",
    13: "Rubin",
}
"""``NVML_DEVICE_ARCH_...`` of nvml.h, by the names of nvidia-smi."""

_ANSWERS = "answers"
"""The key in the error log for a GPU that does not answer."""


class DeviceRequest(NamedTuple):
    """What to collect from a GPU."""

    session: int
    """Changes when an index may belong to another GPU: NVML was reinitialised, or the number of GPUs has changed."""
    groups: DeviceGroups
    schedule: Schedule
    """Which groups are read now."""
    hardware_errors: Mapping[int, int]
    """Number of XID errors of the hardware by index of the GPU. When it has grown, all groups are read."""


class _Links(NamedTuple):
    """The links of a GPU without their traffic."""

    nvlinks: tuple[NvLink, ...] = ()
    c2c_links: tuple[C2cLink, ...] = ()
    fabric: Fabric | None = None


class DeviceCollector:
    """Collects the facts about the GPU at an index.

    The GPU at an index can change, so its handle and UUID are read each time, which takes microseconds. Calls that are
    not supported are tried again now and then, and when the GPU or its MIG mode has changed.
    """

    def __init__(self, index: int, limit: LogLimit) -> None:
        self.name = f"GPU {index}"
        self._index = index
        errors = partial(GpuErrorLog, log, limit, index)
        self._calls = NvmlCalls(errors("calls"))
        self._contexts = ContextReader(self.name, index, self._calls, errors("process lists"))
        self._cache = DeviceCache()
        self._mig = MigReader()
        self._gpm = GpmReader()
        self._parts = PartReader(self.name, errors("parts"))
        self._readers = {name: GroupReader(name, index, self._calls) for name in GroupPeriods._fields}
        self._mig_errors = GroupReader("memory_health", index, self._calls)
        self._hardware_errors = 0
        self._identity = Device(index)
        self._session: int | None = None
        self._errors = errors("handle")
        self._identity_log = ErrorLog(log)

    def collect(self, request: DeviceRequest) -> DeviceFacts:
        """Return the facts about the GPU.

        A GPU that does not answer is down. If this user has no permission for the GPU, its state is unknown.
        """
        self._calls.start_reading(request.schedule.longest_period)
        self._check_hardware_errors(request.hardware_errors.get(self._index, 0))
        try:
            handle = self._handle()
            if handle is None:
                self._forget_groups()
                return DeviceFacts(Device(self._index), None)
            facts = self._read(handle, request)
        except DeviceLostError as error:
            return self._mark_down(error)
        self._errors.clear(_ANSWERS, f"{self.name}: answers again")
        return facts

    def _check_hardware_errors(self, number: int) -> None:
        """Have all groups read again if there are more errors than before; there are 0 while they cannot be counted."""
        if number > self._hardware_errors:
            self._hardware_errors = number
            self._forget_groups()

    def _forget_groups(self) -> None:
        for reader in (*self._readers.values(), self._mig_errors):
            reader.forget()

    def _handle(self) -> Any:
        """Return the handle of the GPU, or None if this user has no permission for it."""
        try:
            return pynvml.nvmlDeviceGetHandleByIndex(self._index)
        except pynvml.NVMLError as error:
            if error.value == pynvml.NVML_ERROR_NO_PERMISSION:
                # Without a handle the number of its device file is unknown.
                problem = f"{error}; see who may open the device files of the driver: 'ls -l /dev/nvidia*'"
                self._report(problem, error.value)
                return None
            raise DeviceLostError(f"NVML gives no handle for it: {error}", error.value) from None

    def _read(self, handle: Any, request: DeviceRequest) -> DeviceFacts:
        query = DeviceQuery(self.name, handle, self._calls, self._cache)
        last, mig = self._match_identity(query, request.session)
        temperature = query.call_first(
            (pynvml.nvmlDeviceGetTemperature, (handle, pynvml.NVML_TEMPERATURE_GPU)),
            *_if_available("nvmlDeviceGetTemperatureV", handle, pynvml.NVML_TEMPERATURE_GPU),
        )
        utilization = query.call(pynvml.nvmlDeviceGetUtilizationRates)
        memory = read_memory(query)
        mig_devices, all_listed = self._mig.list_devices(query) if mig.current == "enabled" else ((), True)
        contexts, listed = self._contexts.read(handle, [(device.name, device.handle) for device in mig_devices])
        if not self._calls.device_answers:  # NVML may answer the calls below from its own memory
            raise DeviceLostError("every NVML call fails")
        device = self._read_identity(query, last, mig.current)._replace(
            mig_pending=mig.pending,
            mig_devices=len(mig_devices) if mig.current == "enabled" and all_listed else None,
            temperature_celsius=celsius(temperature),
            utilization_percent=percentage(utilization.gpu) if utilization else None,
            memory_used_bytes=memory.used,
            memory_total_bytes=memory.total,
            memory_free_bytes=memory.free,
            memory_reserved_bytes=memory.reserved,
            shares_host_memory=memory.shares_host_memory,
            memory_bandwidth_ratio=ratio(utilization.memory) if utilization else None,
            processes_listed=listed and all_listed,
        )
        return DeviceFacts(self._read_groups(device, query, request, mig_devices), contexts)

    def _read_groups(
        self, device: Device, query: DeviceQuery, request: DeviceRequest, mig_devices: Sequence[MigDevice]
    ) -> Device:
        groups = request.groups
        if groups.gpm:
            self._gpm.clear_on_change(request.session, device.uuid, device.mig_mode)
        else:
            self._gpm.free_samples()

        def read(enabled: bool, part: str, read_part: Callable[[], T], default: T) -> T:
            return self._parts.read(part, read_part, default) if enabled else default

        def read_rarely(group: str, read_part: Callable[[], T], default: T) -> T:
            if not getattr(groups, group):
                self._readers[group].forget()
                return default
            return self._readers[group].read(request.schedule, lambda: self._parts.read(group, read_part, default))

        settings = read_rarely("device_details", lambda: read_settings(query), DeviceDetails())
        links = read_rarely("nvlink", lambda: self._read_links(query), _Links())
        return device._replace(
            details=read(groups.device_details, "details", lambda: read_details(query, settings), settings),
            health=read_rarely("memory_health", lambda: read_memory_health(query), MemoryHealth()),
            nvlinks=read(groups.nvlink, "NVLink traffic", lambda: with_traffic(query, links.nvlinks), links.nvlinks),
            c2c_links=links.c2c_links,
            fabric=links.fabric,
            activity=read(groups.gpm, "GPM", lambda: self._gpm.read_device(query), Activity()),
            mig_instances=read(groups.mig, "MIG", lambda: self._mig_instances(query, request, mig_devices), ()),
            group_readings=tuple(reader.reading for reader in self._readers.values() if reader.reading is not None),
        )

    def _read_links(self, query: DeviceQuery) -> _Links:
        read = self._parts.read
        return _Links(
            read("NVLinks", lambda: read_nvlinks(query), ()),
            read("C2C", lambda: read_c2c_links(query), ()),
            read("fabric", lambda: read_fabric(query), None),
        )

    def _mig_instances(
        self, query: DeviceQuery, request: DeviceRequest, mig_devices: Sequence[MigDevice]
    ) -> tuple[MigInstance, ...]:
        gpm = self._gpm if request.groups.gpm else None
        errors: dict[str, tuple[LocationErrors, ...]] = self._mig_errors.read(request.schedule, dict)
        return tuple(
            self._mig.read_instance(query, mig_device, request.session, gpm, errors) for mig_device in mig_devices
        )

    def _match_identity(self, query: DeviceQuery, session: int) -> tuple[Device, MigMode]:
        """Return the GPU as it was last seen, or a new one if it is another GPU; and its MIG mode.

        For another GPU, discard cached values and unsupported calls.
        """
        uuid = decode_text(query.call(pynvml.nvmlDeviceGetUUID))
        same = self._is_same_device(query, session) if uuid is None else uuid == self._identity.uuid
        last = self._identity if same else Device(self._index, uuid)
        self._session = session
        self._calls.ignore_so_far()
        if not same:
            self._calls.retry_unsupported()
        mig = self._mig.read_mode(query)
        if mig.current != self._identity.mig_mode:
            self._calls.retry_unsupported()
        if self._cache.clear_on_change(session, last.uuid, mig.current or ""):
            self._hardware_errors = 0
            self._forget_groups()
        return last, mig

    def _is_same_device(self, query: DeviceQuery, session: int) -> bool:
        """Return whether the GPU is the one that answered last: by its PCI address, else by its index.

        Within one session (:attr:`DeviceRequest.session`) an index belongs to one GPU.
        """
        pci = query.call(pynvml.nvmlDeviceGetPciInfo)
        address = decode_text(pci.busId) if pci else None
        if address is not None and self._identity.pci_bus_id is not None:
            return address == self._identity.pci_bus_id
        return session == self._session

    def _read_identity(self, query: DeviceQuery, last: Device, mig_mode: str | None) -> Device:
        """Return the identity of the GPU. A value that it does not report now is taken from ``last``."""
        if last.uuid and last.uuid != self._identity.uuid and self._identity.uuid:
            line = f"{self.name}: is {last.uuid} now, and was {self._identity.uuid}"
            self._identity_log.report("identity", line, level=logging.INFO)
        get = self._cache.get_or_fetch
        pci = get("PCI address", lambda: query.call(pynvml.nvmlDeviceGetPciInfo))
        architecture = get("architecture", lambda: value_or_none(query.call(pynvml.nvmlDeviceGetArchitecture)))
        self._identity = Device(
            index=self._index,
            uuid=last.uuid,
            up=True,
            name=get("name", lambda: decode_text(query.call(pynvml.nvmlDeviceGetName))) or last.name,
            pci_bus_id=(decode_text(pci.busId) if pci else None) or last.pci_bus_id,
            architecture=last.architecture if architecture is None else _ARCHITECTURES.get(architecture),
            vbios_version=get("VBIOS", lambda: decode_text(query.call(pynvml.nvmlDeviceGetVbiosVersion)))
            or last.vbios_version,
            mig_mode=mig_mode,
            board=read_board(query, pci, last.board),
        )
        return self._identity

    def _mark_down(self, error: DeviceLostError) -> DeviceFacts:
        self._forget_groups()
        line = f"{error}; the GPU is marked down until it answers again; see 'dmesg' and docs/runbook.md"
        self._report(line, error.code if error.code is not None else str(error))
        return DeviceFacts(self._identity._replace(up=False), None)

    def _report(self, line: str, kind: Hashable) -> None:
        self._errors.report(_ANSWERS, f"{self.name}: {line}", kind=kind, level=logging.ERROR)


def _if_available(name: str, *arguments: Any) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Return a call that not every version of nvidia-ml-py has, as an iterator of one or none."""
    call = getattr(pynvml, name, None)
    if call is not None:
        yield call, arguments
