"""Metrics of NVLink, of the NVSwitch fabric, and of NVLink-C2C to the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.metrics.device import per_part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genvd.metrics.samples import Sample
    from genvd.model.device import Device


def _fabric_info(device: Device) -> Iterator[Sample]:
    if device.fabric and device.fabric.cluster_uuid is not None:
        yield (device.fabric.cluster_uuid, device.fabric.clique), 1


def _fabric_problems(device: Device) -> Iterator[Sample]:
    if device.fabric:
        for problem in device.fabric.problems:
            yield (problem.name,), problem.present


NVLINK = (
    per_part(
        "genv_device_nvlink_active",
        "1 while the NVLink is active, else 0.",
        ("link",),
        lambda d: (((link.number,), link.active) for link in d.nvlinks),
    ),
    per_part(
        "genv_device_nvlink_bandwidth_bytes_per_second",
        "Bandwidth of the NVLink per direction in bytes per second.",
        ("link",),
        lambda d: (((link.number,), link.bytes_per_second) for link in d.nvlinks),
    ),
    per_part(
        "genv_device_nvlink_receive_bytes_total",
        "Bytes received over the NVLink.",
        ("link",),
        lambda d: (((link.number,), link.receive_bytes) for link in d.nvlinks),
        "counter",
    ),
    per_part(
        "genv_device_nvlink_transmit_bytes_total",
        "Bytes sent over the NVLink.",
        ("link",),
        lambda d: (((link.number,), link.transmit_bytes) for link in d.nvlinks),
        "counter",
    ),
    per_part(
        "genv_device_nvlink_errors_total",
        "NVLink errors by kind; the kinds depend on the NVLink generation, see docs/metrics.md.",
        ("link", "kind"),
        lambda d: (((link.number, e.kind), e.count) for link in d.nvlinks for e in link.errors),
        "counter",
    ),
    per_part(
        "genv_device_c2c_active",
        "1 while the NVLink-C2C to the Grace CPU of the module is active, else 0.",
        ("link",),
        lambda d: (((link.number,), link.active) for link in d.c2c_links),
    ),
    per_part(
        "genv_device_c2c_bandwidth_bytes_per_second",
        "Bandwidth of the active NVLink-C2C in bytes per second.",
        ("link",),
        lambda d: (((link.number,), link.bytes_per_second) for link in d.c2c_links),
    ),
    per_part(
        "genv_device_c2c_errors_total",
        "NVLink-C2C errors by kind: crc, replay or replay_back_to_back; driver 575 and later.",
        ("link", "kind"),
        lambda d: (((link.number, e.kind), e.count) for link in d.c2c_links for e in link.errors),
        "counter",
    ),
    per_part(
        "genv_device_fabric_state",
        "1, with the progress of the GPU in joining the NVSwitch fabric as state: not_started, in_progress, completed"
        " or failed; absent without a fabric.",
        ("state",),
        lambda d: [((d.fabric.state,), 1)] if d.fabric else [],
    ),
    per_part(
        "genv_device_fabric_info",
        "1, with the fabric cluster and the clique that the GPU has joined as labels.",
        ("cluster_uuid", "clique"),
        _fabric_info,
    ),
    per_part(
        "genv_device_fabric_problem",
        "1 while the fabric has the problem, else 0: degraded_bandwidth, route_recovery, route_unhealthy,"
        " access_timeout_recovery or incorrect_configuration; only problems that the GPU can report.",
        ("problem",),
        _fabric_problems,
    ),
)
"""The group ``nvlink``."""
