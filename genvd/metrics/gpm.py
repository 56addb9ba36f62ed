"""Metrics of MIG devices, and profiling metrics (GPM) of GPUs and MIG devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.metrics.device import per_device, per_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from genvd.metrics.metric import Metric
    from genvd.metrics.samples import Sample
    from genvd.model.device import Activity, Device


def _per_instance(name: str, help_: str, value: Callable[[Activity], float | None]) -> Metric:
    return per_part(name, help_, ("instance",), lambda d: (((m.number,), value(m.activity)) for m in d.mig_instances))


def _instance_pipes(device: Device) -> Iterator[Sample]:
    for instance in device.mig_instances:
        for pipe in instance.activity.pipes:
            yield (instance.number, pipe.name), pipe.ratio


GPM = (
    per_device(
        "genv_device_graphics_active_ratio",
        "Share of time in which compute or graphics work ran on the GPU, since the previous collection, 0 to 1.",
        lambda d: d.activity.graphics_ratio,
    ),
    per_device(
        "genv_device_sm_active_ratio",
        "Share of the GPU's SMs that were busy, since the previous collection, 0 to 1.",
        lambda d: d.activity.sm_ratio,
    ),
    per_device(
        "genv_device_sm_occupancy_ratio",
        "Resident warps as a share of the maximum, since the previous collection, 0 to 1.",
        lambda d: d.activity.sm_occupancy_ratio,
    ),
    per_device(
        "genv_device_dram_active_ratio",
        "Share of the GPU memory bandwidth that was used, since the previous collection, 0 to 1.",
        lambda d: d.activity.dram_ratio,
    ),
    per_part(
        "genv_device_pipe_active_ratio",
        "Share of time in which the pipe of the SMs was busy, since the previous collection, 0 to 1; pipe is tensor,"
        " fp64, fp32, fp16 or integer.",
        ("pipe",),
        lambda d: (((pipe.name,), pipe.ratio) for pipe in d.activity.pipes),
    ),
    per_part(
        "genv_device_pcie_traffic_bytes_per_second",
        "Bytes per second over PCI Express, since the previous collection; direction is receive or transmit.",
        ("direction",),
        lambda d: (
            (("receive",), d.activity.pcie_receive_bytes_per_second),
            (("transmit",), d.activity.pcie_transmit_bytes_per_second),
        ),
    ),
    _per_instance(
        "genv_mig_graphics_active_ratio",
        "Share of time in which work ran on the GPU instance of the MIG device, since the previous collection, 0 to 1.",
        lambda a: a.graphics_ratio,
    ),
    _per_instance(
        "genv_mig_sm_active_ratio",
        "Share of the SMs of the GPU instance that were busy, since the previous collection, 0 to 1.",
        lambda a: a.sm_ratio,
    ),
    _per_instance(
        "genv_mig_sm_occupancy_ratio",
        "Resident warps on the GPU instance as a share of the maximum, since the previous collection, 0 to 1.",
        lambda a: a.sm_occupancy_ratio,
    ),
    _per_instance(
        "genv_mig_dram_active_ratio",
        "Share of the GPU instance's memory bandwidth that was used, since the previous collection, 0 to 1.",
        lambda a: a.dram_ratio,
    ),
    per_part(
        "genv_mig_pipe_active_ratio",
        "Share of time in which the pipe of the GPU instance's SMs was busy, since the previous collection, 0 to 1.",
        ("instance", "pipe"),
        _instance_pipes,
    ),
)
"""The group ``gpm``."""


def _label(number: int | None) -> str:
    return "" if number is None else str(number)


MIG = (
    per_device(
        "genv_device_mig_pending",
        "1 when MIG mode will be on after the next reset, else 0.",
        lambda d: d.mig_pending,
    ),
    per_part(
        "genv_mig_instance_info",
        "1, with the identity of the MIG device as labels; index is its GPU, instance its number there.",
        ("instance", "uuid", "profile", "gpu_instance", "compute_instance"),
        lambda d: (
            ((m.number, m.uuid or "", m.profile or "", _label(m.gpu_instance), _label(m.compute_instance)), 1)
            for m in d.mig_instances
        ),
    ),
    per_part(
        "genv_mig_memory_used_bytes",
        "Memory of the MIG device in use, in bytes, without the driver's reserve.",
        ("instance",),
        lambda d: (((m.number,), m.memory_used_bytes) for m in d.mig_instances),
    ),
    per_part(
        "genv_mig_memory_total_bytes",
        "Memory of the MIG device in bytes.",
        ("instance",),
        lambda d: (((m.number,), m.memory_total_bytes) for m in d.mig_instances),
    ),
    per_part(
        "genv_mig_bar1_memory_used_bytes",
        "BAR1 memory of the MIG device in use, in bytes; MIG devices of one GPU instance share it.",
        ("instance",),
        lambda d: (((m.number,), m.bar1_used_bytes) for m in d.mig_instances),
    ),
    per_part(
        "genv_mig_bar1_memory_total_bytes",
        "BAR1 memory of the MIG device in bytes; MIG devices of one GPU instance share it.",
        ("instance",),
        lambda d: (((m.number,), m.bar1_total_bytes) for m in d.mig_instances),
    ),
    per_part(
        "genv_mig_ecc_location_errors_total",
        "Memory errors of the MIG device by location. The driver reports uncorrected SRAM errors since it was loaded"
        " (severity uncorrected, scope volatile).",
        ("instance", "severity", "scope", "location"),
        lambda d: (
            ((m.number, e.severity, e.scope, e.location), e.count) for m in d.mig_instances for e in m.placed_errors
        ),
        "counter",
    ),
)
"""The group ``mig``."""
