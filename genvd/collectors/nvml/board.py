"""The static data of a GPU board: serial number, part number, PCI IDs, firmware versions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pynvml

from genvd.collectors.nvml.bounds import within
from genvd.collectors.nvml.errors import value_or_none
from genvd.collectors.nvml.extra_calls import gsp_firmware_version
from genvd.collectors.nvml.query import text
from genvd.model.device import Board

if TYPE_CHECKING:
    from collections.abc import Callable

    from genvd.collectors.nvml.query import DeviceQuery

_TEXTS: dict[str, Callable[..., Any]] = {
    "serial": pynvml.nvmlDeviceGetSerial,
    "part_number": pynvml.nvmlDeviceGetBoardPartNumber,
    "inforom_version": pynvml.nvmlDeviceGetInforomImageVersion,
    "gsp_firmware_version": gsp_firmware_version,
}

_MAX_MINOR = 2**20 - 1
"""Linux device minor numbers have 20 bits."""


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
    return text(device.call(call))


def _hexadecimal(number: int) -> str | None:
    return f"{number:08X}" if value_or_none(number) else None
