"""Which attachments still name the device that they were made for.

genv's files name devices by index, and indices move when a device comes or goes, such as one that falls off the bus
while NVML is initialised again. Programs go on where they are, and the files stay as they are. So an attachment counts
only while its index is that of the device that had it when the attachment was first seen. What it means otherwise is
not known: not that the environment holds the device that has the index now, and not that it does not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from genvd.common.text import clean
from genvd.model.identity import Identity, identities
from genvd.model.snapshot import Holding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from genvd.model.device import Device
    from genvd.model.facts import Attachment
    from genvd.model.snapshot import Environment

Place = tuple[str, int]
"""The identifier of an environment, and the index of a device."""

_Key = tuple[str, int, float | None]
"""The same, and the time that genv's files say: a later attachment is another one."""

_UNKNOWN = Identity()


@dataclass(frozen=True, slots=True)
class UncertainAttachments:
    """The attachments that may be of another device than that which has their index now."""

    devices: Mapping[Place, frozenset[int]]
    """By attachment, the indices of the devices that it may be of, as far as these are present."""

    def uncertain_devices(self, environments: Iterable[Environment]) -> frozenset[int]:
        """Return the devices of which it is not known who holds them, as these environments are active."""
        active = {environment.eid for environment in environments}
        return frozenset(index for (eid, _), indices in self.devices.items() if eid in active for index in indices)

    def split_holdings(
        self, environments: Iterable[Environment], holdings: Iterable[Holding]
    ) -> tuple[tuple[Holding, ...], tuple[Holding, ...]]:
        """Return the holdings that are known, and those that may be, of which nothing else is known."""
        holdings = tuple(holdings)
        if not self.devices:
            return holdings, ()
        known = tuple(holding for holding in holdings if (holding.eid, holding.device_index) not in self.devices)
        attached = {(holding.eid, holding.device_index): holding.attached for holding in holdings}
        unclear = (
            Holding(
                eid=environment.eid,
                uid=environment.uid,
                username=environment.username,
                device_index=index,
                device_uuid=None,
                active=None,
                share=None,
                attached=attached.get((environment.eid, index)),
            )
            for environment in environments
            for index in environment.device_indices
            if (environment.eid, index) in self.devices
        )
        return known, tuple(unclear)

    def mark_environments(self, environments: Iterable[Environment]) -> tuple[Environment, ...]:
        """Return the environments, each with whether its devices are known."""
        eids = {eid for eid, _ in self.devices}
        return tuple(
            replace(environment, devices_known=False) if environment.eid in eids else environment
            for environment in environments
        )


ALL_CERTAIN = UncertainAttachments({})

MAX_SAVED = 8192
"""So many attachments are kept for the next start of the monitor."""


@dataclass(frozen=True, slots=True)
class SavedAttachment:
    """Of which device an attachment is, for the next start of the monitor."""

    eid: str
    device_index: int
    attached: float | None
    """As genv's files say."""
    uuid: str | None
    pci_bus_id: str | None


class RenumberingDetector:
    """Remembers of which device each attachment is.

    An attachment that is there when the monitor starts is of the device that it was of before, if that is recalled;
    else it is taken to be of the device that has its index then.
    """

    def __init__(self) -> None:
        self._kept: dict[_Key, Identity] = {}
        self._devices: dict[_Key, Identity] = {}
        self._order: dict[int, Identity] = {}
        self._unclear: frozenset[_Key] = frozenset()

    def update(self, devices: Iterable[Device] | None, attachments: Iterable[Attachment]) -> UncertainAttachments:
        """Return which of the attachments are unclear.

        Args:
            devices: as they are now; None while they are not known.
            attachments: as genv's files have them.
        """
        if devices is not None:
            self._order = self._with_last_known(identities(devices))
        keys = {(one.eid, one.device_index, one.attached) for one in attachments}
        self._devices = {key: self._device_of(key) for key in keys}
        self._unclear = frozenset(key for key in keys if self._is_unclear(key))
        return (
            UncertainAttachments({key[:2]: self._candidates(key) for key in self._unclear})
            if self._unclear
            else ALL_CERTAIN
        )

    def restore(self, kept: Iterable[SavedAttachment]) -> None:
        """Take in what :meth:`kept` returned before the monitor was started."""
        self._kept = {(one.eid, one.device_index, one.attached): Identity(one.uuid, one.pci_bus_id) for one in kept}

    def to_save(self, environments: Iterable[Environment]) -> tuple[SavedAttachment, ...]:
        """Return what the next start of the monitor should know of the attachments of these."""
        eids = {environment.eid for environment in environments}
        found = [
            SavedAttachment(clean(eid), index, attached, *device)
            for (eid, index, attached), device in self._devices.items()
            if eid in eids and device.known
        ]
        return tuple(sorted(found, key=lambda one: (one.eid, one.device_index))[:MAX_SAVED])

    def _with_last_known(self, order: Mapping[int, Identity]) -> dict[int, Identity]:
        """Return the order with what was last known of those that do not say who they are, unless that is elsewhere."""
        return {
            index: identity if identity.known else self._last_known(index, order) for index, identity in order.items()
        }

    def _last_known(self, index: int, order: Mapping[int, Identity]) -> Identity:
        last = self._order.get(index, _UNKNOWN)
        return _UNKNOWN if any(one.known and one.may_be(last) for one in order.values()) else last

    def _device_of(self, key: _Key) -> Identity:
        """Return the device that had the index when the attachment was first seen, with all that is known of it."""
        present = self._order.get(key[1], _UNKNOWN)
        first = self._recalled(key) or self._devices.get(key)
        if first is None or not first.known:
            return present
        if not first.may_be(present):
            return first
        return Identity(first.uuid or present.uuid, first.pci_bus_id or present.pci_bus_id)

    def _recalled(self, key: _Key) -> Identity | None:
        eid, index, attached = key
        return self._kept.pop((clean(eid), index, attached), None) if self._kept else None

    def _is_unclear(self, key: _Key) -> bool:
        device = self._devices[key]
        if not device.known:
            return False
        present = self._order.get(key[1])
        if present is None:  # no device has the index any more
            return True
        if present.known:
            return not device.may_be(present)
        return key in self._unclear or bool(self._where(device))

    def _candidates(self, key: _Key) -> frozenset[int]:
        return frozenset({*self._where(self._devices[key]), *({key[1]} & self._order.keys())})

    def _where(self, device: Identity) -> list[int]:
        return [index for index, one in self._order.items() if one.known and one.may_be(device)]
