"""The Snapshot: the joined facts of all collectors at one instant.

``None`` means *not known*. An unknown value becomes an absent series, never 0.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import NamedTuple

from genvd.model.device import Device, DriverVersions
from genvd.model.facts import (
    CONTEXT_TYPES,
    ContextType,
    EngineShares,
    HostMemory,
    MigInstanceId,
    UnknownEnvironment,
)


class DeviceUse(NamedTuple):
    """The use of one GPU by a process."""

    device_index: int
    memory_bytes: int | None
    computes: bool = True
    """Whether it has a compute context there. The metrics of genvd/metrics/contract.py count only these."""
    type: ContextType = "compute"
    """The first type of its contexts there in the order of :data:`CONTEXT_TYPES`."""
    utilization: float | None = None
    """Share of the GPU's SM time since the previous collection, 0 to 1."""
    works_beside: bool = False
    """As in :class:`Context`: work on engines other than the SMs."""
    mig_places: tuple[MigInstanceId, ...] = ()
    """The MIG devices that it uses, if the driver reports them."""
    engines: EngineShares = EngineShares()
    peak_memory_bytes: int | None = None
    """Highest :attr:`memory_bytes` so far; see :mod:`genvd.analysis.memory_peaks`."""


class Process(NamedTuple):
    """A process with a context on at least one GPU."""

    pid: int
    uses: tuple[DeviceUse, ...]
    """One per GPU, in the order of the GPUs."""
    eid: str | None = None
    """The environment that it claims, unless that is known to belong to somebody else."""
    uid: int | None = None
    username: str | None = None
    command: str | None = None
    """As in :class:`ProcessOwner`, like the next three."""
    started: float | None = None
    cgroup_kind: str | None = None
    cgroup: str | None = None
    gone: bool = False
    """Whether it is known to have ended although the driver still lists it."""
    environment_unknown: UnknownEnvironment | None = None
    """Why its environment is unknown; None if it is known, or the process has none."""

    @property
    def type(self) -> ContextType:
        """The first type of its contexts in the order of :data:`CONTEXT_TYPES`."""
        return min((use.type for use in self.uses), key=CONTEXT_TYPES.index, default="compute")

    @property
    def compute_uses(self) -> tuple[DeviceUse, ...]:
        """Its use of the GPUs on which it has a compute context."""
        return tuple([use for use in self.uses if use.computes])


def memory_limit(attached: int | None, asked: int | None) -> int | None:
    """Return the memory limit of an environment on a GPU in bytes; None without a limit.

    The attachment takes precedence, because genv computes the free memory of a GPU from it (``available_memory_bytes``
    in genv's entities/core/devices.py). A later ``genv config gpu-memory`` does not change an attachment.

    Args:
        attached: limit of the attachment; None if it has none, or there is no attachment.
        asked: memory that the environment asks for on each GPU; None if it does not.
    """
    return asked if attached is None else attached


class EnvironmentUse(NamedTuple):
    """The use of one GPU by all processes of an environment."""

    device_index: int
    memory_bytes: int | None
    """None if it is unknown for a process, or if the processes are unknown."""
    share: float | None
    """Share of the GPU's SM time since the previous collection, 0 to 1; None if it is unknown for a process, or if
    the processes are unknown."""
    attached: bool
    """Whether the GPU is attached to the environment."""
    computes: bool
    """Whether one of the processes is known to compute there, with or without MPS."""
    least_memory_bytes: int = 0
    """Lower bound: the sum of the known values."""
    attached_memory_bytes: int | None = None
    """Limit of the attachment; None if it has none. See :func:`memory_limit`."""
    peak_memory_bytes: int | None = None
    """Highest :attr:`memory_bytes` so far; see :mod:`genvd.analysis.memory_peaks`."""


