"""The sixteen metrics that the existing ``genv monitor`` exports, with its names, labels and meanings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.metrics.metric import Metric

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genvd.metrics.samples import Sample
    from genvd.model.snapshot import DeviceUse, Process, Snapshot


def _count(things: tuple[object, ...] | None) -> Iterator[Sample]:
    if things is not None:
        yield (), len(things)


def _computing(snapshot: Snapshot) -> Iterator[tuple[Process, tuple[DeviceUse, ...]]]:
    """Yield the processes with a compute context, and their use of these GPUs; others do not count in these metrics."""
    for process in snapshot.processes or ():
        if uses := process.compute_uses:
            yield process, uses


def _length(things: tuple[object, ...] | None) -> int | None:
    return None if things is None else len(things)


CONTRACT = (
    Metric(
        "genv_is_installed",
        "1 when genv is installed on this machine, else 0.",
        (),
        lambda s: [((), s.genv_installed)],
    ),
    Metric(
        "genv_device_temperature",
        "GPU core temperature in degrees Celsius.",
        ("index",),
        lambda s: (((d.index,), d.temperature_celsius) for d in s.devices or ()),
    ),
    Metric(
        "genv_device_utilization",
        "Share of the driver's last sample period in which the GPU was busy, in percent.",
        ("index",),
        lambda s: (((d.index,), d.utilization_percent) for d in s.devices or ()),
    ),
    Metric(
        "genv_device_memory_used_bytes",
        "GPU memory in use in bytes, without what the driver reserves for itself.",
        ("index",),
        lambda s: (((d.index,), d.memory_used_bytes) for d in s.devices or ()),
    ),
    Metric(
        "genv_device_memory_total_bytes",
        "GPU memory in bytes.",
        ("index",),
        lambda s: (((d.index,), d.memory_total_bytes) for d in s.devices or ()),
    ),
    Metric(
        "genv_environments_total",
        "Active environments: those with at least one live process or Jupyter kernel.",
        (),
        lambda s: _count(s.environments),
    ),
    Metric(
        "genv_processes_total",
        "Processes that hold a compute context on any GPU.",
        (),
        lambda s: _count(None if s.processes is None else tuple(_computing(s))),
    ),
    Metric(
        "genv_attached_devices_total",
        "GPUs that are attached to at least one active environment.",
        (),
        lambda s: _count(s.attached_device_indices),
    ),
    Metric(
        "genv_users_total",
        "Users with at least one active environment.",
        (),
        lambda s: _count(s.users),
    ),
    Metric(
        "genv_environment_processes_total",
        "GPU processes of the environment.",
        ("eid",),
        lambda s: (((e.eid,), _length(e.pids)) for e in s.environments or ()),
    ),
    Metric(
        "genv_environment_attached_devices_total",
        "GPUs attached to the environment.",
        ("eid",),
        lambda s: (((e.eid,), len(e.device_indices)) for e in s.environments or ()),
    ),
    Metric(
        "genv_process_devices_total",
        "GPUs on which the process holds a compute context; eid is empty outside any environment.",
        ("pid", "eid"),
        lambda s: (((p.pid, p.eid or ""), len(uses)) for p, uses in _computing(s)),
    ),
    Metric(
        "genv_process_used_gpu_memory_bytes",
        "Memory of the process on the GPU in bytes.",
        ("pid", "eid", "device"),
        lambda s: (((p.pid, p.eid or "", u.device_index), u.memory_bytes) for p, uses in _computing(s) for u in uses),
    ),
    Metric(
        "genv_user_environments_total",
        "Active environments of the user.",
        ("username",),
        lambda s: (((u.username,), len(u.eids)) for u in s.users or ()),
    ),
    Metric(
        "genv_user_processes_total",
        "GPU processes in the environments of the user.",
        ("username",),
        lambda s: (((u.username,), _length(u.pids)) for u in s.users or ()),
    ),
    Metric(
        "genv_user_attached_devices_total",
        "GPUs attached to at least one environment of the user.",
        ("username",),
        lambda s: (((u.username,), len(u.device_indices)) for u in s.users or ()),
    ),
)
