"""Metrics of users, beyond those of the sixteen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.analysis import policy
from genvd.analysis.activity import memory
from genvd.metrics.spec import Metric

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genvd.metrics.spec import Sample
    from genvd.model.snapshot import DeviceUse, Snapshot


def _user_memory(snapshot: Snapshot) -> Iterator[Sample]:
    if snapshot.processes is None:
        return
    uses: dict[str, list[DeviceUse]] = {e.username: [] for e in snapshot.environments or () if e.username}
    for process in snapshot.processes:
        if process.username is not None:
            uses.setdefault(process.username, []).extend(process.uses)
    incomplete = policy.users_with_unknown_processes(snapshot)
    for username in sorted(uses):
        yield (username,), None if username in incomplete else memory(uses[username])


USERS = (
    Metric(
        "genv_user_used_gpu_memory_bytes",
        "GPU memory of all processes that run as the user, within environments and outside, in bytes. Absent"
        " while not all of them are known: the user holds a device that does not answer, or whose processes the driver"
        " does not list; or there is a process of nobody known.",
        ("username",),
        _user_memory,
    ),
)
"""The group ``users``."""
