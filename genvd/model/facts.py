"""The requests to the collectors and the facts that they return, before they are joined into the Snapshot.

``None`` means *not known*.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

if TYPE_CHECKING:  # the helper imports this, and is to be small
    from collections.abc import Mapping

    from genvd.model.device import Device, DriverVersions


ContextType = Literal["mps", "compute", "graphics"]
"""What a process uses a GPU for. ``mps``: it computes through NVIDIA's Multi-Process Service."""

CONTEXT_TYPES: tuple[ContextType, ...] = get_args(ContextType)
"""In order of precedence: a process with several types is shown with the first of them."""


class MigInstanceId(NamedTuple):
    """A MIG device, identified by the driver's instance numbers."""

    gpu_instance: int
    compute_instance: int


class EngineShares(NamedTuple):
    """Use of the engines other than the SMs by a process since the previous collection. None if not reported."""

    memory: float | None = None
    """Share of time in which it read or wrote GPU memory, 0 to 1."""
    encoder: float | None = None
    """Share of the video encoder's time, 0 to 1."""
    decoder: float | None = None
    """Share of the video decoder's time, 0 to 1."""


class Context(NamedTuple):
    """A context of a process on a GPU."""

    pid: int
    device_index: int
    memory_bytes: int | None
    """Memory of the process on this GPU; None if the driver does not report it."""
    type: ContextType = "compute"
    utilization: float | None = None
    """Share of the GPU's SM time since the previous collection, 0 to 1; None if the driver does not report it."""
    works_beside: bool = False
    """Whether it encoded or decoded video, or read or wrote GPU memory, according to the driver."""
    mig_place: MigInstanceId | None = None
    """The MIG device that it uses; None without MIG, or if the driver does not report it."""
    engines: EngineShares = EngineShares()


class HostMemory(NamedTuple):
    """The memory of the host."""

    total_bytes: int
    available_bytes: int
    """Memory that programs can use without swapping, as estimated by the kernel (MemAvailable)."""


class GpuFacts(NamedTuple):
    """What the driver reported: the GPUs and the contexts on them."""

    devices: tuple[Device, ...] = ()
    contexts: tuple[Context, ...] | None = ()
    """None if the driver lists the processes of no GPU."""
    driver: DriverVersions | None = None
    host_memory: HostMemory | None = None
    """None if every GPU has its own memory."""


class EnvironmentRecord(NamedTuple):
    """An environment in genv's state file. It may no longer be active."""

    eid: str
    uid: int | None = None
    username: str | None = None
    name: str | None = None
    gpu_memory_bytes: int | None = None
    """Memory that the environment asked for on each of its GPUs."""
    gpus: int | None = None
    """Number of GPUs that the environment asked for."""
    created: float | None = None
    """Unix time in seconds, from the file; :mod:`genvd.analysis.first_seen` corrects implausible values."""
    pids: tuple[int, ...] = ()
    kernel_ids: tuple[str, ...] = ()
    claimed: float | None = None
    """The value of the file, if :attr:`created` was corrected. It distinguishes environments with the same ID."""


class Attachment(NamedTuple):
    """The attachment of a GPU to an environment in genv's state file."""

    eid: str
    device_index: int
    gpu_memory_bytes: int | None = None
    attached: float | None = None
    """Unix time in seconds, like :attr:`EnvironmentRecord.created`."""


