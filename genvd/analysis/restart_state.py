"""What the monitor has to know again after a restart, besides amounts. The ledger keeps it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genvd.analysis.first_seen import SavedTime
    from genvd.analysis.idleness import LastWork
    from genvd.analysis.known_accounts import KnownAccount
    from genvd.analysis.renumbering import SavedAttachment


@dataclass(frozen=True, slots=True)
class RestartState:
    """Of the environments and people that are there."""

    last_work: tuple[LastWork, ...] = ()
    """When those that hold devices last worked."""
    times: tuple[SavedTime, ...] = ()
    """When they were created and their devices attached, as far as that can be true."""
    attachments: tuple[SavedAttachment, ...] = ()
    """Of which device each of their attachments is, whatever index it has by now."""
    accounts: tuple[KnownAccount, ...] = ()
    """What the name service called the people that were asked for."""
    boot_id: str | None = None
    """Of the boot of the machine in which this was remembered; see :func:`genvd.common.clock.boot_id`."""

    def for_boot(self, boot_id: str | None) -> RestartState:
        """Return what of it still says anything in this boot of the machine; None where it is not known which it is.

        Times of CLOCK_BOOTTIME say nothing in another one. What was found with them is left out: the clock may have
        been wrong then, and no process of that time lives, so that those that live tell more.
        """
        if boot_id is not None and boot_id == self.boot_id:
            return self
        return replace(self, last_work=tuple(replace(one, known_boot=None) for one in self.last_work), times=())
