"""What is known of a GPU: the device, its links, its memory's health and its MIG instances.

``None`` always means *not known*, and an empty tuple of parts that the device has none, or does not tell. All values
are in base units: bytes, watts, joules, hertz, seconds, and shares from 0 to 1; but ``utilization_percent`` is in
percent, as the first sixteen metrics have it.
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
    speed_ratio: float | None = None
    """Share of its full speed that it is meant to have; it may be above 1."""
    rpm: int | None = None
    """Rotations per minute that it is meant to have."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A temperature at which the device does something about it."""

    name: str
    """``shutdown``, ``slowdown``, ``memory_max`` or ``gpu_max``."""
    celsius: int


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """A count of one kind of error."""

    kind: str
    count: int


@dataclass(frozen=True, slots=True)
class Sessions:
    """Those who use one of the video engines."""

    count: int | None = None
    frames_per_second: int | None = None
    """The mean of all of them; None where there are none."""
    latency_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """What a device is, beyond its name. It does not change."""

    serial: str | None = None
    part_number: str | None = None
    minor_number: int | None = None
    """That of its file /dev/nvidiaN. NVIDIA only; None elsewhere."""
    compute_capability: str | None = None
    pci_device_id: str | None = None
    """Device and vendor, in hexadecimal digits."""
    pci_subsystem_id: str | None = None
    inforom_version: str | None = None
    gsp_firmware_version: str | None = None


@dataclass(frozen=True, slots=True)
class FabricProblem:
    """Something that may be wrong with the fabric."""

    name: str
    present: bool


