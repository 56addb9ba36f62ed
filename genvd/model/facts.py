"""Facts: what one collector found, and what it was asked; each knows nothing of the others.

``None`` means *not known*.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from genvd.model.device import Device, DriverVersions

if TYPE_CHECKING:
    from collections.abc import Mapping


ContextType = Literal["mps", "compute", "graphics"]
"""What a process uses a device for; ``mps``: it computes through NVIDIA's Multi-Process Service."""

CONTEXT_TYPES: tuple[ContextType, ...] = get_args(ContextType)
"""The one that tells most of a process first: of several, that is the one by which it goes."""


@dataclass(frozen=True, slots=True)
class MigPlace:
    """A MIG device of a device, by the numbers that the driver gives to instances."""

    gpu_instance: int
    compute_instance: int


@dataclass(frozen=True, slots=True)
class EngineShares:
    """The shares of a device that a process took since the last reading, besides SM time, 0 to 1.

    None where the driver does not tell.
    """

    memory: float | None = None
    """Of the time in which device memory can be read or written."""
    encoder: float | None = None
    decoder: float | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """A context that a process holds on a device."""

    pid: int
    device_index: int
    memory_bytes: int | None
    """Device memory of the process on this device; None where the driver does not tell."""
    type: ContextType = "compute"
    utilization: float | None = None
    """The process's share of the device's SM time since the last reading, 0 to 1; None where the driver does not
    tell."""
    works_beside: bool = False
    """Whether it had the device encode or decode video, or read or write its memory, as far as the driver tells."""
    mig_place: MigPlace | None = None
    """Where it is on a device in MIG mode; None elsewhere, and where the driver does not tell."""
    engines: EngineShares = EngineShares()


@dataclass(frozen=True, slots=True)
class HostMemory:
    """The memory of the host."""

    total_bytes: int
    available_bytes: int
    """That programs could take without others being paged out, as the kernel estimates."""


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """What the driver told: the devices, and whose contexts are on them."""

    devices: tuple[Device, ...] = ()
    contexts: tuple[Context, ...] | None = ()
    """None when no device tells who computes on it."""
    driver: DriverVersions | None = None
    host_memory: HostMemory | None = None
    """None where each device has memory of its own."""


