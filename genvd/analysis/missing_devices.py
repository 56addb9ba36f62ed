"""Devices that the driver listed before, and does not list any more."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from genvd.common.error_log import ErrorLog
from genvd.common.text import clean
from genvd.model.identity import Identity, identities
from genvd.model.snapshot import MissingDevice

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genvd.model.device import Device

log = logging.getLogger(__name__)

MAX_MISSING = 64
"""Devices that are remembered to be missing, the latest ones."""

_MOST_LOGGED = 16


class MissingDevices:
    """Remembers which devices were there since the monitor started. One thread at a time."""

    def __init__(self) -> None:
        self._present: dict[Identity, int] = {}
        self._missing: dict[Identity, int] = {}
        self._errors = ErrorLog(log, max_active=_MOST_LOGGED)

    def update(self, devices: Iterable[Device] | None) -> tuple[MissingDevice, ...]:
        """Return the devices that are missing, by the indices that they had.

        Args:
            devices: as the driver lists them now; None while that is not known.
        """
        if devices is not None:
            self._compare(identities(devices))
        return tuple(
            MissingDevice(index, identity.uuid, identity.pci_bus_id)
            for identity, index in sorted(self._missing.items(), key=lambda item: item[1])
        )

    def _compare(self, listed: dict[int, Identity]) -> None:
        for identity in [one for one in self._missing if _is_among(one, listed)]:
            index = self._missing.pop(identity)
            self._errors.clear(identity, f"{_name(index, identity)} is listed by the driver again")
        # One that does not say who it is may be any of those that are looked for.
        if all(identity.known for identity in listed.values()):
            gone = {one: index for one, index in self._present.items() if not _is_among(one, listed)}
            self._missing.update(gone)
            self._present = {identity: index for index, identity in listed.items()}
        for identity in list(self._missing)[:-MAX_MISSING]:
            del self._missing[identity]
            self._errors.forget(identity)
        for identity, index in self._missing.items():
            text = f"{_name(index, identity)} is not listed by the driver any more; see 'nvidia-smi -L' and 'dmesg'"
            self._errors.report(identity, text)


def _is_among(identity: Identity, listed: dict[int, Identity]) -> bool:
    return identity in (present := listed.values()) or any(one.known and identity.may_be(one) for one in present)


def _name(index: int, identity: Identity) -> str:
    return f"GPU {index} ({clean(identity.uuid or identity.pci_bus_id or '')})"
