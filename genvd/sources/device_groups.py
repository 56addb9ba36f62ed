"""Which groups of values of the devices are wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class DeviceGroups:
    """The switches of monitor.yaml's section ``metrics``: what is off is neither shown nor asked for."""

    device_details: bool = True
    memory_health: bool = True
    nvlink: bool = True
    mig: bool = True
    xid: bool = True
    pcie_throughput: bool = False
    gpm: bool = True


@runtime_checkable
class Grouped(Protocol):
    """A source that can leave groups out."""

    groups: DeviceGroups
    """Which are wanted; may be changed."""
