"""What tells a device from others: its UUID, else its PCI address, else its index.

Not every driver gives UUIDs (some integrated GPUs have none), and devices with equal ones have been seen.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from genvd.text import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genvd.device_model import Device


class Identity(NamedTuple):
    """What a device keeps when its index changes; None is *not known*, and what several have tells nothing."""

    uuid: str | None = None
    pci_bus_id: str | None = None

    @property
    def known(self) -> bool:
        """Whether it tells the device from others."""
        return self.uuid is not None or self.pci_bus_id is not None

    def may_be(self, other: Identity) -> bool:
        """Tell whether both may be one device: as far as they can be compared, nothing is different."""
        if self.uuid is not None and other.uuid is not None:
            return self.uuid == other.uuid
        return self.pci_bus_id is None or other.pci_bus_id is None or self.pci_bus_id == other.pci_bus_id


def identities(devices: Iterable[Device]) -> dict[int, Identity]:
    """Return by index what each device keeps when its index changes."""
    devices = tuple(devices)
    uuids, addresses = (
        Counter(device.uuid for device in devices),
        Counter(device.pci_bus_id for device in devices),
    )
    return {
        device.index: Identity(
            harmless(device.uuid) if device.uuid and uuids[device.uuid] == 1 else None,
            harmless(device.pci_bus_id) if device.pci_bus_id and addresses[device.pci_bus_id] == 1 else None,
        )
        for device in devices
    }


def device_keys(devices: Iterable[Device]) -> dict[int, str]:
    """Return by index a name for each device, as lasting as its driver allows; no two have the same."""
    return {
        index: identity.uuid or identity.pci_bus_id or f"device {index}"
        for index, identity in identities(devices).items()
    }
