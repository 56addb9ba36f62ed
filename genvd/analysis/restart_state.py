"""What a restarted monitor needs to continue where the last one stopped. The ledger stores it."""

from __future__ import annotations

from typing import NamedTuple

NO_DEVICE = -1
"""The :attr:`SavedTime.device_index` of an environment's creation."""


class DeviceWork(NamedTuple):
    """When an environment last worked on one of its GPUs. Times are Unix seconds, like those of :class:`LastWork`."""

    device_index: int
    worked: float
    """If it never did: when its idle time began."""
    known: float


class LastWork(NamedTuple):
    """When an environment that has GPUs attached last worked. Times are Unix seconds."""

    eid: str
    uid: int | None
    created: float
    """As in genv's files. It distinguishes environments that have the same eid: genv uses process ids as eids."""
    worked: float
    known: float
    """When the monitor last knew whether the environment was working."""
    known_boot: float | None = None
    """:attr:`known` in seconds of CLOCK_BOOTTIME, because somebody may set the clock; None if of an earlier boot."""
    devices: tuple[DeviceWork, ...] = ()
    """The same for each of its GPUs. Not in files of older versions."""

    def on_device(self, index: int) -> LastWork:
        """Return the last work on one GPU; if that was not saved, the last work on any."""
        work = next((work for work in self.devices if work.device_index == index), None)
        if work is None or not work.worked <= work.known <= self.known:
            return self
        boot = None if self.known_boot is None else self.known_boot - (self.known - work.known)
        return self._replace(worked=work.worked, known=work.known, known_boot=boot)

    @property
    def identity(self) -> tuple[str, int | None, float]:
        """What distinguishes the environment from all others."""
        return self.eid, self.uid, self.created


class SavedTime(NamedTuple):
    """When an environment was created, or a GPU attached to it, as the monitor determined it.

    The bounds are times of CLOCK_BOOTTIME, because somebody may set the clock while the monitor is stopped.
    """

    eid: str
    device_index: int
    """:data:`NO_DEVICE` for the creation of the environment."""
    claimed: float
    """Unix time in genv's files."""
    resolved: float
    """Unix time that the monitor uses."""
    earliest: float
    """Lower bound in seconds of CLOCK_BOOTTIME."""
    latest: float
    """Upper bound in seconds of CLOCK_BOOTTIME."""
    clock_offset: float
    """Unix time minus CLOCK_BOOTTIME, in seconds, when :attr:`resolved` was determined."""

    @property
    def key(self) -> tuple[str, int, float]:
        """What distinguishes it from all others."""
        return self.eid, self.device_index, self.claimed


class SavedAttachment(NamedTuple):
    """The GPU that an attachment was made for, whatever index this GPU has now."""

    eid: str
    device_index: int
    attached: float | None
    """As in genv's files."""
    uuid: str | None
    pci_bus_id: str | None


class KnownAccount(NamedTuple):
    """A name of a uid."""

    uid: int
    name: str
    main: bool
    """Whether the name service returns this name for the uid. Otherwise it is a further name of the same uid."""


class RestartState(NamedTuple):
    """The state of the active environments and of their users."""

    last_work: tuple[LastWork, ...] = ()
    times: tuple[SavedTime, ...] = ()
    attachments: tuple[SavedAttachment, ...] = ()
    accounts: tuple[KnownAccount, ...] = ()
    boot_id: str | None = None
    """The boot in which the state was saved; see :func:`genvd.common.clock.boot_id`."""

    def for_boot(self, boot_id: str | None) -> RestartState:
        """Return the part that is valid in this boot; None stands for an unknown one.

        Times of CLOCK_BOOTTIME mean nothing in another boot. The times that were derived from them are dropped too:
        the clock may have been wrong then. The processes that run now give better bounds.
        """
        if boot_id is not None and boot_id == self.boot_id:
            return self
        return self._replace(last_work=tuple(work._replace(known_boot=None) for work in self.last_work), times=())
