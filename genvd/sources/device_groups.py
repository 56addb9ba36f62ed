"""What is asked of the GPUs."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genvd.config.schema import Config


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


def device_groups(config: Config) -> DeviceGroups:
    """Return what the configuration wants."""
    return DeviceGroups(**{field.name: getattr(config, f"metrics_{field.name}") for field in fields(DeviceGroups)})


@dataclass(frozen=True, slots=True)
class GpuQuestion:
    """What a tick wants to know of the GPUs."""

    deadline: float
    """When the answer is wanted, of :func:`time.monotonic`."""
    groups: DeviceGroups = DeviceGroups()
    """What is not wanted is absent in the answer; a source that can do without asking for it does."""
