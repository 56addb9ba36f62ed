"""Finds out from the cgroups of a process what started it: a container, a job, a session or a service.

The cgroups are in /proc/PID/cgroup (cgroups(7)). Version 2 has one line ``0::PATH``, version 1 has one line
``NUMBER:CONTROLLERS:PATH`` for each hierarchy. The paths depend on the software that created them:

- systemd: ``user.slice/user-UID.slice/session-ID.scope`` (pam_systemd(8)), ``system.slice/NAME.service``
  (systemd.slice(5)), ``machine.slice/machine-NAME.scope`` of systemd-nspawn;
- Docker, Podman, containerd and CRI-O: an ID of 64 hexadecimal digits, in ``docker/ID``,
  ``docker-ID.scope``, ``libpod-ID.scope``, ``cri-containerd-ID.scope``, ``crio-ID.scope`` or ``kubepods/.../ID``;
- LXC: ``lxc/NAME``, ``lxc.payload.NAME`` or ``lxc.payload/NAME``;
- Slurm: ``slurm/uid_UID/job_ID/step_...`` (version 1, ``slurm_NODE`` with several daemons on a machine),
  ``system.slice/NODE_slurmstepd.scope/job_ID/step_...`` (version 2). Since Slurm 26.05 the job's directory is
  named by its SLUID, unless cgroup.conf has ``CgroupJobIdPaths=yes``. A SLUID is ``s`` and 13 digits of Crockford's
  base 32, which has no I, L, O and U (``print_sluid`` in Slurm's src/common/sluid.c).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

from genvd.common.text import decode

CgroupKind = Literal["container", "slurm", "session", "service"]
"""In order of preference."""

MAX_BYTES = 64 * 1024
"""Maximum size of the file that is read: a path has up to 4096 bytes, and version 1 a dozen lines."""

_CACHED = 32
"""Contents whose result is kept: many processes are in the same cgroup."""

_CONTAINER_ID = re.compile(rb"(?:.*[-:])?([0-9a-f]{64})(?:\.scope)?")
_LXC = re.compile(rb"/lxc(?:\.payload[./]|/)([^/]+)")
_NSPAWN = re.compile(rb"/machine\.slice/machine-(?!qemu)([^/]+)\.scope(?:/|\Z)")
_SLURM = re.compile(rb"/(?:slurm[^/]*|system\.slice/[^/]*slurmstepd\.scope)/(?:[^/]+/)*?job_([0-9]{1,18})(?:/|\Z)")
_SLURM_SLUID = re.compile(
    rb"/(?:slurm[^/]*|system\.slice/[^/]*slurmstepd\.scope)/(?:uid_[0-9]+/)?(s[0-9A-HJKMNP-TV-Z]{10,20})(?:/|\Z)"
)
"""Only directly below the directory of Slurm, because jobs name the directories further down. IDs may get longer."""

_SESSION = re.compile(rb"/user\.slice/user-[0-9]+\.slice/(session-[^/]+\.scope)(?:/|\Z)")
_SERVICE = re.compile(rb".*/([^/]+\.service)(?:/|\Z)", re.DOTALL)


class Cgroup(NamedTuple):
    """What started a process."""

    kind: CgroupKind
    name: str
    """ID or name of the container, number or SLUID of the job, or name of the unit of the session or service."""


@lru_cache(_CACHED)
def parse_cgroup(content: bytes) -> Cgroup | None:
    """Return what started a process, from the content of its /proc/PID/cgroup; None if it is none of the known kinds.

    Users can create cgroups of any name below their own ``user@UID.service``. So jobs and sessions are recognised only
    where only root can create them. A container or service below a user's own service belongs to that user anyway.
    """
    paths = [b"/" + path.strip(b"/") for path in _paths(content)]
    kinds: tuple[tuple[CgroupKind, Callable[[bytes], bytes | None]], ...] = (
        ("container", _container),
        ("slurm", _first(_SLURM)),
        ("slurm", _first(_SLURM_SLUID)),
        ("session", _first(_SESSION)),
        ("service", _first(_SERVICE)),
    )
    for kind, find_name in kinds:
        for path in paths:
            if name := find_name(path):
                return Cgroup(kind, decode(name))
    return None


def _paths(content: bytes) -> Iterator[bytes]:
    for line in content.split(b"\n"):
        parts = line.split(b":", 2)
        if len(parts) == 3:
            yield parts[2].removesuffix(b" (deleted)")


def _container(path: bytes) -> bytes | None:
    for segment in reversed(path.split(b"/")):  # the innermost container first
        if match := _CONTAINER_ID.fullmatch(segment):
            return match[1]
    match = _LXC.match(path) or _NSPAWN.match(path)
    return match[1] if match else None


def _first(pattern: re.Pattern[bytes]) -> Callable[[bytes], bytes | None]:
    """Return a function that returns the first group of the pattern in a path, or None."""

    def find_name(path: bytes) -> bytes | None:
        match = pattern.match(path)
        return match[1] if match else None

    return find_name
