"""What is known of a GPU: the device, its links, its memory's health and its MIG instances.

``None`` always means *not known*, and an empty tuple of parts that the device has none, or does not tell. All values
are in base units: bytes, watts, joules, hertz, seconds, and shares from 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """One of the clocks of a device."""

    name: str
    """``graphics``, ``sm``, ``memory`` or ``video``."""
    hertz: int | None = None
    max_hertz: int | None = None


@dataclass(frozen=True, slots=True)
class Throttling:
    """A reason for which a device may run slower than it could."""

    reason: str
    active: bool | None = None
    """Just now; None where the device does not tell."""
    seconds_total: float | None = None
    """How long it has been active, as the driver counts; None where the driver does not."""


@dataclass(frozen=True, slots=True)
class Fan:
    """A fan, by its number from 0."""

    number: int
    speed_ratio: float
    """Share of its full speed that it is meant to have; it may be above 1."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A temperature at which the device does something about it."""

    name: str
    """``shutdown``, ``slowdown``, ``memory_max`` or ``gpu_max``."""
    celsius: int


@dataclass(frozen=True, slots=True)
class DeviceDetails:
    """How a device is doing, beyond what the first metrics say."""

    power_watts: float | None = None
    power_limit_watts: float | None = None
    """What holds just now, whoever set it."""
    power_limit_default_watts: float | None = None
    power_limit_min_watts: float | None = None
    power_limit_max_watts: float | None = None
    energy_joules: float | None = None
    """Since the driver was loaded."""
    clocks: tuple[Clock, ...] = ()
    throttling: tuple[Throttling, ...] = ()
    performance_state: int | None = None
    """0, the fastest, to 15."""
    fans: tuple[Fan, ...] = ()
    memory_temperature_celsius: float | None = None
    thresholds: tuple[Threshold, ...] = ()
    encoder_utilization_ratio: float | None = None
    decoder_utilization_ratio: float | None = None
    jpeg_utilization_ratio: float | None = None
    ofa_utilization_ratio: float | None = None
    """Of the optical flow accelerator."""
    bar1_used_bytes: int | None = None
    bar1_total_bytes: int | None = None
    """Of the window through which the host reaches device memory."""
    persistence_enabled: bool | None = None
    compute_mode: str | None = None
    """``default``, ``exclusive_thread``, ``prohibited`` or ``exclusive_process``."""
    pcie_generation: int | None = None
    pcie_width: int | None = None
    """Lanes."""
    pcie_generation_max: int | None = None
    """Of device and slot together."""
    pcie_width_max: int | None = None
    pcie_replays: int | None = None


@dataclass(frozen=True, slots=True)
class PcieThroughput:
    """What went over the PCIe link in the driver's last 20 ms, in bytes per second."""

    receive: int | None = None
    transmit: int | None = None


@dataclass(frozen=True, slots=True)
class EccErrors:
    """A count of memory errors that error correction met."""

    severity: str
    """``corrected`` or ``uncorrected``."""
    scope: str
    """``volatile``: since the driver was loaded; ``aggregate``: in the life of the device."""
    count: int


@dataclass(frozen=True, slots=True)
class MemoryHealth:
    """Errors of a device's memory, and what was put out of use for them."""

    ecc_enabled: bool | None = None
    ecc_errors: tuple[EccErrors, ...] = ()
    remapped_rows_corrected: int | None = None
    """Rows put out of use for corrected errors (Ampere and later)."""
    remapped_rows_uncorrected: int | None = None
    remap_pending: bool | None = None
    """Whether a reset is needed to finish a remapping."""
    remap_failed: bool | None = None
    retired_pages_single_bit: int | None = None
    """Pages put out of use for repeated single-bit errors (before Ampere)."""
    retired_pages_double_bit: int | None = None
    retirement_pending: bool | None = None
    """Whether a restart is needed to finish retiring pages."""


@dataclass(frozen=True, slots=True)
class LinkErrors:
    """A count of one kind of error on an NVLink."""

    kind: str
    count: int


@dataclass(frozen=True, slots=True)
class NvLink:
    """An active NVLink."""

    number: int
    receive_bytes: int | None = None
    transmit_bytes: int | None = None
    errors: tuple[LinkErrors, ...] = ()


@dataclass(frozen=True, slots=True)
class XidErrors:
    """How often the driver has reported an XID since the monitor started."""

    xid: int
    count: int
    last_seen: float | None = None
    """Unix time in seconds; None for one that was not seen."""


@dataclass(frozen=True, slots=True)
class MigInstance:
    """A MIG device."""

    number: int
    """Its place on its parent, from 0, as nvidia-smi shows it."""
    uuid: str | None = None
    profile: str | None = None
    """Such as ``1g.10gb``."""
    gpu_instance: int | None = None
    compute_instance: int | None = None
    memory_used_bytes: int | None = None
    """Without what the driver reserves for itself."""
    memory_total_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU, as NVML sees it."""

    index: int
    """Its place among the devices just now; it may move when devices come and go."""
    uuid: str | None = None
    """What stays the same wherever the device is."""
    up: bool | None = None
    """Whether the device answers: not when it is lost, needs a reset or hangs."""
    name: str | None = None
    temperature_celsius: int | None = None
    utilization_percent: int | None = None
    """Share of the driver's last sample period in which a kernel ran, 0 to 100."""
    memory_used_bytes: int | None = None
    """Without what the driver reserves for itself, as nvidia-smi counts it."""
    memory_total_bytes: int | None = None
    memory_free_bytes: int | None = None
    memory_reserved_bytes: int | None = None
    """By driver and firmware; None where the driver is too old to tell it from what is used."""
    memory_bandwidth_ratio: float | None = None
    """Share of the driver's last sample period in which device memory was read or written."""
    pci_bus_id: str | None = None
    architecture: str | None = None
    vbios_version: str | None = None
    mig_mode: str | None = None
    """``enabled`` or ``disabled``; None for a device without MIG."""
    processes_listed: bool = False
    """Whether it told of all processes on it, those in its MIG instances among them."""
    details: DeviceDetails = DeviceDetails()
    pcie_throughput: PcieThroughput = PcieThroughput()
    health: MemoryHealth = MemoryHealth()
    nvlinks: tuple[NvLink, ...] = ()
    xids: tuple[XidErrors, ...] = ()
    mig_instances: tuple[MigInstance, ...] = ()


@dataclass(frozen=True, slots=True)
class DriverVersions:
    """What the NVIDIA driver says it is."""

    driver: str | None = None
    cuda: str | None = None
    """The newest CUDA that it can run, such as ``12.8``."""
    nvml: str | None = None
