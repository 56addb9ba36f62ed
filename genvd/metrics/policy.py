"""Metrics of what somebody should look after: rules that are broken, and memory and processes of nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd import policy
from genvd.metrics.spec import Metric

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genvd.metrics.spec import Sample
    from genvd.model import Snapshot


def _violations(snapshot: Snapshot) -> Iterator[Sample]:
    for environment, rule, broken in policy.all_violations(snapshot):
        yield (environment.eid, rule), broken


def _unmanaged(snapshot: Snapshot) -> Iterator[Sample]:
    if snapshot.processes is None or snapshot.environments is None:
        return
    found = policy.unmanaged_by_user(snapshot)
    people = {environment.username for environment in snapshot.environments if environment.username}
    for username in sorted(people.union(found)):
        if username or found[username]:
            yield (username,), found[username]


POLICY = (
    Metric(
        "genv_environment_violation",
        "1 while the environment breaks the rule, 0 while it keeps it; a limit that it does not have is no rule.",
        ("eid", "rule"),
        _violations,
        addable=False,
    ),
    Metric(
        "genv_unmanaged_processes",
        "Processes that compute on a GPU outside any active environment, by whom they run as; username is empty where"
        " that is not known.",
        ("username",),
        _unmanaged,
    ),
    Metric(
        "genv_device_orphan_memory_bytes",
        "Device memory in use that neither a process in sight, which none is that has ended, nor the driver's reserve"
        " accounts for, in bytes.",
        ("index",),
        lambda s: (((device.index,), orphaned) for device, orphaned in policy.orphan_memory(s)),
    ),
    Metric(
        "genv_device_oversubscribed",
        "1 when the environments that hold the device may together use more memory than it has, or several hold it and"
        " one of them all of it; else 0.",
        ("index",),
        lambda s: (((device.index,), promised_twice) for device, promised_twice in policy.oversubscribed(s)),
    ),
)
"""The group ``policy``."""
