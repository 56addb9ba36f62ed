"""Detects attachments whose device index no longer belongs to the GPU that they were made for.

genv's files identify a GPU by its index. Indices change when a GPU appears or disappears, for example when one falls
off the bus while NVML is initialised again. Running programs stay on their GPUs, and genv's files stay as they are. So
an attachment is valid only while its index belongs to the same GPU as when the attachment was first seen. Otherwise it
is unknown whether the environment holds the GPU that has the index now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from genvd.analysis.restart_state import SavedAttachment
from genvd.common.text import clean
from genvd.model.identity import Identity, identities
from genvd.model.snapshot import Holding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from genvd.model.device import Device
    from genvd.model.facts import Attachment
    from genvd.model.snapshot import Environment

MAX_SAVED = 8192
"""Maximum number of attachments that are saved for the next start of the monitor."""

_Key = tuple[str, int, float | None]
"""eid, device index, and the attachment time in genv's files, which distinguishes it from a later attachment."""

_UNKNOWN = Identity()


class UncertainAttachments(NamedTuple):
    """The attachments that may belong to another GPU than the one that has their index now."""

    candidates: Mapping[tuple[str, int], frozenset[int]]
    """The indices of the present GPUs that an attachment may belong to, by eid and device index."""

    def uncertain_devices(self, environments: Iterable[Environment]) -> frozenset[int]:
        """Return the GPUs that one of these environments may hold."""
        active = {environment.eid for environment in environments}
        return frozenset(index for (eid, _), indices in self.candidates.items() if eid in active for index in indices)

    def split_holdings(
        self, environments: Iterable[Environment], holdings: Iterable[Holding]
    ) -> tuple[tuple[Holding, ...], tuple[Holding, ...]]:
        """Return the certain holdings, and the uncertain ones with everything unknown but their environment."""
        holdings = tuple(holdings)
        if not self.candidates:
            return holdings, ()
        certain = tuple(holding for holding in holdings if (holding.eid, holding.device_index) not in self.candidates)
        attached = {(holding.eid, holding.device_index): holding.attached for holding in holdings}
        uncertain = (
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
            if (environment.eid, index) in self.candidates
        )
        return certain, tuple(uncertain)

    def mark_environments(self, environments: Iterable[Environment]) -> tuple[Environment, ...]:
        """Return the environments; those with an uncertain attachment have ``devices_known=False``."""
        eids = {eid for eid, _ in self.candidates}
        return tuple(
            environment._replace(devices_known=False) if environment.eid in eids else environment
            for environment in environments
        )


ALL_CERTAIN = UncertainAttachments({})


class RenumberingDetector:
    """Remembers which GPU each attachment was made for.

    For an attachment that exists when the monitor starts, this is the GPU that was saved by the previous run. If none
    was saved, it is the GPU that has the index at the first collection.
    """

    def __init__(self) -> None:
        self._restored: dict[_Key, Identity] = {}
        self._original: dict[_Key, Identity] = {}
        self._present: dict[int, Identity] = {}
        self._uncertain: frozenset[_Key] = frozenset()

    def update(self, devices: Iterable[Device] | None, attachments: Iterable[Attachment]) -> UncertainAttachments:
        """Return the uncertain attachments.

        Args:
            devices: the present GPUs; None if unknown.
            attachments: all attachments in genv's files.
        """
        if devices is not None:
            self._present = self._fill_in_last_known(identities(devices))
        keys = {(attachment.eid, attachment.device_index, attachment.attached) for attachment in attachments}
        self._original = {key: self._original_device(key) for key in keys}
        self._uncertain = frozenset(key for key in keys if self._is_uncertain(key))
        return UncertainAttachments({key[:2]: self._candidates(key) for key in self._uncertain})

    def restore(self, saved: Iterable[SavedAttachment]) -> None:
        """Continue with what :meth:`to_save` returned before the restart."""
        self._restored = {
            (attachment.eid, attachment.device_index, attachment.attached): Identity(
                attachment.uuid, attachment.pci_bus_id
            )
            for attachment in saved
        }

    def to_save(self, environments: Iterable[Environment]) -> tuple[SavedAttachment, ...]:
        """Return the attachments of these environments for the next start of the monitor."""
        eids = {environment.eid for environment in environments}
        attachments = [
            SavedAttachment(clean(eid), index, attached, *device)
            for (eid, index, attached), device in self._original.items()
            if eid in eids and device.known
        ]
        return tuple(sorted(attachments, key=lambda attachment: (attachment.eid, attachment.device_index))[:MAX_SAVED])

    def _fill_in_last_known(self, present: Mapping[int, Identity]) -> dict[int, Identity]:
        """Return the identities. An unknown one becomes the last one at its index, unless that GPU is elsewhere now."""
        return {
            index: identity if identity.known else self._last_known(index, present)
            for index, identity in present.items()
        }

    def _last_known(self, index: int, present: Mapping[int, Identity]) -> Identity:
        last = self._present.get(index, _UNKNOWN)
        return _UNKNOWN if any(other.known and other.may_be(last) for other in present.values()) else last

    def _original_device(self, key: _Key) -> Identity:
        """Return the identity of the GPU that had the index when the attachment was first seen."""
        present = self._present.get(key[1], _UNKNOWN)
        original = self._take_restored(key) or self._original.get(key)
        if original is None or not original.known:
            return present
        if not original.may_be(present):
            return original
        return Identity(original.uuid or present.uuid, original.pci_bus_id or present.pci_bus_id)

    def _take_restored(self, key: _Key) -> Identity | None:
        eid, index, attached = key
        return self._restored.pop((clean(eid), index, attached), None) if self._restored else None

    def _is_uncertain(self, key: _Key) -> bool:
        """Return whether the index of an attachment may belong to another GPU than its original one."""
        original = self._original[key]
        if not original.known:
            return False
        present = self._present.get(key[1])
        if present is None:  # no GPU has this index now
            return True
        if present.known:
            return not original.may_be(present)
        # The GPU with this index has no identity now. That the original GPU has another index proves a change.
        return key in self._uncertain or bool(self._indices_of(original))

    def _candidates(self, key: _Key) -> frozenset[int]:
        """Return the indices of the GPUs to which the attachment may belong."""
        return frozenset({*self._indices_of(self._original[key]), *({key[1]} & self._present.keys())})

    def _indices_of(self, device: Identity) -> list[int]:
        return [index for index, present in self._present.items() if present.known and present.may_be(device)]
