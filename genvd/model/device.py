"""Data of a GPU: the device itself, its links, the health of its memory and its MIG devices.

``None`` means *not known*. An empty tuple means that the GPU has no such parts, or does not report them. Values are in
base units (bytes, watts, joules, hertz, seconds; ratios from 0 to 1), except ``utilization_percent``. The fields
``index`` and ``count`` replace methods of tuples, which are not needed here.
"""

from __future__ import annotations

from typing import NamedTuple


class Clock(NamedTuple):
    """A clock of a GPU."""

    name: str
    """``graphics``, ``sm``, ``memory`` or ``video``."""
    hertz: int | None = None
    max_hertz: int | None = None


class Throttling(NamedTuple):
    """A reason for throttling."""

    reason: str
    active: bool | None = None
    """Whether it slows the GPU down now; None if the GPU does not report it."""
    seconds_total: float | None = None
    """Total time for which it was active; None if the driver does not count it."""


class Fan(NamedTuple):
    """A fan; numbers start at 0."""

    number: int
    speed_ratio: float | None = None
    """Intended speed as a share of full speed; it may be above 1."""
    rpm: int | None = None
    """Intended rotations per minute."""


class Threshold(NamedTuple):
    """A temperature threshold."""

    name: str
    """``shutdown``, ``slowdown``, ``memory_max`` or ``gpu_max``."""
    celsius: int


class ErrorCount(NamedTuple):
    """The number of errors of one kind."""

    kind: str
    count: int  # type: ignore[assignment]


class Sessions(NamedTuple):
    """The sessions of a video engine."""

    count: int | None = None  # type: ignore[assignment]
    frames_per_second: int | None = None
    """Mean of all sessions; None without sessions."""
    latency_seconds: float | None = None


class Board(NamedTuple):
    """Static data of the board."""

    serial: str | None = None
    part_number: str | None = None
    minor_number: int | None = None
    """N of /dev/nvidiaN; None for other vendors."""
    compute_capability: str | None = None
    pci_device_id: str | None = None
    """Device and vendor ID in hexadecimal digits."""
    pci_subsystem_id: str | None = None
    inforom_version: str | None = None
    gsp_firmware_version: str | None = None


class FabricProblem(NamedTuple):
    """A possible problem of the NVSwitch fabric."""

    name: str
    present: bool


class Fabric(NamedTuple):
    """The membership of a GPU in the fabric of NVLinks and NVSwitches."""

    state: str
    """``not_started``, ``in_progress``, ``completed`` or ``failed``."""
    cluster_uuid: str | None = None
    clique: int | None = None
    problems: tuple[FabricProblem, ...] = ()


class DeviceDetails(NamedTuple):
    """Detailed state of a GPU."""

    power_watts: float | None = None
    """The mean of one second on Ampere (except GA100) and later, else the current value."""
    power_instant_watts: float | None = None
    module_power_watts: float | None = None
    """Of GPU, Grace CPU and their memory together, if they form one module."""
    module_power_limit_watts: float | None = None
    memory_power_watts: float | None = None
    """Of the GPU memory alone."""
    power_limit_watts: float | None = None
    """The enforced limit, whatever set it."""
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
    """Distance to the temperature at which the GPU slows down."""
    margin_thresholds: tuple[Threshold, ...] = ()
    """The thresholds as values of ``temperature_margin_celsius``."""
    recovery_action: str | None = None
    """The driver's recommendation to recover the GPU; ``none`` if it is healthy."""
    encoder_sessions: Sessions = Sessions()
    capture_sessions: Sessions = Sessions()
    """Sessions that capture the screen (NvFBC)."""
    encoder_utilization_ratio: float | None = None
    decoder_utilization_ratio: float | None = None
    jpeg_utilization_ratio: float | None = None
    ofa_utilization_ratio: float | None = None
    """Of the optical flow accelerator."""
    bar1_used_bytes: int | None = None
    bar1_total_bytes: int | None = None
    """BAR1 is the window through which the host accesses GPU memory."""
    persistence_enabled: bool | None = None
    inforom_corrupted: bool | None = None
    """Whether the checksums of the board's InfoROM are wrong."""
    compute_mode: str | None = None
    """``default``, ``exclusive_thread``, ``prohibited`` or ``exclusive_process``."""
    pcie_generation: int | None = None
    pcie_width: int | None = None
    """Lanes."""
    pcie_generation_max: int | None = None
    """The highest that both GPU and slot support."""
    pcie_width_max: int | None = None
    pcie_replays: int | None = None
    pcie_replay_rollovers: int | None = None
    """How often the link was retrained after four failed replays in a row."""
    pcie_errors: tuple[ErrorCount, ...] = ()


