"""Identity of a GPU across index changes: its UUID, else its PCI address, else its index.

Some integrated GPUs have no UUID, and GPUs with equal UUIDs have been seen.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from genvd.common.text import escape_unprintable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genvd.model.device import Device


class Identity(NamedTuple):
    """UUID and PCI address of a GPU; None if unknown, or if several GPUs have the same."""

    uuid: str | None = None
    pci_bus_id: str | None = None

    @property
    def known(self) -> bool:
        """Whether the GPU can be identified."""
        return self.uuid is not None or self.pci_bus_id is not None

    def may_be(self, other: Identity) -> bool:
        """Return whether both may be the same GPU: no known value differs."""
        if self.uuid is not None and other.uuid is not None:
            return self.uuid == other.uuid
        return self.pci_bus_id is None or other.pci_bus_id is None or self.pci_bus_id == other.pci_bus_id


def identities(devices: Iterable[Device]) -> dict[int, Identity]:
    """Return the identity of each GPU by index."""
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
    """Return a unique key for each GPU by index, as stable as the driver allows."""
    return {
        index: identity.uuid or identity.pci_bus_id or f"device {index}"
        for index, identity in identities(devices).items()
    }


MAX_ADDRESSES = 8192
"""Maximum PCI addresses that are remembered."""


class LastUuids:
    """Remembers the last UUID at each PCI address, also from before a restart of the monitor."""

    def __init__(self) -> None:
        self._uuids: dict[str, str] = {}

    def restore(self, devices: Iterable[Identity]) -> None:
        """Add identities from before the restart; newer ones take precedence."""
        for uuid, address in devices:
            if uuid is not None and address is not None and len(self._uuids) < MAX_ADDRESSES:
                self._uuids.setdefault(address, uuid)

    def add_uuids(self, devices: tuple[Device, ...]) -> tuple[Device, ...]:
        """Return the GPUs, and give one without a UUID the last UUID at its PCI address. Record the known UUIDs."""
        known = identities(devices)
        for uuid, address in known.values():
            if (
                uuid is not None
                and address is not None
                and (address in self._uuids or len(self._uuids) < MAX_ADDRESSES)
            ):
                self._uuids[address] = uuid
        if all(device.uuid for device in devices):
            return devices
        present = {device.uuid for device in devices}
        missing = {
            device.index: self._uuids.get(known[device.index].pci_bus_id or "") for device in devices if not device.uuid
        }
        return tuple(
            device._replace(uuid=uuid) if (uuid := missing.get(device.index)) and uuid not in present else device
            for device in devices
        )
