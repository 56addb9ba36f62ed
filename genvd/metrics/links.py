"""Metrics of what goes in and out of the devices."""

from __future__ import annotations

from genvd.metrics.device import of_device, of_parts

NVLINK = (
    of_parts(
        "genv_device_nvlink_receive_bytes_total",
        "Bytes received over the NVLink.",
        ("link",),
        lambda d: (((link.number,), link.receive_bytes) for link in d.nvlinks),
        "counter",
    ),
    of_parts(
        "genv_device_nvlink_transmit_bytes_total",
        "Bytes sent over the NVLink.",
        ("link",),
        lambda d: (((link.number,), link.transmit_bytes) for link in d.nvlinks),
        "counter",
    ),
    of_parts(
        "genv_device_nvlink_errors_total",
        "Errors on the NVLink; the kinds depend on its generation, see below.",
        ("link", "kind"),
        lambda d: (((link.number, e.kind), e.count) for link in d.nvlinks for e in link.errors),
        "counter",
    ),
)
"""The group ``nvlink``."""

PCIE_THROUGHPUT = (
    of_device(
        "genv_device_pcie_receive_bytes_per_second",
        "Bytes per second that the device received over PCI Express, in 20 ms since the collection before.",
        lambda d: d.pcie_throughput.receive,
    ),
    of_device(
        "genv_device_pcie_transmit_bytes_per_second",
        "Bytes per second that the device sent over PCI Express, in 20 ms since the collection before.",
        lambda d: d.pcie_throughput.transmit,
    ),
)
"""The group ``pcie_throughput``."""
