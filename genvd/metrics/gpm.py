"""Metrics of what devices and MIG devices did by their own counters (GPM)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.metrics.device import of_device, of_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from genvd.metrics.spec import Metric, Sample
    from genvd.model.device import Activity, Device


def _of_instances(name: str, help_: str, value: Callable[[Activity], float | None]) -> Metric:
    return of_parts(name, help_, ("instance",), lambda d: (((m.number,), value(m.activity)) for m in d.mig_instances))


def _pipes_of_instances(device: Device) -> Iterator[Sample]:
    for instance in device.mig_instances:
        for pipe in instance.activity.pipes:
            yield (instance.number, pipe.name), pipe.ratio


GPM = (
    of_device(
        "genv_device_graphics_active_ratio",
        "Share of the time since the last collection in which anything computed or drew on the device, 0 to 1.",
        lambda d: d.activity.graphics_ratio,
    ),
    of_device(
        "genv_device_sm_active_ratio",
        "Share of the SMs of the device that were busy since the last collection, 0 to 1.",
        lambda d: d.activity.sm_ratio,
    ),
    of_device(
        "genv_device_sm_occupancy_ratio",
        "Warps that were resident on the SMs as a share of those there can be, since the last collection, 0 to 1.",
        lambda d: d.activity.sm_occupancy_ratio,
    ),
    of_device(
        "genv_device_dram_active_ratio",
        "Share of the bandwidth of device memory that was used since the last collection, 0 to 1.",
        lambda d: d.activity.dram_ratio,
    ),
    of_parts(
        "genv_device_pipe_active_ratio",
        "Share of the time since the last collection in which pipes of the SMs worked, 0 to 1, by pipe: tensor, fp64,"
        " fp32, fp16 or integer.",
        ("pipe",),
        lambda d: (((pipe.name,), pipe.ratio) for pipe in d.activity.pipes),
    ),
    of_parts(
        "genv_device_pcie_traffic_bytes_per_second",
        "Bytes per second over PCI Express since the last collection, by direction: receive or transmit.",
        ("direction",),
        lambda d: (
            (("receive",), d.activity.pcie_receive_bytes_per_second),
            (("transmit",), d.activity.pcie_transmit_bytes_per_second),
        ),
    ),
    _of_instances(
        "genv_mig_graphics_active_ratio",
        "Share of the time since the last collection in which anything ran on the MIG device's GPU instance, 0 to 1.",
        lambda a: a.graphics_ratio,
    ),
    _of_instances(
        "genv_mig_sm_active_ratio",
        "Share of the SMs of the MIG device's GPU instance that were busy since the last collection, 0 to 1.",
        lambda a: a.sm_ratio,
    ),
    _of_instances(
        "genv_mig_sm_occupancy_ratio",
        "Warps that were resident on the GPU instance's SMs as a share of those there can be, 0 to 1.",
        lambda a: a.sm_occupancy_ratio,
    ),
    _of_instances(
        "genv_mig_dram_active_ratio",
        "Share of the bandwidth of the GPU instance's memory that was used since the last collection, 0 to 1.",
        lambda a: a.dram_ratio,
    ),
    of_parts(
        "genv_mig_pipe_active_ratio",
        "Share of the time since the last collection in which pipes of the GPU instance's SMs worked, 0 to 1.",
        ("instance", "pipe"),
        _pipes_of_instances,
    ),
)
"""The group ``gpm``."""
