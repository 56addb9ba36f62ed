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
        "Bytes per second that the NVLink can carry in each direction.",
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
        "Errors on the NVLink by kind; which kinds there are depends on its generation, docs/metrics.md has them.",
        ("link", "kind"),
        lambda d: (((link.number, e.kind), e.count) for link in d.nvlinks for e in link.errors),
        "counter",
    ),
    per_part(
        "genv_device_c2c_active",
        "1 while the NVLink-C2C to the CPU of the module (Grace) is active, else 0.",
        ("link",),
        lambda d: (((link.number,), link.active) for link in d.c2c_links),
    ),
    per_part(
        "genv_device_c2c_bandwidth_bytes_per_second",
        "Bytes per second that the active NVLink-C2C can carry.",
        ("link",),
        lambda d: (((link.number,), link.bytes_per_second) for link in d.c2c_links),
    ),
    per_part(
        "genv_device_c2c_errors_total",
        "Errors on the NVLink-C2C by kind: crc, replay or replay_back_to_back; driver 575 and later.",
        ("link", "kind"),
        lambda d: (((link.number, e.kind), e.count) for link in d.c2c_links for e in link.errors),
        "counter",
    ),
    per_part(
        "genv_device_fabric_state",
        "1, with how far the device is in joining the fabric of NVSwitches as state: not_started, in_progress,"
        " completed or failed; absent where there is none.",
        ("state",),
        lambda d: [((d.fabric.state,), 1)] if d.fabric else [],
    ),
    per_part(
        "genv_device_fabric_info",
        "1, with the cluster and the clique in it that the device has joined as labels.",
        ("cluster_uuid", "clique"),
        _fabric_info,
    ),
    per_part(
        "genv_device_fabric_problem",
        "1 while the fabric has the problem, else 0: degraded_bandwidth, route_recovery, route_unhealthy,"
        " access_timeout_recovery or incorrect_configuration; only those that the device can tell.",
        ("problem",),
        _fabric_problems,
    ),
)
"""The group ``nvlink``."""
