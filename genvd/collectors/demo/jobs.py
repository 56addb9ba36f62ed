"""The jobs of the simulated users: their processes, the memory that they use, and what they requested from genv."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genvd.model.facts import Context, ProcessOwner

if TYPE_CHECKING:
    from collections.abc import Iterator

GIB = 2**30
DESKTOP_PID = 901
"""The display server of root, which uses GPU 0."""
ENDED_PID = 902
"""A process that has ended but still occupies GPU memory."""
DESKTOP_MEMORY = 12 * 2**20

_MEMORY_RAMP_TICKS = 3
_GREEDY_TICKS, _GREEDY_PERIOD_TICKS = 8, 30
"""A greedy job exceeds its memory limit for the first number of ticks in each period."""
_ORPHAN_TICKS = 45
_ORPHAN_MEMORY = 3 * GIB


@dataclass(frozen=True, slots=True)
class Job:
    """A job that holds GPUs for a while."""

    number: int
    user: str
    project: str
    devices: tuple[int, ...]
    starts: int
    ends: int
    load: float
    """Utilization while it computes, 0 to 1; 0 for an environment that only holds its GPUs."""
    memory: int
    """Bytes on each GPU."""
    in_genv: bool = True
    """False for processes outside genv."""

    @property
    def shell(self) -> int:
        """The pid of the shell in which its environment was activated."""
        return 10_000 + 20 * self.number

    @property
    def eid(self) -> str:
        """The ID of its environment."""
        return str(self.shell)

    @property
    def pids(self) -> tuple[int, ...]:
        """The pids of its processes, one for each GPU. Some of the idle jobs have none."""
        holds = self.load or self.number % 3 == 0
        return tuple(self.shell + 1 + rank for rank in range(len(self.devices))) if holds else ()


def memory_used(job: Job, tick: int) -> int:
    """Return the bytes that the job uses on each of its GPUs. It loads its model during its first ticks."""
    memory = job.memory * min(tick - job.starts + 1, _MEMORY_RAMP_TICKS) // _MEMORY_RAMP_TICKS
    return (
        memory if not _is_greedy(job) or (tick - job.starts) % _GREEDY_PERIOD_TICKS < _GREEDY_TICKS else memory * 3 // 4
    )


def memory_limit(job: Job) -> int | None:
    """Return the memory limit of the job on each of its GPUs in bytes; None for half of the jobs."""
    if _is_greedy(job):
        return job.memory * 9 // 10
    return None if job.number % 2 else (job.memory // GIB + 2) * GIB


def requested_gpus(job: Job) -> int:
    """Return the number of GPUs that the job requested. A few jobs hold more."""
    return 1 if job.number % 11 == 5 else len(job.devices)


def unaccounted_bytes(index: int, tick: int, devices: int) -> int:
    """Return the bytes in use on a GPU that belong to no live process that the driver lists."""
    period, since = divmod(tick, 4 * _ORPHAN_TICKS)
    return _ORPHAN_MEMORY if since >= 3 * _ORPHAN_TICKS and period % devices == index else 0


def ended_contexts(tick: int, devices: int) -> Iterator[Context]:
    """Return the context of a process that has ended and still occupies memory, until the GPU is reset.

    It exists every other time. In between, the memory belongs to a container whose processes the driver does not list.
    """
    if tick // (4 * _ORPHAN_TICKS) % 2 == 0:
        for index in range(devices):
            if memory := unaccounted_bytes(index, tick, devices):
                yield Context(ENDED_PID, index, memory, utilization=0.0)


def desktop_contexts(devices: int) -> Iterator[Context]:
    """Return the context of the display server, if there is a GPU."""
    if devices:
        yield Context(DESKTOP_PID, 0, DESKTOP_MEMORY, "graphics", 0.0)


def process_owner(job: Job, started: float, uid: int) -> ProcessOwner:
    """Return the owner of any process of the job.

    Args:
        job: the job.
        started: its start in Unix seconds.
        uid: the uid of its user.
    """
    kind, cgroup = (
        ("session", f"session-{job.number % 90 + 3}.scope"),
        ("container", hashlib.blake2b(job.eid.encode(), digest_size=32).hexdigest()),
        ("slurm", str(4_000 + job.number)),
        ("service", f"jupyter-{job.user}.service"),
    )[job.number % 4]
    return ProcessOwner(
        uid=uid,
        eid=job.eid if job.in_genv else None,
        command=("python3", "python3", "torchrun", "ipykernel")[job.number % 4],
        started=started,
        cgroup_kind=kind,
        cgroup=cgroup,
    )


def display_server_owner(started: float) -> ProcessOwner:
    """Return the owner of the display server."""
    return ProcessOwner(0, None, "Xorg", started, "service", "gdm.service")


def _is_greedy(job: Job) -> bool:
    return job.number % 5 == 2
