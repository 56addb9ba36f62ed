"""The Snapshot: what the machine looked like at one instant, the facts of all collectors joined.

``None`` always means *not known*, and an unknown value is an absent series; it is never a zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from genvd.model.device import Device, DriverVersions
from genvd.model.facts import (
    CONTEXT_TYPES,
    ContextType,
    EngineShares,
    HostMemory,
    MigPlace,
    UnknownEnvironment,
)


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """What a process has on one device."""

    device_index: int
    memory_bytes: int | None
    computes: bool = True
    """Whether one of its contexts there is of compute, which are those that the sixteen metrics count."""
    type: ContextType = "compute"
    """Of its contexts there, the type that tells most; see :data:`CONTEXT_TYPES`."""
    utilization: float | None = None
    """Share of the device's SM time since the collection before, 0 to 1."""
    works_beside: bool = False
    """As for :class:`Context`: work that may take no SM time at all."""
    mig_places: tuple[MigPlace, ...] = ()
    """Where it is on a device in MIG mode, as far as the driver tells."""
    engines: EngineShares = EngineShares()
    peak_memory_bytes: int | None = None
    """The highest :attr:`memory_bytes` that the monitor has seen; see :mod:`genvd.analysis.memory_peaks`."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process with a context on at least one device."""

    pid: int
    uses: tuple[DeviceUse, ...]
    """One for each device, in the order of the devices."""
    eid: str | None = None
    """The environment that it names, unless that is known to be somebody else's."""
    uid: int | None = None
    username: str | None = None
    command: str | None = None
    """As for :class:`ProcessOwner`, and so are the next three."""
    started: float | None = None
    cgroup_kind: str | None = None
    cgroup: str | None = None
    gone: bool = False
    """Whether it has ended, as far as can be told, and the driver lists it all the same."""
    environment_unknown: UnknownEnvironment | None = None
    """Why it is not known in which environment it runs; None where that is known, also if it runs in none."""

    @property
    def type(self) -> ContextType:
        """Of all its contexts, the type that tells most; see :data:`CONTEXT_TYPES`."""
        return min((use.type for use in self.uses), key=CONTEXT_TYPES.index, default="compute")

    @property
    def compute_uses(self) -> tuple[DeviceUse, ...]:
        """What it has on the devices on which it has a compute context."""
        uses = self.uses
        return uses if all(use.computes for use in uses) else tuple(use for use in uses if use.computes)


def memory_limit(attached: int | None, asked: int | None) -> int | None:
    """Return the bytes that an environment may use on a device; None where it may use all.

    The attachment comes first: by its memory genv tells others what is left there (``available_memory_bytes`` in
    genv's entities/core/devices.py). genv writes into it what the environment asks for at that time, and a later
    ``genv config gpu-memory`` changes nothing of it.

    Args:
        attached: what its attachment there allows; None where that says nothing, or there is none.
        asked: what it asks for on each device; None where it does not.
    """
    return asked if attached is None else attached


@dataclass(frozen=True, slots=True)
class EnvironmentUse:
    """What the processes of an environment together have on one device."""

    device_index: int
    memory_bytes: int | None
    """None where it is not known of one of them, or whether there are any."""
    share: float | None
    """Of the device's SM time since the collection before, 0 to 1; None as above."""
    attached: bool
    """Whether the environment holds the device."""
    computes: bool
    """Whether one of the processes computes there, with MPS or without, as far as is known."""
    least_memory_bytes: int = 0
    """What its processes have at least: that of which it is known."""
    attached_memory_bytes: int | None = None
    """Memory that the attachment there allows; None where it says nothing. See :func:`memory_limit`."""
    peak_memory_bytes: int | None = None
    """The highest :attr:`memory_bytes` that the monitor has seen; see :mod:`genvd.analysis.memory_peaks`."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An active environment: at least one of its processes or Jupyter kernels lives."""

    eid: str
    uid: int | None
    """Its owner, as far as that can be checked; see docs/trust.md."""
    username: str | None
    """Of the owner: as its record says if that holds, else the account's."""
    name: str | None
    gpu_memory_bytes: int | None
    gpus: int | None
    created: float | None
    """Unix time in seconds; see :mod:`genvd.analysis.first_seen`."""
    device_indices: tuple[int, ...]
    pids: tuple[int, ...] | None
    """Its processes that have a compute context; None while the GPU processes are not known."""
    uses: tuple[EnvironmentUse, ...] | None = None
    """One for each device of the machine that it holds, or on which it has a process, in their order; None as above."""
    idle_seconds: float | None = None
    """Since it last worked on a device that it holds; see :mod:`genvd.analysis.idleness`."""
    named: bool = True
    """Whether its record has a username; else it counts for no user in the sixteen metrics."""
    devices_known: bool = True
    """Whether each of its attachments is known to be of the device that has the index now; see
    :mod:`genvd.analysis.renumbering`."""
    possible_device_indices: tuple[int, ...] = ()
    """Devices on which a process computes of which it is not known whether it is in this environment."""
    attached_memory_bytes: int | None = None
    """The least of the limits, by :func:`memory_limit`, on the devices that it holds; None where it has none."""
    claimed: float | None = None
    """As for :class:`EnvironmentRecord`."""

    @property
    def claimed_creation(self) -> float | None:
        """When it was created as genv's files say, which stays the same over restarts; Unix time in seconds."""
        return self.created if self.claimed is None else self.claimed

    @property
    def memory_limit_bytes(self) -> int | None:
        """The least that it may use on one of its devices; None where it may use all of each."""
        return memory_limit(self.attached_memory_bytes, self.gpu_memory_bytes)


