"""What tells a device from others: its UUID, else its PCI address, else its index.

Not every driver gives UUIDs (some integrated GPUs have none), and devices with equal ones have been seen.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from genvd.common.text import escape_unprintable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genvd.model.device import Device


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
            escape_unprintable(device.uuid) if device.uuid and uuids[device.uuid] == 1 else None,
            escape_unprintable(device.pci_bus_id) if device.pci_bus_id and addresses[device.pci_bus_id] == 1 else None,
        )
        for device in devices
    }


def device_keys(devices: Iterable[Device]) -> dict[int, str]:
    """Return by index a name for each device, as lasting as its driver allows; no two have the same."""
    return {
        index: identity.uuid or identity.pci_bus_id or f"device {index}"
        for index, identity in identities(devices).items()
    }


MOST_KEPT = 8192
"""So many addresses are remembered."""


class LastUuids:
    """Remembers which device was at which PCI address, also from before the monitor was started."""

    def __init__(self) -> None:
        self._uuids: dict[str, str] = {}

    def recall(self, devices: Iterable[Identity]) -> None:
        """Take in what is known of devices from before, where nothing is known since."""
        for uuid, address in devices:
            if uuid is not None and address is not None and len(self._uuids) < MOST_KEPT:
                self._uuids.setdefault(address, uuid)

    def take(self, devices: tuple[Device, ...]) -> tuple[Device, ...]:
        """Return the devices, each that does not tell its UUID with the one that was at its address last."""
        known = identities(devices)
        for uuid, address in known.values():
            if uuid is not None and address is not None and (address in self._uuids or len(self._uuids) < MOST_KEPT):
                self._uuids[address] = uuid
        if all(device.uuid for device in devices):
            return devices
        present = {device.uuid for device in devices}
        missing = {
            device.index: self._uuids.get(known[device.index].pci_bus_id or "") for device in devices if not device.uuid
        }
        return tuple(
            replace(device, uuid=uuid) if (uuid := missing.get(device.index)) and uuid not in present else device
            for device in devices
        )
