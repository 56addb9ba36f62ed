"""Metrics of environments and users, in addition to those in contract.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.analysis import policy
from genvd.analysis.activity import total_memory
from genvd.metrics.metric import Metric

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genvd.metrics.samples import Sample
    from genvd.model.snapshot import DeviceUse, Environment, EnvironmentUse, Snapshot


def _uses(snapshot: Snapshot) -> Iterator[tuple[Environment, EnvironmentUse]]:
    return ((e, use) for e in snapshot.environments or () for use in e.uses or ())


ENVIRONMENTS = (
    Metric(
        "genv_environment_info",
        "1, with the name and the user of the environment as labels.",
        ("eid", "name", "username"),
        lambda s: (((e.eid, e.name or "", e.username or ""), 1) for e in s.environments or ()),
        summable=False,
    ),
    Metric(
        "genv_environment_created_timestamp_seconds",
        "Activation time of the environment from genv's files, corrected if implausible, in Unix time.",
        ("eid",),
        lambda s: (((e.eid,), e.created) for e in s.environments or ()),
        summable=False,
    ),
    Metric(
        "genv_environment_device_limit",
        "Number of GPUs that the environment asked for.",
        ("eid",),
        lambda s: (((e.eid,), e.gpus) for e in s.environments or ()),
    ),
    Metric(
        "genv_environment_memory_limit_bytes",
        "Memory limit of the environment per GPU, in bytes; the lowest one if its attached GPUs differ. It is the"
        " limit of the attachment, or else the memory that the environment asked for; absent without a limit.",
        ("eid",),
        lambda s: (((e.eid,), e.memory_limit_bytes) for e in s.environments or ()),
        summable=False,
    ),
    Metric(
        "genv_environment_used_gpu_memory_bytes",
        "GPU memory of all processes of the environment on a GPU that is attached or used, in bytes.",
        ("eid", "device"),
        lambda s: (((e.eid, u.device_index), u.memory_bytes) for e, u in _uses(s)),
    ),
    Metric(
        "genv_environment_peak_gpu_memory_bytes",
        "Peak of the total GPU memory of the environment's processes on a GPU, in bytes, as seen by collections since"
        " the environment was activated or the monitor started, whichever is later; absent while the memory of a"
        " process is unknown.",
        ("eid", "device"),
        lambda s: (((e.eid, u.device_index), u.peak_memory_bytes) for e, u in _uses(s)),
        summable=False,
    ),
    Metric(
        "genv_environment_utilization_ratio",
        "Share of the GPU's SM time used by all processes of the environment since the previous collection, 0 to 1.",
        ("eid", "device"),
        lambda s: (((e.eid, u.device_index), u.share) for e, u in _uses(s)),
        summable=False,
    ),
    Metric(
        "genv_environment_device_attached",
        "1 for each GPU that is attached to the environment.",
        ("eid", "index"),
        lambda s: (((h.eid, h.device_index), 1) for h in s.holdings or ()),
        summable=False,
    ),
    Metric(
        "genv_environment_device_attached_timestamp_seconds",
        "Time at which the GPU was attached, from genv's files, corrected if implausible, in Unix time.",
        ("eid", "index"),
        lambda s: (((h.eid, h.device_index), h.attached) for h in s.holdings or ()),
        summable=False,
    ),
    Metric(
        "genv_device_holders_known",
        "1 if it is known to which environments the GPU is attached, 0 if genv's files name it by an index that"
        " belonged to another GPU at the time of attachment.",
        ("index",),
        lambda s: (
            ((d.index,), d.index not in s.holders_unknown) for d in (s.devices or () if s.holdings is not None else ())
        ),
        summable=False,
    ),
    Metric(
        "genv_environment_idle_seconds",
        "Seconds since the environment last worked on an attached GPU, or since the attachment if it never did; absent"
        " without an attached GPU.",
        ("eid",),
        lambda s: (((e.eid,), e.idle_seconds) for e in s.environments or ()),
        summable=False,
    ),
    Metric(
        "genv_environment_device_idle_seconds",
        "Seconds since the environment last worked on this attached GPU, or since the attachment if it never did.",
        ("eid", "index"),
        lambda s: (((h.eid, h.device_index), h.idle_seconds) for h in s.holdings or ()),
        summable=False,
    ),
)
"""The group ``environments``."""


def _user_memory(snapshot: Snapshot) -> Iterator[Sample]:
    if snapshot.processes is None:
        return
    uses: dict[str, list[DeviceUse]] = {e.username: [] for e in snapshot.environments or () if e.username}
    for process in snapshot.processes:
        if process.username is not None:
            uses.setdefault(process.username, []).extend(process.uses)
    incomplete = policy.users_with_unknown_processes(snapshot)
    for username in sorted(uses):
        yield (username,), None if username in incomplete else total_memory(uses[username])


USERS = (
    Metric(
        "genv_user_used_gpu_memory_bytes",
        "GPU memory of all processes of the user, inside and outside genv, in bytes. Absent while not all of them are"
        " known: an attached GPU does not answer, the driver does not list its processes, or the user of some process"
        " is unknown.",
        ("username",),
        _user_memory,
    ),
)
"""The group ``users``."""
