"""The MIG devices of a device."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pynvml

from genvd.collectors.nvml.errors import known
from genvd.collectors.nvml.memory import bar1, memory
from genvd.collectors.nvml.memory_health import placed_errors
from genvd.collectors.nvml.query import Asked, Constants, text
from genvd.model.device import Activity, MigInstance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genvd.collectors.nvml.gpm import GpmReader

_MOST_INSTANCES = 64
"""Of one device; today's have at most 7."""

_COUNTED = (("uncorrected", "volatile", "sram"),)
"""Errors that NVML has by MIG device: uncorrected ones outside DRAM, since the driver was loaded (nvml.h)."""

_PROFILE = re.compile(r"\bMIG (\S+)$")
"""How a name such as ``NVIDIA H200 MIG 1g.18gb`` ends."""


class MigMode(NamedTuple):
    """Whether a device is divided."""

    now: str | None = None
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
    places: tuple[int | None, int | None]
    """Its GPU instance and its compute instance."""


class MigReader:
    """Asks for the MIG devices of one device."""

    def __init__(self) -> None:
        self._constants: dict[int, Constants] = {}
        self._last: dict[int, _Identity] = {}

    def mode(self, parent: Asked) -> MigMode:
        """Return the MIG mode of a device."""
        mode = parent.ask(pynvml.nvmlDeviceGetMigMode)
        if mode is None or known(mode[0]) is None:
            return MigMode()
        now, pending = mode
        return MigMode(
            "enabled" if now == pynvml.NVML_DEVICE_MIG_ENABLE else "disabled",
            None if known(pending) is None else pending == pynvml.NVML_DEVICE_MIG_ENABLE,
        )

    def devices(self, parent: Asked) -> Iterator[MigDevice]:
        """Return the MIG devices of a device whose MIG mode is on."""
        most = parent.number(pynvml.nvmlDeviceGetMaxMigDeviceCount) or 0
        for number in range(min(most, _MOST_INSTANCES)):
            handle = parent.ask(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, number, about=f"MIG {number}")
            if handle is not None:
                yield MigDevice(number, f"{parent.name} MIG {number}", handle)

    def instance(self, parent: Asked, device: MigDevice, session: int, gpm: GpmReader | None) -> MigInstance:
        """Return what a MIG device tells, and what its GPU instance did.

        Raises:
            DeviceLostError: it does not answer any more.
        """
        constants = self._constants.setdefault(device.number, Constants())
        asked = Asked(device.name, device.handle, parent.calls, constants)
        uuid = self._uuid(asked, device.number, session)
        constants.of(session, uuid)
        has, window = memory(asked), bar1(asked)
        gpu_instance = constants.get("GPU instance", lambda: asked.number(pynvml.nvmlDeviceGetGpuInstanceId))
        return MigInstance(
            number=device.number,
            uuid=uuid,
            profile=constants.get("profile", lambda: _profile(asked)),
            gpu_instance=gpu_instance,
            compute_instance=constants.get(
                "compute instance", lambda: asked.number(pynvml.nvmlDeviceGetComputeInstanceId)
            ),
            memory_used_bytes=has.used,
            memory_total_bytes=has.total,
            bar1_used_bytes=window.used,
            bar1_total_bytes=window.total,
            placed_errors=placed_errors(asked, _COUNTED),
            activity=gpm.instance(parent, gpu_instance) if gpm else Activity(),
        )

    def _uuid(self, asked: Asked, number: int, session: int) -> str | None:
        """Return the UUID of a MIG device; while that cannot be read, the last one of the same instances."""
        told, last = text(asked.ask(pynvml.nvmlDeviceGetUUID)), self._last.get(number)
        if told is not None and last is not None and (last.session, last.uuid) == (session, told):
            return told
        places = (
            asked.number(pynvml.nvmlDeviceGetGpuInstanceId),
            asked.number(pynvml.nvmlDeviceGetComputeInstanceId),
        )
        if told is None:
            same = last is not None and None not in places and (last.session, last.places) == (session, places)
            return last.uuid if last is not None and same else None
        self._last[number] = _Identity(session, told, places)
        return told


def _profile(device: Asked) -> str | None:
    """Return the profile that the name ends with; else what NVIDIA would call the slices that the device has."""
    match = _PROFILE.search(text(device.ask(pynvml.nvmlDeviceGetName)) or "")
    if match:
        return match[1]
    has = device.ask(pynvml.nvmlDeviceGetAttributes)
    if has is None:
        return None
    compute, gpu = has.computeInstanceSliceCount, has.gpuInstanceSliceCount
    return f"{f'{compute}c.' if compute != gpu else ''}{gpu}g.{-(-has.memorySizeMB // 1024)}gb"
