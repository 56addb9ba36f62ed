"""Metrics of GPU processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.metrics.metric import Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from genvd.metrics.samples import Sample, Value
    from genvd.model.snapshot import DeviceUse, Snapshot


def _per_use(name: str, help_: str, value: Callable[[DeviceUse], Value | None]) -> Metric:
    """Return a metric with one value per process and GPU."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for process in snapshot.processes or ():
            for use in process.uses:
                yield (process.pid, process.eid or "", use.device_index), value(use)

    return Metric(name, help_, ("pid", "eid", "device"), samples, summable=False)


def _mig_processes(snapshot: Snapshot) -> Iterator[Sample]:
    numbers = {
        (device.index, mig.gpu_instance, mig.compute_instance): mig.number
        for device in snapshot.devices or ()
        for mig in device.mig_instances
    }
    for process in snapshot.processes or ():
        for use in process.uses:
            for mig_id in use.mig_places:
                number = numbers.get((use.device_index, mig_id.gpu_instance, mig_id.compute_instance))
                yield (use.device_index, number, process.pid, process.eid or ""), None if number is None else 1


PROCESSES = (
    Metric(
        "genv_process_info",
        "1, with data about the process as labels: command is its short name, which it can change; type is compute, mps"
        " (computes through NVIDIA's Multi-Process Service) or graphics; cgroup_kind is what started it (container,"
        " slurm, session or service) and cgroup the ID or name of that.",
        ("pid", "eid", "username", "command", "type", "cgroup_kind", "cgroup"),
        lambda s: (
            ((p.pid, p.eid or "", p.username or "", p.command or "", p.type, p.cgroup_kind or "", p.cgroup or ""), 1)
            for p in s.processes or ()
        ),
        summable=False,
    ),
    Metric(
        "genv_mig_process_info",
        "1 for each MIG device that the process uses; index is the GPU, instance the number of the MIG device there.",
        ("index", "instance", "pid", "eid"),
        _mig_processes,
        summable=False,
    ),
    _per_use(
        "genv_process_utilization_ratio",
        "Share of the GPU's SM time used by the process since the previous collection, 0 to 1: the mean of the driver's"
        " samples.",
        lambda u: u.utilization,
    ),
    _per_use(
        "genv_process_memory_bandwidth_utilization_ratio",
        "Share of time in which the process read or wrote GPU memory since the previous collection, 0 to 1: the mean of"
        " the driver's samples.",
        lambda u: u.engines.memory,
    ),
    _per_use(
        "genv_process_encoder_utilization_ratio",
        "Share of the GPU's video encoder used by the process since the previous collection, 0 to 1: the mean of the"
        " driver's samples.",
        lambda u: u.engines.encoder,
    ),
    _per_use(
        "genv_process_decoder_utilization_ratio",
        "Share of the GPU's video decoder used by the process since the previous collection, 0 to 1: the mean of the"
        " driver's samples.",
        lambda u: u.engines.decoder,
    ),
    _per_use(
        "genv_process_peak_gpu_memory_bytes",
        "Peak GPU memory of the process, in bytes, as seen by collections since the process or the monitor started,"
        " whichever is later.",
        lambda u: u.peak_memory_bytes,
    ),
    Metric(
        "genv_process_start_time_seconds",
        "Start time of the process in Unix time.",
        ("pid", "eid"),
        lambda s: (((p.pid, p.eid or ""), p.started) for p in s.processes or ()),
        summable=False,
    ),
)
"""The group ``processes``."""