class Environment(NamedTuple):
    """An active environment: at least one of its processes or Jupyter kernels is alive."""

    eid: str
    uid: int | None
    """The owner, as far as it can be verified; see docs/trust.md."""
    username: str | None
    """Username of the owner: from the record if verified, else from the account."""
    name: str | None
    gpu_memory_bytes: int | None
    gpus: int | None
    created: float | None
    """Unix time in seconds; see :mod:`genvd.analysis.first_seen`."""
    device_indices: tuple[int, ...]
    pids: tuple[int, ...] | None
    """Its processes with a compute context; None while the GPU processes are unknown."""
    uses: tuple[EnvironmentUse, ...] | None = None
    """One per GPU that is attached to it or used by its processes, in their order; None while :attr:`pids` is None."""
    idle_seconds: float | None = None
    """Time since it last worked on an attached GPU; see :mod:`genvd.analysis.idleness`."""
    named: bool = True
    """Whether its record has a username; if not, genvd/metrics/contract.py counts it for no user."""
    devices_known: bool = True
    """Whether the indices of its attachments are known to be those of the current GPUs; see
    :mod:`genvd.analysis.renumbering`."""
    possible_device_indices: tuple[int, ...] = ()
    """GPUs with a compute process that may belong to this environment."""
    attached_memory_bytes: int | None = None
    """The lowest limit (:func:`memory_limit`) on its attached GPUs; None without a limit."""
    claimed: float | None = None
    """As in :class:`EnvironmentRecord`."""

    @property
    def claimed_creation(self) -> float | None:
        """Creation time in genv's files, in Unix time; it is the same after a restart of the monitor."""
        return self.created if self.claimed is None else self.claimed

    @property
    def memory_limit_bytes(self) -> int | None:
        """The lowest limit on its GPUs; None without a limit."""
        return memory_limit(self.attached_memory_bytes, self.gpu_memory_bytes)


class Holding(NamedTuple):
    """An attachment of a GPU to an active environment."""

    eid: str
    uid: int | None
    username: str | None
    device_index: int
    device_uuid: str | None
    active: bool | None
    """Whether the environment worked on the GPU since the previous collection; None if unknown."""
    share: float | None
    """Share of the GPU's SM time since the previous collection, of all its processes, 0 to 1."""
    attached: float | None
    """Unix time in seconds of the attachment; see :mod:`genvd.analysis.first_seen`."""
    gpu_memory_bytes: int | None = None
    """Memory limit of the environment on the GPU; None without a limit."""
    device_up: bool | None = None
    """Whether the GPU answers."""
    idle_seconds: float | None = None
    """Time since the environment last worked on the GPU; None if unknown. See :mod:`genvd.analysis.idleness`."""


class User(NamedTuple):
    """A user with at least one active environment, as counted in genvd/metrics/contract.py."""

    username: str
    eids: tuple[str, ...]
    device_indices: tuple[int, ...]
    pids: tuple[int, ...] | None
    uid: int | None = None
    """The smallest uid of the owners of the environments."""


class RejectedClaims(NamedTuple):
    """Number of claims rejected for one reason since the monitor started."""

    reason: str
    total: int


class UserUsage(NamedTuple):
    """Usage of a user since the ledger was created; see docs/ledger.md."""

    username: str
    allocated_seconds: float
    """GPU-seconds: two GPUs attached for one second are two."""
    active_seconds: float | None = None
    idle_seconds: float | None = None
    energy_joules: float | None = None
    outside_seconds: float | None = None
    """GPU-seconds in which the user computed on GPUs without having them attached."""


class EnvironmentUsage(NamedTuple):
    """Usage of an active environment since it was activated or the monitor started, whichever is later."""

    eid: str
    allocated_seconds: float
    active_seconds: float | None = None
    idle_seconds: float | None = None
    energy_joules: float | None = None
    outside_seconds: float | None = None
    """GPU-seconds in which its processes computed on GPUs that it has not attached."""


class StateTime(NamedTuple):
    """Time that the GPUs spent in a state; see docs/ledger.md."""

    state: str
    seconds: float
    """GPU-seconds."""


class LedgerStatus(NamedTuple):
    """The totals in the ledger, and its state."""

    users: tuple[UserUsage, ...] | None = None
    """In the order of arrival; None until the totals from before the start are known."""
    write_success: bool | None = None
    """Whether the last write succeeded; None if the ledger is kept in memory only."""
    last_write_timestamp: float | None = None
    """Unix time in seconds."""
    capacity: tuple[StateTime, ...] = ()
    """How the time of all GPUs was spent since the monitor started."""
    environments: tuple[EnvironmentUsage, ...] = ()


