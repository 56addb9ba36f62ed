"""Metrics of what goes over PCI Express, as the driver samples it."""

from __future__ import annotations

from genvd.metrics.device import of_device

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
