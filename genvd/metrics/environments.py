"""Metrics of environments and users, besides those in contract.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.analysis import policy
from genvd.analysis.activity import total_memory
from genvd.metrics.metric import Metric

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from genvd.metrics.samples import Sample
    from genvd.model.snapshot import DeviceUse, Environment, EnvironmentUse, Snapshot


def _environments(snapshot: Snapshot) -> Iterable[Environment]:
    return snapshot.environments or ()


def _uses(snapshot: Snapshot) -> Iterator[tuple[Environment, EnvironmentUse]]:
    return ((e, use) for e in _environments(snapshot) for use in e.uses or ())


ENVIRONMENTS = (
    Metric(
        "genv_environment_info",
        "1, with the environment's name and its user as labels.",
        ("eid", "name", "username"),
        lambda s: (((e.eid, e.name or "", e.username or ""), 1) for e in _environments(s)),
        summable=False,
    ),
    Metric(
        "genv_environment_created_timestamp_seconds",
        "When the environment was activated, as far as genv's files can be right, in seconds since the epoch.",
        ("eid",),
        lambda s: (((e.eid,), e.created) for e in _environments(s)),
        summable=False,
    ),
    Metric(
        "genv_environment_device_limit",
        "Devices that the environment asked for.",
        ("eid",),
        lambda s: (((e.eid,), e.gpus) for e in _environments(s)),
    ),
    Metric(
        "genv_environment_memory_limit_bytes",
        "Memory that the environment may use on a device in bytes, the least on any that it holds: what its"
        " attachment there allows, else what it asked for; absent where it may use all.",
        ("eid",),
        lambda s: (((e.eid,), e.memory_limit_bytes) for e in _environments(s)),
        summable=False,
    ),
    Metric(
        "genv_environment_used_gpu_memory_bytes",
        "Memory of the environment's processes, of all types, on a device that it holds or uses, in bytes.",
        ("eid", "device"),
        lambda s: (((e.eid, u.device_index), u.memory_bytes) for e, u in _uses(s)),
    ),
    Metric(
        "genv_environment_peak_gpu_memory_bytes",
        "Highest memory of the environment's processes together on a device that it holds or uses, in bytes, that a"
        " collection has seen since the environment was activated or the monitor started, whichever is later; absent"
        " while the memory of one of them is not known.",
        ("eid", "device"),
        lambda s: (((e.eid, u.device_index), u.peak_memory_bytes) for e, u in _uses(s)),
        summable=False,
    ),
    Metric(
        "genv_environment_utilization_ratio",
        "Share of the device's SM time that the environment's processes took together since the last collection,"
        " 0 to 1.",
        ("eid", "device"),
        lambda s: (((e.eid, u.device_index), u.share) for e, u in _uses(s)),
        summable=False,
    ),
    Metric(
        "genv_environment_device_attached",
        "1 for each device of the machine that the environment holds.",
        ("eid", "index"),
        lambda s: (((h.eid, h.device_index), 1) for h in s.holdings or ()),
        summable=False,
    ),
    Metric(
        "genv_environment_device_attached_timestamp_seconds",
        "When the environment got the device, as far as genv's files can be right, in seconds since the epoch.",
        ("eid", "index"),
        lambda s: (((h.eid, h.device_index), h.attached) for h in s.holdings or ()),
        summable=False,
    ),
    Metric(
        "genv_device_holders_known",
        "1 if it is known which environments hold the device, 0 if genv's files name it by an index that another device"
        " had when it was attached.",
        ("index",),
        lambda s: (
            ((d.index,), d.index not in s.holders_unknown) for d in (s.devices or () if s.holdings is not None else ())
        ),
        summable=False,
    ),
    Metric(
        "genv_environment_idle_seconds",
        "Seconds since the environment last worked on a device that it holds, or since it holds devices if it was not"
        " seen to; absent for one that holds none.",
        ("eid",),
        lambda s: (((e.eid,), e.idle_seconds) for e in _environments(s)),
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
        "GPU memory of all processes that run as the user, within environments and outside, in bytes. Absent"
        " while not all of them are known: the user holds a device that does not answer, or whose processes the driver"
        " does not list; or there is a process of nobody known.",
        ("username",),
        _user_memory,
    ),
)
"""The group ``users``."""
