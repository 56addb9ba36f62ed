"""The static data of a GPU board, such as serial number, part number and PCI IDs, and the state of its InfoROM."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import pynvml

from genvd.collectors.nvml import extra_calls
from genvd.collectors.nvml.bounds import within
from genvd.collectors.nvml.errors import value_or_none
from genvd.collectors.nvml.query import decode_text
from genvd.model.device import Board

if TYPE_CHECKING:
    from collections.abc import Callable

    from genvd.collectors.nvml.query import DeviceQuery

_TEXTS: dict[str, Callable[..., Any]] = {
    "serial": pynvml.nvmlDeviceGetSerial,
    "part_number": pynvml.nvmlDeviceGetBoardPartNumber,
    "inforom_version": pynvml.nvmlDeviceGetInforomImageVersion,
    "gsp_firmware_version": extra_calls.gsp_firmware_version,
}

_MAX_MINOR = 2**20 - 1
"""Linux device minor numbers have 20 bits."""

INFOROM_CACHE_SECONDS = 600.0
"""NVML reads the whole InfoROM from flash memory for each call, and it hardly ever changes."""


class _InforomAnswer(NamedTuple):
    """A cached answer."""

    corrupted: bool
    expires: float
    """Seconds of the monotonic clock."""


def read_board(device: DeviceQuery, pci: Any, last: Board) -> Board:
    """Return the data of the board; a value that the GPU does not report now is taken from ``last``.

    Args:
        device: the GPU.
        pci: its ``nvmlPciInfo_t``, or None.
        last: the previous data of the same GPU; ``Board()`` if it may be another GPU.
    """
    get = device.cache.get_or_fetch
    texts = {name: get(name, partial(_text, device, call)) for name, call in _TEXTS.items()}
    capability = get("capability", lambda: device.call(pynvml.nvmlDeviceGetCudaComputeCapability))
    minor = get("minor", lambda: within(device.call_int(pynvml.nvmlDeviceGetMinorNumber), 0, _MAX_MINOR))
    return Board(
        **{name: getattr(last, name) if value is None else value for name, value in texts.items()},
        minor_number=last.minor_number if minor is None else minor,
        compute_capability=f"{capability[0]}.{capability[1]}" if capability else last.compute_capability,
        pci_device_id=_hexadecimal(pci.pciDeviceId) if pci else last.pci_device_id,
        pci_subsystem_id=_hexadecimal(pci.pciSubSystemId) if pci else last.pci_subsystem_id,
    )


def _text(device: DeviceQuery, call: Callable[..., Any]) -> str | None:
    return decode_text(device.call(call))


def _hexadecimal(number: int) -> str | None:
    return f"{number:08X}" if value_or_none(number) else None


def read_inforom_corrupted(device: DeviceQuery, now: float | None = None) -> bool | None:
    """Return whether the checksums of the InfoROM are wrong; None if unknown. Answers are cached for ten minutes.

    Args:
        device: the GPU.
        now: of :func:`time.monotonic`; None for the current time.
    """
    now = time.monotonic() if now is None else now
    answer: _InforomAnswer | None = device.cache.get("InfoROM")
    if answer is not None and now < answer.expires:
        return answer.corrupted
    corrupted: bool | None = device.call(extra_calls.inforom_corrupted)
    if corrupted is not None:
        device.cache.set("InfoROM", _InforomAnswer(corrupted, now + INFOROM_CACHE_SECONDS))
    return corrupted
