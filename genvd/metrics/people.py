"""Metrics of who does what: GPU processes, environments and users, beyond the sixteen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.activity import memory
from genvd.metrics.spec import Metric

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from genvd.metrics.spec import Sample
    from genvd.model import DeviceUse, Environment, EnvironmentUse, Process, Snapshot


def _processes(snapshot: Snapshot) -> Iterable[Process]:
    return snapshot.processes or ()


def _environments(snapshot: Snapshot) -> Iterable[Environment]:
    return snapshot.environments or ()


def _uses(snapshot: Snapshot) -> Iterator[tuple[Environment, EnvironmentUse]]:
    return ((e, use) for e in _environments(snapshot) for use in e.uses or ())


def _mig_places(snapshot: Snapshot) -> Iterator[Sample]:
    numbers = {
        (device.index, mig.gpu_instance, mig.compute_instance): mig.number
        for device in snapshot.devices or ()
        for mig in device.mig_instances
    }
    for process in _processes(snapshot):
        for use in process.uses:
            for place in use.mig_places:
                number = numbers.get((use.device_index, place.gpu_instance, place.compute_instance))
                yield (use.device_index, number, process.pid, process.eid or ""), None if number is None else 1


def _user_memory(snapshot: Snapshot) -> Iterator[Sample]:
    if snapshot.processes is None:
        return
    uses: dict[str, list[DeviceUse]] = {e.username: [] for e in _environments(snapshot) if e.username}
    for process in snapshot.processes:
        if process.username is not None:
            uses.setdefault(process.username, []).extend(process.uses)
    for username in sorted(uses):
        yield (username,), memory(uses[username])


PROCESSES = (
    Metric(
        "genv_process_info",
        "1, with what is known of the process as labels: its short name, which it chooses itself; type compute, mps"
        " (computes through NVIDIA's Multi-Process Service) or graphics; what it was started by: cgroup_kind"
        " container, slurm, session or service, and in cgroup its identifier or name.",
        ("pid", "eid", "username", "command", "type", "cgroup_kind", "cgroup"),
        lambda s: (
            (
                (
                    p.pid,
                    p.eid or "",
                    p.username or "",
                    p.command or "",
                    p.type,
                    p.cgroup_kind or "",
                    p.cgroup or "",
                ),
                1,
            )
            for p in _processes(s)
        ),
        addable=False,
    ),
    Metric(
        "genv_mig_process_info",
        "1 for each MIG device on which the process is; index is that of its parent, instance its number there.",
        ("index", "instance", "pid", "eid"),
        _mig_places,
        addable=False,
    ),
    Metric(
        "genv_process_utilization_ratio",
        "Share of the device's SM time that the process took since the last collection, 0 to 1: the mean of the"
        " driver's samples.",
        ("pid", "eid", "device"),
        lambda s: (((p.pid, p.eid or "", u.device_index), u.utilization) for p in _processes(s) for u in p.uses),
        addable=False,
    ),
    Metric(
        "genv_process_start_time_seconds",
        "When the process was started, in seconds since the epoch.",
        ("pid", "eid"),
        lambda s: (((p.pid, p.eid or ""), p.started) for p in _processes(s)),
        addable=False,
    ),
)

ENVIRONMENTS = (
    Metric(
        "genv_environment_info",
        "1, with the environment's name and its user as labels.",
        ("eid", "name", "username"),
        lambda s: (((e.eid, e.name or "", e.username or ""), 1) for e in _environments(s)),
        addable=False,
    ),
    Metric(
        "genv_environment_created_timestamp_seconds",
        "When the environment was activated, in seconds since the epoch.",
        ("eid",),
        lambda s: (((e.eid,), e.created) for e in _environments(s)),
        addable=False,
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
        addable=False,
    ),
    Metric(
        "genv_environment_used_gpu_memory_bytes",
        "Memory of the environment's processes, of all types, on a device that it holds or uses, in bytes.",
        ("eid", "device"),
        lambda s: (((e.eid, u.device_index), u.memory_bytes) for e, u in _uses(s)),
    ),
    Metric(
        "genv_environment_utilization_ratio",
        "Share of the device's SM time that the environment's processes took together since the last collection,"
        " 0 to 1.",
        ("eid", "device"),
        lambda s: (((e.eid, u.device_index), u.share) for e, u in _uses(s)),
        addable=False,
    ),
    Metric(
        "genv_environment_device_attached",
        "1 for each device of the machine that the environment holds.",
        ("eid", "index"),
        lambda s: (((h.eid, h.device_index), 1) for h in s.holdings or ()),
        addable=False,
    ),
    Metric(
        "genv_environment_device_attached_timestamp_seconds",
        "When the device was attached to the environment, as genv's files say, in seconds since the epoch.",
        ("eid", "index"),
        lambda s: (((h.eid, h.device_index), h.attached) for h in s.holdings or ()),
        addable=False,
    ),
    Metric(
        "genv_environment_idle_seconds",
        "Seconds since the environment last worked on a device that it holds, or since it holds devices if it was not"
        " seen to; absent for one that holds none.",
        ("eid",),
        lambda s: (((e.eid,), e.idle_seconds) for e in _environments(s)),
        addable=False,
    ),
)

USERS = (
    Metric(
        "genv_user_used_gpu_memory_bytes",
        "GPU memory of all processes that run as the user, within environments and outside, in bytes.",
        ("username",),
        _user_memory,
    ),
)
