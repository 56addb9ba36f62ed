"""What the monitor has to know again after a restart, besides amounts. The ledger keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genvd.idleness import LastWork
    from genvd.renumbering import KeptDevice
    from genvd.sightings import KeptTime


@dataclass(frozen=True, slots=True)
class Remembered:
    """Of the environments that are active."""

    last_work: tuple[LastWork, ...] = ()
    """When those that hold devices last worked."""
    times: tuple[KeptTime, ...] = ()
    """When they were created and their devices attached, as far as that can be true."""
    devices: tuple[KeptDevice, ...] = ()
    """Of which device each of their attachments is, whatever index it has by now."""