@dataclass(frozen=True, slots=True)
class EnvironmentRecord:
    """An environment as genv's state file describes it; whether it is still active is not decided here."""

    eid: str
    uid: int | None = None
    username: str | None = None
    name: str | None = None
    gpu_memory_bytes: int | None = None
    """Memory that the environment asked for on each of its devices."""
    gpus: int | None = None
    """Devices that the environment asked for."""
    created: float | None = None
    """Unix time in seconds: as the file says, and then as :mod:`genvd.analysis.first_seen` believes it."""
    pids: tuple[int, ...] = ()
    kernel_ids: tuple[str, ...] = ()
    claimed: float | None = None
    """What the file says of :attr:`created`, once that is another thing: it tells environments from each other."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """An environment's hold on a device, as genv's state file describes it."""

    eid: str
    device_index: int
    gpu_memory_bytes: int | None = None
    attached: float | None = None
    """Unix time in seconds, as for :attr:`EnvironmentRecord.created`."""


@dataclass(frozen=True, slots=True)
class GenvFacts:
    """What genv left on disk."""

    environments: tuple[EnvironmentRecord, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    malformed: int = 0
    """Entries that make no sense and were left out."""
    impossible_devices: int = 0
    """Entries for devices that no machine can have, which were left out."""


UnknownEnvironment = Literal["no_permission", "overwritten", "not_visible", "unreadable"]
"""Why it is not known in which environment a process runs: this user may not read its variables; a program has put
its title where they were; the process is not to be seen (another pid namespace, hidepid of proc(5)); or its variables
are not there to be read for another reason."""

UNKNOWN_ENVIRONMENT: tuple[UnknownEnvironment, ...] = get_args(UnknownEnvironment)


@dataclass(frozen=True, slots=True)
class ProcessOwner:
    """Who runs a process, and in which environment it says to run."""

    uid: int | None = None
    """Its real uid."""
    eid: str | None = None
    """Value of GENV_ENVIRONMENT_ID: the process's own claim, or what was found of it otherwise; None where there is
    none, or it is not known."""
    command: str | None = None
    """Its short name, of up to 15 characters, which it may change; never its arguments."""
    started: float | None = None
    """Unix time in seconds."""
    cgroup_kind: str | None = None
    """What started it: ``container``, ``slurm``, ``session`` or ``service``; None where nothing tells."""
    cgroup: str | None = None
    """Identifier or name of the container, number or SLUID of the Slurm job, name of the unit of session or service."""
    namespace_uid: int | None = None
    """Whoever made the user namespace in which it lives, as of a rootless container; None in that of the monitor."""
    environment_unknown: UnknownEnvironment | None = None
    """Why it is not known in which environment it runs; None where that is known, also if it runs in none."""
    login_uid: int | None = None
    """Who logged in and started it, which su and sudo leave as it was; None where no login led to it. Read, as the next
    one, only of a process that names an environment."""
    ancestors: frozenset[int] = frozenset()
    """The pids of its parent, of its parent and so on, when it was first seen."""


@dataclass(frozen=True, slots=True)
class ProcessRequest:
    """What a tick wants to know of the machine's processes."""

    gpu_pids: frozenset[int] = frozenset()
    environment_pids: frozenset[int] = frozenset()
    kernel_ids: frozenset[str] = frozenset()
    all_seen: bool = False
    """Whether the answer must say if there are processes in pid namespaces of their own."""
    environments: tuple[EnvironmentRecord, ...] = ()
    """Those whose owners are to be confirmed."""


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """The answer to a :class:`ProcessRequest`."""

    owners: Mapping[int, ProcessOwner] = field(default_factory=dict)
    """By pid, for the GPU processes of which anything is known; of one that has ended, what was known last."""
    live_pids: frozenset[int] = frozenset()
    uids: Mapping[int, int] = field(default_factory=dict)
    """Real uids by pid, for the live ones of the environments."""
    login_uids: Mapping[int, int] = field(default_factory=dict)
    """Who became root, by pid, for those of root among them: who logged in, which su and sudo leave as it was; where no
    login led to the process, whose process started it."""
    kernel_uids: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """By live Jupyter kernel, the real uids of all processes that have its connection file."""
    confirmed: frozenset[tuple[str, int]] = frozenset()
    """Identifiers of environments, each with the uid that its record names and that has none of the pids there, but of
    which a live process was found that names the environment, or that has such a pid in its own pid namespace."""
    gone: frozenset[int] = frozenset()
    """The GPU processes that have ended, zombies among them, where the monitor can tell; the driver may still list
    them."""
    all_seen: bool = True
    """False if there are processes in pid namespaces of their own, which the driver may not list; only where asked."""
    sees_machine: bool = True
    """False if there may be processes of the machine that the monitor cannot see: it runs in a pid namespace of its
    own, or /proc hides those of others (hidepid of proc(5))."""
    starts: Mapping[int, float] = field(default_factory=dict)
    """When the live processes of the environments started, by pid, in seconds of CLOCK_BOOTTIME."""
    kernel_starts: Mapping[str, float] = field(default_factory=dict)
    """By live Jupyter kernel, when the first process that has its connection file started; likewise."""


@dataclass(frozen=True, slots=True)
class AccountRequest:
    """What a tick wants to know of the accounts of the machine."""

    uids: frozenset[int] = frozenset()
    claims: frozenset[tuple[int, str]] = frozenset()
    """A uid, and the username that somebody says it has."""


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """The answer to an :class:`AccountRequest`; what is missing could not be found out yet."""

    names: Mapping[int, str | None] = field(default_factory=dict)
    """By uid; None for one without an account."""
    uids: Mapping[str, int | None] = field(default_factory=dict)
    """By username, for the claims that are not what :attr:`names` says; None for one that no account has."""


DRIVER_STATES = ("ok", "missing", "not_loaded", "mismatch", "hung", "no_permission")
"""What the driver can be: ``ok``: it answers; ``missing``: no library; ``not_loaded``: no kernel module; ``mismatch``:
library and kernel module are of different versions; ``hung``: does not answer in time; ``no_permission``: this user may
not open its devices."""