@dataclass(frozen=True, slots=True)
class Fabric:
    """How a device stands in the fabric of NVLinks and NVSwitches."""

    state: str
    """``not_started``, ``in_progress``, ``completed`` or ``failed``."""
    cluster_uuid: str | None = None
    clique: int | None = None
    problems: tuple[FabricProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceDetails:
    """How a device is doing, beyond what the first metrics say."""

    power_watts: float | None = None
    """The mean of a second on Ampere (but GA100) and later, else just now."""
    power_instant_watts: float | None = None
    module_power_watts: float | None = None
    """Of GPU, Grace CPU and their memory together, where they are one module."""
    module_power_limit_watts: float | None = None
    memory_power_watts: float | None = None
    """Of the device memory alone."""
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
    temperature_margin_celsius: int | None = None
    """How far it is below the temperature at which the device slows down."""
    margin_thresholds: tuple[Threshold, ...] = ()
    """The same thresholds as margins: what ``temperature_margin_celsius`` is when the device reaches them."""
    recovery_action: str | None = None
    """What the driver recommends to bring the device back into order; ``none`` where it is."""
    encoder_sessions: Sessions = Sessions()
    capture_sessions: Sessions = Sessions()
    """Of those who capture what is drawn (NvFBC)."""
    encoder_utilization_ratio: float | None = None
    decoder_utilization_ratio: float | None = None
    jpeg_utilization_ratio: float | None = None
    ofa_utilization_ratio: float | None = None
    """Of the optical flow accelerator."""
    bar1_used_bytes: int | None = None
    bar1_total_bytes: int | None = None
    """Of the window through which the host reaches device memory."""
    persistence_enabled: bool | None = None
    inforom_corrupted: bool | None = None
    """Whether the checksums of the board's InfoROM are wrong."""
    compute_mode: str | None = None
    """``default``, ``exclusive_thread``, ``prohibited`` or ``exclusive_process``."""
    pcie_generation: int | None = None
    pcie_width: int | None = None
    """Lanes."""
    pcie_generation_max: int | None = None
    """Of device and slot together."""
    pcie_width_max: int | None = None
    pcie_replays: int | None = None
    pcie_replay_rollovers: int | None = None
    """How often the PCI Express link had to be trained again because four replays in a row did not help."""
    pcie_errors: tuple[ErrorCount, ...] = ()


@dataclass(frozen=True, slots=True)
class PcieThroughput:
    """What went over the PCIe link in the driver's last 20 ms, in bytes per second."""

    receive: int | None = None
    transmit: int | None = None


@dataclass(frozen=True, slots=True)
class PipeActivity:
    """How busy one kind of the pipes of the SMs was."""

    name: str
    """``tensor``, ``fp64``, ``fp32``, ``fp16`` or ``integer``."""
    ratio: float


@dataclass(frozen=True, slots=True)
class Activity:
    """What a device or GPU instance did since the collection before, by its own counters."""

    graphics_ratio: float | None = None
    """Share of time in which anything ran on it."""
    sm_ratio: float | None = None
    """Share of the SMs that were busy."""
    sm_occupancy_ratio: float | None = None
    """Share of the warps there can be that were resident."""
    dram_ratio: float | None = None
    """Share of the bandwidth of device memory that was used."""
    pipes: tuple[PipeActivity, ...] = ()
    pcie_receive_bytes_per_second: float | None = None
    pcie_transmit_bytes_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class PlacedErrors:
    """A count of memory errors in one kind of memory."""

    severity: str
    scope: str
    location: str
    count: int


@dataclass(frozen=True, slots=True)
class Banks:
    """How many banks of device memory have so many spare rows left."""

    availability: str
    """``max``, ``high``, ``partial``, ``low`` or ``none``."""
    count: int


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
    ecc_pending: bool | None = None
    """Whether it is to be enabled after the next restart."""
    ecc_errors: tuple[EccErrors, ...] = ()
    placed_errors: tuple[PlacedErrors, ...] = ()
    sram_errors: tuple[ErrorCount, ...] = ()
    """Uncorrected ones in the life of the device."""
    sram_threshold_exceeded: bool | None = None
    """Whether they are so many that the device should be replaced."""
    remapped_rows_corrected: int | None = None
    """Rows put out of use for corrected errors (Ampere and later)."""
    remapped_rows_uncorrected: int | None = None
    remap_pending: bool | None = None
    """Whether a reset is needed to finish a remapping."""
    remap_failed: bool | None = None
    remap_banks: tuple[Banks, ...] = ()
    retired_pages_single_bit: int | None = None
    """Pages put out of use for repeated single-bit errors (before Ampere)."""
    retired_pages_double_bit: int | None = None
    retirement_pending: bool | None = None
    """Whether a restart is needed to finish retiring pages."""
    channel_repair_pending: bool | None = None
    """Whether a reset is needed to put a channel of memory out of use."""
    tpc_repair_pending: bool | None = None
    """The same for a texture processing cluster, a group of SMs."""
    unrepairable_memory: bool | None = None


@dataclass(frozen=True, slots=True)
class NvLink:
    """An NVLink. One that is not active has nothing to tell."""

    number: int
    receive_bytes: int | None = None
    transmit_bytes: int | None = None
    errors: tuple[ErrorCount, ...] = ()
    active: bool = True
    bytes_per_second: int | None = None
    """With which it can run."""


@dataclass(frozen=True, slots=True)
class C2cLink:
    """An NVLink-C2C between the GPU and the CPU of its module, by its number from 0."""

    number: int
    active: bool | None = None
    bytes_per_second: int | None = None
    """With which it can run; None for one that is not active."""
    errors: tuple[ErrorCount, ...] = ()


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
    activity: Activity = Activity()
    """Of its GPU instance, which it may share."""
    bar1_used_bytes: int | None = None
    bar1_total_bytes: int | None = None
    """Of the window through which the host reaches its memory; compute instances of one GPU instance share it."""
    placed_errors: tuple[PlacedErrors, ...] = ()


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU, as its driver sees it."""

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
    shares_host_memory: bool = False
    """Whether it has no memory of its own, but uses that of the host."""
    memory_bandwidth_ratio: float | None = None
    """Share of the driver's last sample period in which device memory was read or written."""
    pci_bus_id: str | None = None
    architecture: str | None = None
    vbios_version: str | None = None
    mig_mode: str | None = None
    """``enabled`` or ``disabled``; None for a device without MIG."""
    mig_pending: bool | None = None
    """Whether its MIG mode is to be on after the next reset."""
    processes_listed: bool = False
    """Whether it told of all processes on it, those in its MIG instances among them."""
    board: Board = Board()
    details: DeviceDetails = DeviceDetails()
    activity: Activity = Activity()
    pcie_throughput: PcieThroughput = PcieThroughput()
    health: MemoryHealth = MemoryHealth()
    nvlinks: tuple[NvLink, ...] = ()
    c2c_links: tuple[C2cLink, ...] = ()
    fabric: Fabric | None = None
    xids: tuple[XidErrors, ...] = ()
    mig_instances: tuple[MigInstance, ...] = ()


@dataclass(frozen=True, slots=True)
class DriverVersions:
    """What the driver says it is."""

    driver: str | None = None
    cuda: str | None = None
    """The newest CUDA that it can run, such as ``12.8``. NVIDIA only; None elsewhere."""
    nvml: str | None = None
    """Of the library NVML. NVIDIA only; None elsewhere."""
