"""Metrics of policy violations: broken limits, processes outside genv, orphan memory, oversubscribed GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.analysis import policy
from genvd.metrics.metric import Metric

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genvd.metrics.samples import Sample
    from genvd.model.snapshot import Snapshot


def _violations(snapshot: Snapshot) -> Iterator[Sample]:
    for environment, rule, broken in policy.all_violations(snapshot):
        yield (environment.eid, rule), broken


def _unmanaged(snapshot: Snapshot) -> Iterator[Sample]:
    if snapshot.processes is None or snapshot.environments is None:
        return
    found = policy.unmanaged_by_user(snapshot)
    people = {environment.username for environment in snapshot.environments if environment.username}
    for username in sorted(people.union(found)):
        number = found.get(username, 0)
        if username or number:
            yield (username,), number


def _process_unmanaged(snapshot: Snapshot) -> Iterator[Sample]:
    if snapshot.environments is None:
        return
    active = policy.active_eids(snapshot)
    for process in snapshot.processes or ():
        known = not policy.environment_unknown(process)
        yield (process.pid, process.eid or ""), policy.is_unmanaged(process, active) if known else None


POLICY = (
    Metric(
        "genv_environment_violation",
        "1 while the environment violates the rule, else 0; absent for limits that the environment does not have.",
        ("eid", "rule"),
        _violations,
        summable=False,
    ),
    Metric(
        "genv_unmanaged_processes",
        "Compute processes outside genv (in no active environment), by the user they run as; username is empty if"
        " unknown. A process whose environment is unknown does not count; absent for a user who has such processes"
        " and none known to be outside.",
        ("username",),
        _unmanaged,
    ),
    Metric(
        "genv_process_unmanaged",
        "1 while the process computes on a GPU outside genv (in no active environment), else 0; absent while its"
        " environment is unknown.",
        ("pid", "eid"),
        _process_unmanaged,
        summable=False,
    ),
    Metric(
        "genv_device_orphan_memory_bytes",
        "GPU memory in use that no live process and no driver reserve accounts for, in bytes; without memory that may"
        " belong to a process that the monitor cannot see, such as one in a container with its own pid namespace.",
        ("index",),
        lambda s: (((device.index,), orphaned) for device, orphaned in policy.orphan_memory(s)),
    ),
    Metric(
        "genv_device_unseen_memory_bytes",
        "GPU memory in use, in bytes, that belongs to no listed process and was not left by an ended one: most likely"
        " it belongs to a process that the monitor cannot see. Absent if there is none.",
        ("index",),
        lambda s: (((device.index,), amount) for device, amount in policy.unseen_memory(s)),
    ),
    Metric(
        "genv_device_oversubscribed",
        "1 when the memory limits of the environments with this GPU attached add up to more memory than it has, or"
        " several have it attached and one of them has no limit; else 0.",
        ("index",),
        lambda s: (((device.index,), is_oversubscribed) for device, is_oversubscribed in policy.oversubscribed(s)),
    ),
)
"""The group ``policy``."""
