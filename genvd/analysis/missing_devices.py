"""Finds GPUs that the driver no longer lists."""

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
"""Maximum number of missing GPUs that are remembered. The oldest are dropped."""

_MAX_LOGGED = 16


class MissingDevices:
    """Remembers which GPUs were present since the monitor started. Not thread-safe."""

    def __init__(self) -> None:
        self._present: dict[Identity, int] = {}
        self._missing: dict[Identity, int] = {}
        self._errors = ErrorLog(log, max_active=_MAX_LOGGED)

    def update(self, devices: Iterable[Device] | None) -> tuple[MissingDevice, ...]:
        """Return the missing GPUs, ordered by their last index.

        Args:
            devices: the GPUs that the driver lists now; None if unknown.
        """
        if devices is not None:
            self._compare(identities(devices))
        return tuple(
            MissingDevice(index, identity.uuid, identity.pci_bus_id)
            for identity, index in sorted(self._missing.items(), key=lambda item: item[1])
        )

    def _compare(self, listed: dict[int, Identity]) -> None:
        """Update which GPUs are missing, and log each change."""
        for identity in [identity for identity in self._missing if _is_among(identity, listed)]:
            index = self._missing.pop(identity)
            self._errors.clear(identity, f"{_name(index, identity)} is listed by the driver again")
        # A listed GPU without an identity may be any GPU that seems to be missing.
        if all(identity.known for identity in listed.values()):
            gone = {identity: index for identity, index in self._present.items() if not _is_among(identity, listed)}
            self._missing.update(gone)
            self._present = {identity: index for index, identity in listed.items()}
        for identity in list(self._missing)[:-MAX_MISSING]:
            del self._missing[identity]
            self._errors.forget(identity)
        for identity, index in self._missing.items():
            text = f"{_name(index, identity)} is no longer listed by the driver; see 'nvidia-smi -L' and 'dmesg'"
            self._errors.report(identity, text)


def _is_among(identity: Identity, listed: dict[int, Identity]) -> bool:
    """Return whether one of the listed GPUs has this identity, or may be the same GPU."""
    return identity in (present := listed.values()) or any(other.known and identity.may_be(other) for other in present)


def _name(index: int, identity: Identity) -> str:
    return f"GPU {index} ({clean(identity.uuid or identity.pci_bus_id or '')})"
