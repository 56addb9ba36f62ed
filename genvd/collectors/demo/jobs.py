"""What the simulated users run: how their processes are called and started, and what they asked for and take."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genvd.model.facts import Context, ProcessOwner

if TYPE_CHECKING:
    from collections.abc import Iterator

GIB = 2**30
DESKTOP_PID = 901
ENDED_PID = 902
"""Of the display server, which draws on device 0 and is of root."""
DESKTOP_MEMORY = 12 * 2**20

_MEMORY_RAMP_TICKS = 3
_GREEDY_TICKS, _GREEDY_EACH = 8, 30
"""For how many ticks of how many a greedy job takes more memory than it asked for."""
_ORPHAN_TICKS = 45
_ORPHAN_MEMORY = 3 * GIB


@dataclass(frozen=True, slots=True)
class Job:
    """Something that holds devices for a while."""

    number: int
    user: str
    project: str
    devices: tuple[int, ...]
    starts: int
    ends: int
    load: float
    """Utilisation while it computes, 0 to 1; 0 for an environment that holds its devices and does nothing."""
    memory: int
    """Bytes on each device."""
    managed: bool = True
    """False for processes that somebody runs outside any environment."""

    @property
    def shell(self) -> int:
        """Return the pid of the shell in which its environment was activated."""
        return 10_000 + 20 * self.number

    @property
    def eid(self) -> str:
        """Return the identifier of its environment."""
        return str(self.shell)

    @property
    def pids(self) -> tuple[int, ...]:
        """One for each device; some of those that do nothing have none."""
        holds = self.load or self.number % 3 == 0
        return tuple(self.shell + 1 + rank for rank in range(len(self.devices))) if holds else ()


def memory_of(job: Job, tick: int) -> int:
    """Return the bytes that the job holds on each of its devices: it loads its model during its first ticks."""
    memory = job.memory * min(tick - job.starts + 1, _MEMORY_RAMP_TICKS) // _MEMORY_RAMP_TICKS
    return memory if not _is_greedy(job) or (tick - job.starts) % _GREEDY_EACH < _GREEDY_TICKS else memory * 3 // 4


def memory_limit(job: Job) -> int | None:
    """Return the bytes that the job asked for on each of its devices; half of them ask for no less than all."""
    if _is_greedy(job):
        return job.memory * 9 // 10
    return None if job.number % 2 else (job.memory // GIB + 2) * GIB


def devices_asked(job: Job) -> int:
    """Return the number of devices that the job asked for; a few hold more."""
    return 1 if job.number % 11 == 5 else len(job.devices)


def unaccounted(index: int, tick: int, devices: int) -> int:
    """Return the bytes on a device that are of no process that lives, as far as the driver tells."""
    period, since = divmod(tick, 4 * _ORPHAN_TICKS)
    return _ORPHAN_MEMORY if since >= 3 * _ORPHAN_TICKS and period % devices == index else 0


def ended(tick: int, devices: int) -> Iterator[Context]:
    """Return the context of a process that ended badly and left its memory behind, until somebody resets the device.

    That is every other time; in between, the memory is of a container whose processes the driver does not list.
    """
    if tick // (4 * _ORPHAN_TICKS) % 2 == 0:
        for index in range(devices):
            if amount := unaccounted(index, tick, devices):
                yield Context(ENDED_PID, index, amount, utilization=0.0)


def desktop(devices: int) -> Iterator[Context]:
    """Return the context of the display server."""
    if devices:
        yield Context(DESKTOP_PID, 0, DESKTOP_MEMORY, "graphics", 0.0)


def process_of(job: Job, started: float, uid: int) -> ProcessOwner:
    """Return what there is to know of any process of the job.

    Args:
        job: of the simulation.
        started: Unix time in seconds.
        uid: of its user.
    """
    kind, cgroup = (
        ("session", f"session-{job.number % 90 + 3}.scope"),
        ("container", hashlib.blake2b(job.eid.encode(), digest_size=32).hexdigest()),
        ("slurm", str(4_000 + job.number)),
        ("service", f"jupyter-{job.user}.service"),
    )[job.number % 4]
    return ProcessOwner(
        uid=uid,
        eid=job.eid if job.managed else None,
        command=("python3", "python3", "torchrun", "ipykernel")[job.number % 4],
        started=started,
        cgroup_kind=kind,
        cgroup=cgroup,
    )


def display_server(started: float) -> ProcessOwner:
    """Return what there is to know of the display server."""
    return ProcessOwner(0, None, "Xorg", started, "service", "gdm.service")


def _is_greedy(job: Job) -> bool:
    return job.number % 5 == 2
