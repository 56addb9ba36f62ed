"""What a process was started by, from the control groups it is in: a container, a job, a session or a service.

Control groups are read from /proc/PID/cgroup (cgroups(7)): with version 2 one line ``0::PATH``, with version 1 one line
``NUMBER:CONTROLLERS:PATH`` for each hierarchy. What stands in the paths is the custom of who made them:

- systemd: ``user.slice/user-UID.slice/session-ID.scope`` (pam_systemd(8)), ``system.slice/NAME.service``
  (systemd.slice(5)), ``machine.slice/machine-NAME.scope`` of systemd-nspawn;
- Docker, Podman, containerd and CRI-O: an identifier of 64 hexadecimal digits, as ``docker/ID``,
  ``docker-ID.scope``, ``libpod-ID.scope``, ``cri-containerd-ID.scope``, ``crio-ID.scope`` or ``kubepods/.../ID``;
- LXC: ``lxc/NAME``, ``lxc.payload.NAME`` or ``lxc.payload/NAME``;
- Slurm: ``slurm/uid_UID/job_ID/step_...`` (version 1, ``slurm_NODE`` with several daemons on a machine),
  ``system.slice/NODE_slurmstepd.scope/job_ID/step_...`` (version 2). Since Slurm 26.05 the job's directory is called by
  its SLUID instead, unless cgroup.conf has ``CgroupJobIdPaths=yes``: ``s`` and 13 digits of Crockford's base 32, which
  have no I, L, O and U (``print_sluid`` in Slurm's src/common/sluid.c).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from genvd.common.text import decode

CgroupKind = Literal["container", "slurm", "session", "service"]
"""Those that tell most of a process first."""

MOST_BYTES = 64 * 1024
"""Read of one file: a path has up to 4096 bytes, and version 1 a dozen lines."""

_CONTAINER_ID = re.compile(rb"(?:.*[-:])?([0-9a-f]{64})(?:\.scope)?")
_LXC = re.compile(rb"/lxc(?:\.payload[./]|/)([^/]+)")
_NSPAWN = re.compile(rb"/machine\.slice/machine-(?!qemu)([^/]+)\.scope(?:/|\Z)")
_SLURM = re.compile(rb"/(?:slurm[^/]*|system\.slice/[^/]*slurmstepd\.scope)/(?:[^/]+/)*?job_([0-9]{1,18})(?:/|\Z)")
_SLURM_SLUID = re.compile(
    rb"/(?:slurm[^/]*|system\.slice/[^/]*slurmstepd\.scope)/(?:uid_[0-9]+/)?(s[0-9A-HJKMNP-TV-Z]{10,20})(?:/|\Z)"
)
"""Below the directory of Slurm itself: further down, jobs name their directories. The length may grow."""

_SESSION = re.compile(rb"/user\.slice/user-[0-9]+\.slice/(session-[^/]+\.scope)(?:/|\Z)")
_SERVICE = re.compile(rb".*/([^/]+\.service)(?:/|\Z)", re.DOTALL)


class Cgroup(NamedTuple):
    """What a process was started by."""

    kind: CgroupKind
    name: str
    """Identifier or name of the container, number or SLUID of the job, or name of the session's or service's unit."""


def cgroup(content: bytes) -> Cgroup | None:
    """Return what the content of /proc/PID/cgroup tells; None if it is none of what is known here.

    Whoever has a part of the tree to themselves, as everybody has below their ``user@UID.service``, may name groups
    there as they like. So jobs and sessions count only where root alone can make them; a container or a service
    below one's own service is one's own, whatever its name.
    """
    paths = [b"/" + path.strip(b"/") for path in _paths(content)]
    kinds: tuple[tuple[CgroupKind, Callable[[bytes], bytes | None]], ...] = (
        ("container", _container),
        ("slurm", _first(_SLURM)),
        ("slurm", _first(_SLURM_SLUID)),
        ("session", _first(_SESSION)),
        ("service", _first(_SERVICE)),
    )
    for kind, name_in in kinds:
        for path in paths:
            if name := name_in(path):
                return Cgroup(kind, decode(name))
    return None


def _paths(content: bytes) -> Iterator[bytes]:
    for line in content.split(b"\n"):
        parts = line.split(b":", 2)
        if len(parts) == 3:
            yield parts[2].removesuffix(b" (deleted)")


def _container(path: bytes) -> bytes | None:
    for segment in reversed(path.split(b"/")):  # the innermost of nested ones
        if match := _CONTAINER_ID.fullmatch(segment):
            return match[1]
    match = _LXC.match(path) or _NSPAWN.match(path)
    return match[1] if match else None


def _first(pattern: re.Pattern[bytes]) -> Callable[[bytes], bytes | None]:
    def name_in(path: bytes) -> bytes | None:
        match = pattern.match(path)
        return match[1] if match else None

    return name_in