class PcieThroughput(NamedTuple):
    """PCI Express throughput over the driver's last 20 ms, in bytes per second."""

    receive: int | None = None
    transmit: int | None = None


class PipeActivity(NamedTuple):
    """Utilisation of one kind of SM pipe."""

    name: str
    """``tensor``, ``fp64``, ``fp32``, ``fp16`` or ``integer``."""
    ratio: float


class Activity(NamedTuple):
    """Profiling counters (GPM) of a GPU or GPU instance since the previous collection."""

    graphics_ratio: float | None = None
    """Share of time in which work ran on it."""
    sm_ratio: float | None = None
    """Share of the SMs that were busy."""
    sm_occupancy_ratio: float | None = None
    """Resident warps as a share of the maximum."""
    dram_ratio: float | None = None
    """Share of the GPU memory bandwidth that was used."""
    pipes: tuple[PipeActivity, ...] = ()
    pcie_receive_bytes_per_second: float | None = None
    pcie_transmit_bytes_per_second: float | None = None


class LocationErrors(NamedTuple):
    """The number of memory errors at one location, such as ``dram``."""

    severity: str
    scope: str
    location: str
    count: int  # type: ignore[assignment]


class Banks(NamedTuple):
    """The number of memory banks with this availability of spare rows."""

    availability: str
    """``max``, ``high``, ``partial``, ``low`` or ``none``."""
    count: int  # type: ignore[assignment]


class EccErrors(NamedTuple):
    """The number of memory errors that ECC found."""

    severity: str
    """``corrected`` or ``uncorrected``."""
    scope: str
    """``volatile``: since the driver was loaded; ``aggregate``: lifetime of the GPU."""
    count: int  # type: ignore[assignment]


class MemoryHealth(NamedTuple):
    """Memory errors of a GPU, and the memory that was put out of use because of them."""

    ecc_enabled: bool | None = None
    ecc_pending: bool | None = None
    """Whether ECC will be enabled after the next restart."""
    ecc_errors: tuple[EccErrors, ...] = ()
    placed_errors: tuple[LocationErrors, ...] = ()
    """The same errors by memory location."""
    sram_errors: tuple[ErrorCount, ...] = ()
    """Uncorrected errors in the lifetime of the GPU."""
    sram_threshold_exceeded: bool | None = None
    """Whether there are more than the driver tolerates, so that the GPU should be replaced."""
    remapped_rows_corrected: int | None = None
    """Rows remapped because of corrected errors (Ampere and later)."""
    remapped_rows_uncorrected: int | None = None
    remap_pending: bool | None = None
    """Whether a reset is needed to finish a remapping."""
    remap_failed: bool | None = None
    remap_banks: tuple[Banks, ...] = ()
    retired_pages_single_bit: int | None = None
    """Pages retired because of repeated single-bit errors (before Ampere)."""
    retired_pages_double_bit: int | None = None
    retirement_pending: bool | None = None
    """Whether a restart is needed to finish retiring pages."""
    channel_repair_pending: bool | None = None
    """Whether a reset is needed to repair a memory channel."""
    tpc_repair_pending: bool | None = None
    """The same for a texture processing cluster, a group of SMs."""
    unrepairable_memory: bool | None = None


