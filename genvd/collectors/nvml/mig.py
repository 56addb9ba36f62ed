"""The MIG mode and the MIG devices of a GPU."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pynvml

from genvd.collectors.nvml.errors import value_or_none
from genvd.collectors.nvml.memory import read_bar1, read_memory
from genvd.collectors.nvml.memory_health import read_placed_errors
from genvd.collectors.nvml.query import NOT_PRESENT, DeviceCache, DeviceQuery, decode_text, not_present_on
from genvd.model.device import Activity, MigInstance

if TYPE_CHECKING:
    from genvd.collectors.nvml.gpm import GpmReader
    from genvd.model.device import LocationErrors

_MAX_INSTANCES = 64
"""Of one GPU; current models have at most 7."""

_COUNTED = (("uncorrected", "volatile", "sram"),)
"""The errors that NVML counts by MIG device: uncorrected, outside DRAM, since the driver was loaded (nvml.h)."""

_PROFILE = re.compile(r"\bMIG (\S+)$")
"""The profile at the end of a name such as ``NVIDIA H200 MIG 1g.18gb``."""

_mig_handle = not_present_on({pynvml.NVML_ERROR_NOT_FOUND}, pynvml.nvmlDeviceGetMigDeviceHandleByIndex)


class MigMode(NamedTuple):
    """The MIG mode of a GPU."""

    current: str | None = None
    """``enabled`` or ``disabled``; None for a GPU without MIG."""
    pending: bool | None = None
    """Whether it will be enabled after the next reset."""


class MigDevice(NamedTuple):
    """A MIG device, with its number on the GPU and its handle."""

    number: int
    name: str
    handle: Any


class _Identity(NamedTuple):
    """The identity of a MIG device in one NVML session."""

    session: int
    uuid: str
    instances: tuple[int | None, int | None]
    """Its GPU instance and compute instance."""


class MigReader:
    """Reads the MIG devices of one GPU."""

    def __init__(self) -> None:
        self._caches: dict[int, DeviceCache] = {}
        self._last: dict[int, _Identity] = {}

    def read_mode(self, parent: DeviceQuery) -> MigMode:
        """Return the MIG mode of a GPU."""
        mode = parent.call(pynvml.nvmlDeviceGetMigMode)
        if mode is None or value_or_none(mode[0]) is None:
            return MigMode()
        current, pending = mode
        return MigMode(
            "enabled" if current == pynvml.NVML_DEVICE_MIG_ENABLE else "disabled",
            None if value_or_none(pending) is None else pending == pynvml.NVML_DEVICE_MIG_ENABLE,
        )

    def list_devices(self, parent: DeviceQuery) -> tuple[tuple[MigDevice, ...], bool]:
        """Return the MIG devices of a GPU with enabled MIG mode, and whether these are all."""
        count = parent.call_int(pynvml.nvmlDeviceGetMaxMigDeviceCount)
        numbers = range(min(count or 0, _MAX_INSTANCES))
        handles = [parent.call(_mig_handle, number, about=f"MIG {number}") for number in numbers]
        found = tuple(
            MigDevice(number, f"{parent.name} MIG {number}", handle)
            for number, handle in zip(numbers, handles, strict=True)
            if handle not in (None, NOT_PRESENT)
        )
        return found, bool(count) and None not in handles

    def read_instance(
        self,
        parent: DeviceQuery,
        device: MigDevice,
        session: int,
        gpm: GpmReader | None,
        errors: dict[str, tuple[LocationErrors, ...]],
    ) -> MigInstance:
        """Return the facts about a MIG device.

        Args:
            parent: its GPU.
            device: the MIG device.
            session: see :attr:`genvd.collectors.nvml.device.DeviceRequest.session`.
            gpm: reads the activity of its GPU instance; None to leave it out.
            errors: the memory errors of MIG devices that are not read again now, by UUID; those of others are added.
        """
        cache = self._caches.setdefault(device.number, DeviceCache())
        query = DeviceQuery(device.name, device.handle, parent.calls, cache)
        uuid = self._uuid(query, device.number, session)
        cache.clear_on_change(session, uuid)
        memory, bar1 = read_memory(query), read_bar1(query)
        gpu_instance = cache.get_or_fetch("GPU instance", lambda: query.call_int(pynvml.nvmlDeviceGetGpuInstanceId))
        return MigInstance(
            number=device.number,
            uuid=uuid,
            profile=cache.get_or_fetch("profile", lambda: _profile(query)),
            gpu_instance=gpu_instance,
            compute_instance=cache.get_or_fetch(
                "compute instance", lambda: query.call_int(pynvml.nvmlDeviceGetComputeInstanceId)
            ),
            memory_used_bytes=memory.used,
            memory_total_bytes=memory.total,
            bar1_used_bytes=bar1.used,
            bar1_total_bytes=bar1.total,
            placed_errors=_placed_errors(query, uuid, errors),
            activity=gpm.read_instance(parent, gpu_instance) if gpm else Activity(),
        )

    def _uuid(self, query: DeviceQuery, number: int, session: int) -> str | None:
        """Return the UUID of a MIG device; if it cannot be read, the last one of the same instances."""
        uuid, last = decode_text(query.call(pynvml.nvmlDeviceGetUUID)), self._last.get(number)
        if uuid is not None and last is not None and (last.session, last.uuid) == (session, uuid):
            return uuid
        instances = (
            query.call_int(pynvml.nvmlDeviceGetGpuInstanceId),
            query.call_int(pynvml.nvmlDeviceGetComputeInstanceId),
        )
        if uuid is None:
            same = last is not None and None not in instances and (last.session, last.instances) == (session, instances)
            return last.uuid if last is not None and same else None
        self._last[number] = _Identity(session, uuid, instances)
        return uuid


def _placed_errors(
    device: DeviceQuery, uuid: str | None, known: dict[str, tuple[LocationErrors, ...]]
) -> tuple[LocationErrors, ...]:
    if uuid is None or not known.get(uuid):
        found = read_placed_errors(device, _COUNTED)
        if uuid is None:
            return found
        known[uuid] = found
    return known[uuid]


def _profile(device: DeviceQuery) -> str | None:
    """Return the profile at the end of the name; without one, build it from the slices as NVIDIA does."""
    match = _PROFILE.search(decode_text(device.call(pynvml.nvmlDeviceGetName)) or "")
    if match:
        return match[1]
    attributes = device.call(pynvml.nvmlDeviceGetAttributes)
    if attributes is None:
        return None
    compute, gpu = attributes.computeInstanceSliceCount, attributes.gpuInstanceSliceCount
    return f"{f'{compute}c.' if compute != gpu else ''}{gpu}g.{-(-attributes.memorySizeMB // 1024)}gb"