class CollectorStatus(NamedTuple):
    """The result of one collector in this collection."""

    name: str
    success: bool
    duration_seconds: float
    error: str | None = None
    reason: str | None = None
    """The kind of failure in one word, such as ``hung``; None if the collector does not name it."""


class ListenAddress(NamedTuple):
    """An address of the configuration on which the monitor serves."""

    address: str
    served: bool
    """False if another program occupies it."""


class CertificateValidity(NamedTuple):
    """Validity of a certificate of the web configuration, in Unix time."""

    certificate: str
    """``server`` (with its chain) or ``client_ca``."""
    not_after: float
    """Expiry; of several certificates, that of the first to expire."""
    not_before: float | None = None
    """Start of validity of the same certificate."""
    all_begun: float | None = None
    """Time from which all certificates are valid."""

    def invalidity(self, now: float) -> str | None:
        """Return why the certificate is not valid at a Unix time, such as "expired on ..."; None if it is valid."""
        if self.not_after <= now:
            return f"expired on {_utc(self.not_after)}"
        if self.all_begun is not None and self.all_begun > now:
            return f"is not valid before {_utc(self.all_begun)}"
        return None


def _utc(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


class ServiceStatus(NamedTuple):
    """State of the monitor itself."""

    version: str
    mode: str
    """``live``, or ``demo`` for a simulated machine."""
    python_version: str
    nvml_bindings_version: str
    collections: int = 0
    collections_skipped: int = 0
    config_reload_successful: bool = True
    config_reload_problem: str = ""
    """Why the address of the new configuration cannot be used, in one line; empty if the reload failed for another
    reason."""
    config_reload_timestamp: float | None = None
    """Time of the last successful reload, or of the start, in Unix time."""
    publish_success: bool | None = None
    """Whether the files for Prometheus and Grafana are published; None if publishing is off."""
    host: str | None = None
    """Host name of the machine."""
    interval_seconds: float | None = None
    """Time between collections."""
    listening: tuple[ListenAddress, ...] = ()
    certificate_ends: tuple[CertificateValidity, ...] = ()
    idle_grace_seconds: float = 600.0
    """Time without work after which an environment, and a GPU, is shown as idle instead of in use."""


class UnseenMemory(NamedTuple):
    """GPU memory that may belong to a process that the monitor cannot see."""

    device_index: int
    bytes: int


class MissingDevice(NamedTuple):
    """A GPU that the driver no longer lists."""

    index: int  # type: ignore[assignment]
    """Its index when it was last listed."""
    uuid: str | None
    pci_bus_id: str | None


class Snapshot(NamedTuple):
    """The machine at one instant. None means *not known*."""

    timestamp: float
    """Unix time in seconds at which the collection ended."""
    service: ServiceStatus
    collectors: tuple[CollectorStatus, ...] = ()
    genv_installed: bool | None = None
    driver_state: str = "ok"
    """One of :data:`DRIVER_STATES`, or ``failed`` for any other failure."""
    driver: DriverVersions | None = None
    devices: tuple[Device, ...] | None = None
    host_memory: HostMemory | None = None
    """None unless a GPU uses host memory as its own."""
    processes: tuple[Process, ...] | None = None
    environments: tuple[Environment, ...] | None = None
    users: tuple[User, ...] | None = None
    holdings: tuple[Holding, ...] | None = None
    """One per known attachment of a GPU to an active environment; None while the environments are unknown."""
    holders_unknown: tuple[int, ...] = ()
    """Indices of the GPUs whose attachments are unknown, since indices changed; see
    :mod:`genvd.analysis.renumbering`."""
    missing_devices: tuple[MissingDevice, ...] = ()
    """GPUs that were listed since the monitor started, but no longer are."""
    sees_machine: bool = True
    """As in :class:`ProcessFacts`."""
    unseen_memory: tuple[UnseenMemory, ...] = ()
    """Memory in use that belongs to no listed process and was not left by an ended one."""
    attached_device_indices: tuple[int, ...] | None = None
    """GPUs that are attached to at least one active environment."""
    rejected_claims: tuple[RejectedClaims, ...] = ()
    """One for each reason."""
    ledger: LedgerStatus | None = None
    """None if the ledger is off."""
