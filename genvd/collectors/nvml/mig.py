"""The MIG devices of a device."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pynvml

from genvd.collectors.nvml.errors import value_or_none
from genvd.collectors.nvml.memory import read_bar1, read_memory
from genvd.collectors.nvml.memory_health import read_placed_errors
from genvd.collectors.nvml.query import DeviceCache, DeviceQuery, text
from genvd.model.device import Activity, MigInstance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genvd.collectors.nvml.gpm import GpmReader

_MAX_INSTANCES = 64
"""Of one device; today's have at most 7."""

_COUNTED = (("uncorrected", "volatile", "sram"),)
"""Errors that NVML has by MIG device: uncorrected ones outside DRAM, since the driver was loaded (nvml.h)."""

_PROFILE = re.compile(r"\bMIG (\S+)$")
"""How a name such as ``NVIDIA H200 MIG 1g.18gb`` ends."""


class MigMode(NamedTuple):
    """Whether a device is divided."""

    current: str | None = None
    """``enabled`` or ``disabled``; None for a device without MIG."""
    pending: bool | None = None
    """Whether it is to be on after the next reset."""


class MigDevice(NamedTuple):
    """A MIG device that can be asked."""

    number: int
    name: str
    handle: Any


class _Identity(NamedTuple):
    """Which MIG device it is, in one session of NVML."""

    session: int
    uuid: str
    instances: tuple[int | None, int | None]
    """Its GPU instance and its compute instance."""


class MigReader:
    """Asks for the MIG devices of one device."""

    def __init__(self) -> None:
        self._cache: dict[int, DeviceCache] = {}
        self._last: dict[int, _Identity] = {}

    def read_mode(self, parent: DeviceQuery) -> MigMode:
        """Return the MIG mode of a device."""
        mode = parent.call(pynvml.nvmlDeviceGetMigMode)
        if mode is None or value_or_none(mode[0]) is None:
            return MigMode()
        now, pending = mode
        return MigMode(
            "enabled" if now == pynvml.NVML_DEVICE_MIG_ENABLE else "disabled",
            None if value_or_none(pending) is None else pending == pynvml.NVML_DEVICE_MIG_ENABLE,
        )

    def list_devices(self, parent: DeviceQuery) -> Iterator[MigDevice]:
        """Return the MIG devices of a device whose MIG mode is on."""
        most = parent.call_int(pynvml.nvmlDeviceGetMaxMigDeviceCount) or 0
        for number in range(min(most, _MAX_INSTANCES)):
            handle = parent.call(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, number, about=f"MIG {number}")
            if handle is not None:
                yield MigDevice(number, f"{parent.name} MIG {number}", handle)

    def read_instance(self, parent: DeviceQuery, device: MigDevice, session: int, gpm: GpmReader | None) -> MigInstance:
        """Return what a MIG device tells, and what its GPU instance did.

        Raises:
            DeviceLostError: it does not answer any more.
        """
        cache = self._cache.setdefault(device.number, DeviceCache())
        query = DeviceQuery(device.name, device.handle, parent.calls, cache)
        uuid = self._uuid(query, device.number, session)
        cache.clear_on_change(session, uuid)
        has, window = read_memory(query), read_bar1(query)
        gpu_instance = cache.get_or_fetch("GPU instance", lambda: query.call_int(pynvml.nvmlDeviceGetGpuInstanceId))
        return MigInstance(
            number=device.number,
            uuid=uuid,
            profile=cache.get_or_fetch("profile", lambda: _profile(query)),
            gpu_instance=gpu_instance,
            compute_instance=cache.get_or_fetch(
                "compute instance", lambda: query.call_int(pynvml.nvmlDeviceGetComputeInstanceId)
            ),
            memory_used_bytes=has.used,
            memory_total_bytes=has.total,
            bar1_used_bytes=window.used,
            bar1_total_bytes=window.total,
            placed_errors=read_placed_errors(query, _COUNTED),
            activity=gpm.read_instance(parent, gpu_instance) if gpm else Activity(),
        )

    def _uuid(self, query: DeviceQuery, number: int, session: int) -> str | None:
        """Return the UUID of a MIG device; while that cannot be read, the last one of the same instances."""
        told, last = text(query.call(pynvml.nvmlDeviceGetUUID)), self._last.get(number)
        if told is not None and last is not None and (last.session, last.uuid) == (session, told):
            return told
        instances = (
            query.call_int(pynvml.nvmlDeviceGetGpuInstanceId),
            query.call_int(pynvml.nvmlDeviceGetComputeInstanceId),
        )
        if told is None:
            same = last is not None and None not in instances and (last.session, last.instances) == (session, instances)
            return last.uuid if last is not None and same else None
        self._last[number] = _Identity(session, told, instances)
        return told


def _profile(device: DeviceQuery) -> str | None:
    """Return the profile that the name ends with; else what NVIDIA would call the slices that the device has."""
    match = _PROFILE.search(text(device.call(pynvml.nvmlDeviceGetName)) or "")
    if match:
        return match[1]
    has = device.call(pynvml.nvmlDeviceGetAttributes)
    if has is None:
        return None
    compute, gpu = has.computeInstanceSliceCount, has.gpuInstanceSliceCount
    return f"{f'{compute}c.' if compute != gpu else ''}{gpu}g.{-(-has.memorySizeMB // 1024)}gb"