class GenvFacts(NamedTuple):
    """The content of genv's state files."""

    environments: tuple[EnvironmentRecord, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    malformed: int = 0
    """Number of malformed entries, which were skipped."""
    impossible_devices: int = 0
    """Number of entries with an impossible device index, which were skipped."""
    unknown_members: frozenset[str] = frozenset()
    """IDs of environments with invalid lists of processes or kernels: they may be active without a live one."""
    unknown_holders: frozenset[int] = frozenset()
    """Indices of devices with invalid attachments: they may be attached to more environments."""


UnknownEnvironment = Literal["no_permission", "overwritten", "not_visible", "unreadable"]
"""Why the environment of a process is unknown: the monitor may not read its variables; the program has overwritten them
with its title; the process is not visible (other pid namespace, or hidepid of proc(5)); or another reason."""

UNKNOWN_ENVIRONMENT: tuple[UnknownEnvironment, ...] = get_args(UnknownEnvironment)


class ProcessOwner(NamedTuple):
    """The owner of a process, and the environment that it claims."""

    uid: int | None = None
    """Its real uid."""
    eid: str | None = None
    """The environment ID that the process claims (GENV_ENVIRONMENT_ID), or that was found in another way; None if there
    is none, or it is unknown."""
    command: str | None = None
    """Its short name of up to 15 characters, which it can change; never its arguments."""
    started: float | None = None
    """Unix time in seconds."""
    cgroup_kind: str | None = None
    """What started it: ``container``, ``slurm``, ``session`` or ``service``; None if unknown."""
    cgroup: str | None = None
    """ID or name of the container, number or SLUID of the Slurm job, or unit name of the session or service."""
    namespace_uid: int | None = None
    """Uid that created its user namespace, for example that of a rootless container; None in the namespace of the
    monitor."""
    environment_unknown: UnknownEnvironment | None = None
    """Why its environment is unknown; None if it is known, or the process has none."""
    login_uid: int | None = None
    """The user who logged in and started it; su and sudo do not change it. None without a login. This and the next
    field are read only for processes that claim an environment."""
    ancestors: frozenset[int] = frozenset()
    """The pids of its parent, grandparent and so on, when it was first seen."""


class ProcessRequest(NamedTuple):
    """The processes that a collection needs data about."""

    gpu_pids: frozenset[int] = frozenset()
    environment_pids: frozenset[int] = frozenset()
    kernel_ids: frozenset[str] = frozenset()
    all_seen: bool = False
    """Whether the answer needs :attr:`ProcessFacts.all_seen`."""
    environments: tuple[EnvironmentRecord, ...] = ()
    """Environments whose owners must be confirmed."""


class ProcessFacts(NamedTuple):
    """The answer to a :class:`ProcessRequest`."""

    owners: Mapping[int, ProcessOwner] = MappingProxyType({})
    """Owners of GPU processes by pid; for an ended process, the last known data."""
    live_pids: frozenset[int] = frozenset()
    uids: Mapping[int, int] = MappingProxyType({})
    """Real uids by pid, for live processes of the environments."""
    login_uids: Mapping[int, int] = MappingProxyType({})
    """For those of them that run as root: the user behind it, by pid. That is the login user, which su and sudo do not
    change; without a login, the user whose process started it."""
    kernel_uids: Mapping[str, frozenset[int]] = MappingProxyType({})
    """By live Jupyter kernel, the real uids of all processes with its connection file."""
    confirmed: frozenset[tuple[str, int]] = frozenset()
    """Environment ID and uid of records whose pids do not belong to that uid, but for which another live process was
    found: it claims the environment, or has one of the pids in its own pid namespace."""
    gone: frozenset[int] = frozenset()
    """GPU processes known to have ended, including zombies; the driver may still list them."""
    all_seen: bool = True
    """False if some processes have their own pid namespace, as the driver may not list these. Valid only if
    :attr:`ProcessRequest.all_seen` was set."""
    sees_machine: bool = True
    """False if processes may be invisible to the monitor: it runs in its own pid namespace, or /proc hides processes of
    others (hidepid of proc(5))."""
    starts: Mapping[int, float] = MappingProxyType({})
    """Start times of live processes of the environments, by pid, in seconds of CLOCK_BOOTTIME."""
    kernel_starts: Mapping[str, float] = MappingProxyType({})
    """Start time of the first process with its connection file, by live Jupyter kernel; same clock."""
    environments: tuple[EnvironmentRecord, ...] | None = None
    """Those of the request, as the facts can be older than what they are joined with; None if they hold for all."""


class AccountRequest(NamedTuple):
    """The accounts that a collection needs data about."""

    uids: frozenset[int] = frozenset()
    claims: frozenset[tuple[int, str]] = frozenset()
    """Pairs of a uid and the username claimed for it."""


class AccountFacts(NamedTuple):
    """The answer to an :class:`AccountRequest`; entries whose lookup is not finished are missing."""

    names: Mapping[int, str | None] = MappingProxyType({})
    """Username by uid; None for a uid without an account."""
    uids: Mapping[str, int | None] = MappingProxyType({})
    """Uid by username, for claims that differ from :attr:`names`; None if there is no such account."""


DRIVER_STATES = ("ok", "missing", "not_loaded", "mismatch", "hung", "no_permission")
"""States of the driver. ``ok``: it answers; ``missing``: no library; ``not_loaded``: no kernel module; ``mismatch``:
library and kernel module have different versions; ``hung``: no answer in time; ``no_permission``: the monitor may not
open its device files."""