class NvLink(NamedTuple):
    """An NVLink. An inactive one has no values."""

    number: int
    receive_bytes: int | None = None
    transmit_bytes: int | None = None
    errors: tuple[ErrorCount, ...] = ()
    active: bool = True
    bytes_per_second: int | None = None
    """Bandwidth per direction."""


class C2cLink(NamedTuple):
    """An NVLink-C2C between the GPU and the CPU of its module; numbers start at 0."""

    number: int
    active: bool | None = None
    bytes_per_second: int | None = None
    """Bandwidth; None for an inactive link."""
    errors: tuple[ErrorCount, ...] = ()


class XidErrors(NamedTuple):
    """The number of errors with one XID since the monitor started."""

    xid: int
    count: int  # type: ignore[assignment]
    last_seen: float | None = None
    """Unix time in seconds; None if there was none."""


class MigInstance(NamedTuple):
    """A MIG device."""

    number: int
    """Its number on the GPU, from 0, as nvidia-smi shows it."""
    uuid: str | None = None
    profile: str | None = None
    """For example ``1g.10gb``."""
    gpu_instance: int | None = None
    compute_instance: int | None = None
    memory_used_bytes: int | None = None
    """Without the driver's reserve."""
    memory_total_bytes: int | None = None
    activity: Activity = Activity()
    """Counters of its GPU instance, which it may share."""
    bar1_used_bytes: int | None = None
    bar1_total_bytes: int | None = None
    """BAR1 memory; compute instances of one GPU instance share it."""
    placed_errors: tuple[LocationErrors, ...] = ()


class GroupReading(NamedTuple):
    """When a group of values that are not read in each collection was last read."""

    group: str
    """``device_details`` (only those that hardly change), ``memory_health`` or ``nvlink`` (all but the bytes)."""
    timestamp: float
    """Unix time in seconds."""


class Device(NamedTuple):
    """A GPU, as the driver reports it."""

    index: int  # type: ignore[assignment]
    """NVML index. It may change when GPUs are added or lost."""
    uuid: str | None = None
    """Stays the same when the index changes."""
    up: bool | None = None
    """Whether the GPU answers. It does not when it is lost, needs a reset or hangs."""
    name: str | None = None
    temperature_celsius: int | None = None
    utilization_percent: int | None = None
    """Share of the driver's last sample period in which a kernel ran, 0 to 100."""
    memory_used_bytes: int | None = None
    """Without the driver's reserve, as in nvidia-smi."""
    memory_total_bytes: int | None = None
    memory_free_bytes: int | None = None
    memory_reserved_bytes: int | None = None
    """Reserve of driver and firmware; None if the driver is too old to report it separately."""
    shares_host_memory: bool = False
    """Whether it has no memory of its own and uses host memory."""
    memory_bandwidth_ratio: float | None = None
    """Share of the driver's last sample period in which GPU memory was read or written."""
    pci_bus_id: str | None = None
    architecture: str | None = None
    vbios_version: str | None = None
    mig_mode: str | None = None
    """``enabled`` or ``disabled``; None for a GPU without MIG."""
    mig_pending: bool | None = None
    """Whether MIG mode will be on after the next reset."""
    mig_devices: int | None = None
    """The number of its MIG devices; None without MIG mode, or if not all could be listed."""
    processes_listed: bool = False
    """Whether the driver listed all processes, including those on its MIG devices."""
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
    group_readings: tuple[GroupReading, ...] = ()


class DriverVersions(NamedTuple):
    """Versions of the driver."""

    driver: str | None = None
    cuda: str | None = None
    """The newest CUDA version that it supports, such as ``12.8``; None for other vendors."""
    nvml: str | None = None
    """Version of the NVML library; None for other vendors."""