@dataclass(frozen=True, slots=True)
class Holding:
    """One device that one active environment holds."""

    eid: str
    uid: int | None
    username: str | None
    device_index: int
    device_uuid: str | None
    active: bool | None
    """Whether a process of the environment did work on the device since the collection before; None: not known."""
    share: float | None
    """Of the device's SM time since the collection before, by all processes of the environment, 0 to 1."""
    attached: float | None
    """Unix time in seconds of the attachment; see :mod:`genvd.analysis.first_seen`."""
    gpu_memory_bytes: int | None = None
    """Memory that the environment may use on the device; None for all of it."""
    device_up: bool | None = None
    """Whether the device answers."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with at least one active environment. In a Snapshot, as the sixteen metrics have them."""

    username: str
    eids: tuple[str, ...]
    device_indices: tuple[int, ...]
    pids: tuple[int, ...] | None
    uid: int | None = None
    """The smallest uid of those who own its environments."""


@dataclass(frozen=True, slots=True)
class RejectedClaims:
    """How often something that somebody says was found not to hold, since the monitor started."""

    reason: str
    total: int


@dataclass(frozen=True, slots=True)
class UserUse:
    """What somebody used since the ledger was begun, as docs/ledger.md counts it."""

    username: str
    allocated_seconds: float
    """Device-seconds: two devices held for a second are two."""
    active_seconds: float | None = None
    idle_seconds: float | None = None
    energy_joules: float | None = None


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """What the ledger says, and how it does."""

    users: tuple[UserUse, ...] | None = None
    """In the order in which they came; None while it is not known what was counted before the monitor started."""
    write_success: bool | None = None
    """Whether it could be written when that was last tried; None where it is kept in memory only."""
    last_write_timestamp: float | None = None
    """Unix time in seconds."""


@dataclass(frozen=True, slots=True)
class CollectorStatus:
    """How one collector did in this tick."""

    name: str
    success: bool
    duration_seconds: float
    error: str | None = None
    reason: str | None = None
    """The kind of failure in one word: ``hung``, or what the collector calls it; None where it has no word for it."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """An address on which the monitor is to serve."""

    address: str
    served: bool
    """False where another program listens there."""


@dataclass(frozen=True, slots=True)
class CertificateEnd:
    """When a certificate of the web configuration is valid; Unix times in seconds."""

    certificate: str
    """``server``, with all of its chain, or ``client_ca``."""
    not_after: float
    """Of several certificates the first that ends."""
    not_before: float | None = None
    """Of the same one."""
    all_begun: float | None = None
    """When the last of several certificates begins."""

    def invalidity(self, now: float) -> str | None:
        """Return why the certificate is not valid at a Unix time, such as "expired on ..."; None if it is valid."""
        if self.not_after <= now:
            return f"expired on {_utc(self.not_after)}"
        if self.all_begun is not None and self.all_begun > now:
            return f"is not valid before {_utc(self.all_begun)}"
        return None


def _utc(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """The monitor itself."""

    version: str
    mode: str
    """``live``, or ``demo`` for a simulated machine."""
    python_version: str
    nvml_bindings_version: str
    collections: int = 0
    collections_skipped: int = 0
    config_reload_successful: bool = True
    config_reload_timestamp: float | None = None
    """Unix time in seconds of the last reload that was successful, or of the start."""
    publish_success: bool | None = None
    """Whether all files for Prometheus and Grafana could be written; None where none are to be."""
    host: str | None = None
    """What the machine calls itself."""
    interval_seconds: float | None = None
    """Between collections."""
    listening: tuple[ListenAddress, ...] = ()
    certificate_ends: tuple[CertificateEnd, ...] = ()
    idle_grace_seconds: float = 600.0
    """For so long an environment without work is shown as in use, and after that as idle."""


@dataclass(frozen=True, slots=True)
class UnseenMemory:
    """Memory of a device that a process may have which the monitor cannot see."""

    device_index: int
    bytes: int


@dataclass(frozen=True, slots=True)
class MissingDevice:
    """A device that the driver does not list any more."""

    index: int
    """That it had when it was last listed."""
    uuid: str | None
    pci_bus_id: str | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The machine at one instant. A part that is None is not known."""

    timestamp: float
    """Unix time in seconds at which the collection ended."""
    service: ServiceStatus
    collectors: tuple[CollectorStatus, ...] = ()
    genv_installed: bool | None = None
    driver_state: str = "ok"
    """One of :data:`DRIVER_STATES`, or ``failed`` for what none of them describes."""
    driver: DriverVersions | None = None
    devices: tuple[Device, ...] | None = None
    host_memory: HostMemory | None = None
    """Where a device uses it as its own; else None."""
    processes: tuple[Process, ...] | None = None
    environments: tuple[Environment, ...] | None = None
    users: tuple[User, ...] | None = None
    holdings: tuple[Holding, ...] | None = None
    """One for each active environment and device of the machine that it is known to hold; None while environments are
    not known."""
    holders_unknown: tuple[int, ...] = ()
    """Indices of the devices of which it is not known who holds them, since indices moved; see
    :mod:`genvd.analysis.renumbering`."""
    missing_devices: tuple[MissingDevice, ...] = ()
    """Those that were there since the monitor started."""
    sees_machine: bool = True
    """As for :class:`ProcessFacts`."""
    unseen_memory: tuple[UnseenMemory, ...] = ()
    """Memory in use that no listed process has, and that none left behind when it ended."""
    attached_device_indices: tuple[int, ...] | None = None
    """Devices with at least one active environment attached."""
    rejected_claims: tuple[RejectedClaims, ...] = ()
    """One for each reason."""
    ledger: LedgerStatus | None = None
    """None where none is kept."""
