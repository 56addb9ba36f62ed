"""What the board of a device is: it does not change, so it is asked for until it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pynvml

from genvd.device_model import Board
from genvd.sources.nvml.asked import text
from genvd.sources.nvml.errors import known
from genvd.sources.nvml.own import gsp_firmware_version
from genvd.sources.nvml.sane import within

if TYPE_CHECKING:
    from collections.abc import Callable

    from genvd.sources.nvml.asked import Asked

_TEXTS: dict[str, Callable[..., Any]] = {
    "serial": pynvml.nvmlDeviceGetSerial,
    "part_number": pynvml.nvmlDeviceGetBoardPartNumber,
    "inforom_version": pynvml.nvmlDeviceGetInforomImageVersion,
    "gsp_firmware_version": gsp_firmware_version,
}

_MOST_MINOR = 2**20 - 1
"""Minor numbers of Linux have 20 bits."""


def board(device: Asked, pci: Any) -> Board:
    """Return what the device tells.

    Args:
        device: the device.
        pci: its ``nvmlPciInfo_t``, or None.

    Raises:
        DeviceLostError: it does not answer any more.
    """
    return device.constants.get("board", lambda: _board(device, pci)) or Board()


def _board(device: Asked, pci: Any) -> Board:
    capability = device.ask(pynvml.nvmlDeviceGetCudaComputeCapability)
    return Board(
        **{name: text(device.ask(call)) for name, call in _TEXTS.items()},
        minor_number=within(device.number(pynvml.nvmlDeviceGetMinorNumber), 0, _MOST_MINOR),
        compute_capability=f"{capability[0]}.{capability[1]}" if capability else None,
        pci_device_id=_hexadecimal(pci.pciDeviceId) if pci else None,
        pci_subsystem_id=_hexadecimal(pci.pciSubSystemId) if pci else None,
    )


def _hexadecimal(number: int) -> str | None:
    return f"{number:08X}" if known(number) else None
