"""Makes the simulated GPUs: from the load of a GPU, its power, clocks, links, memory health and MIG devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genvd.collectors.base import GroupPeriods
from genvd.model.device import (
    Activity,
    Banks,
    Board,
    C2cLink,
    Clock,
    Device,
    DeviceDetails,
    EccErrors,
    ErrorCount,
    Fabric,
    FabricProblem,
    Fan,
    GroupReading,
    LocationErrors,
    MemoryHealth,
    MigInstance,
    NvLink,
    PcieThroughput,
    PipeActivity,
    Sessions,
    Threshold,
    Throttling,
    XidErrors,
)
from genvd.model.facts import EngineShares, MigInstanceId

if TYPE_CHECKING:
    import random

    from genvd.collectors.base import DeviceGroups

DEVICE_MEMORY = 80 * 2**30
RESERVED_MEMORY = 600 * 2**20

MANY_DEVICES = 8
"""From this number on, the last GPU of a machine is in MIG mode, and the second is an older model."""
_OLD_DEVICE, _DEVICE_WITH_XID = 1, 2

_IDLE_WATTS, _BUSY_WATTS, _LIMIT_WATTS = 70.0, 690.0, 650.0
_CPU_WATTS, _MODULE_LIMIT_WATTS = 85.0, 1000.0
_MEMORY_POWER_SHARE = 0.2
"""Share of the GPU's power."""
_MHZ = 1_000_000
_CLOCKS = {"graphics": (345, 1980), "sm": (345, 1980), "memory": (1593, 2619), "video": (345, 1545)}
"""Idle and highest, in MHz."""
_THROTTLE_REASONS = ("power_cap", "hw_slowdown", "hw_thermal", "hw_power_brake", "sw_thermal", "sync_boost")
_MAX_CELSIUS, _SLOWDOWN_CELSIUS = 87, 89
_MARGINS = {"shutdown": -5, "slowdown": -2, "memory_max": 0, "gpu_max": 0}
_NVLINKS = 4
_C2C_LINKS, _C2C_BANDWIDTH = 2, 44_712_000_000
_NVLINK_TRAFFIC = 9e9
_XIDS = (13, 31, 43, 48, 63, 64, 74, 79, 94, 95, 119)
_JOB_XIDS = (13, 31)
_XID_PROBABILITY, _ECC_PROBABILITY = 0.002, 0.004
_NVLINK_BANDWIDTH = 26_562_000_000
_CLUSTER = "00000000-0000-0000-0000-000000000000"
_FABRIC_PROBLEMS = ("degraded_bandwidth", "route_unhealthy")
_PIPES = {"tensor": 0.45, "fp64": 0.0, "fp32": 0.08, "fp16": 0.02, "integer": 0.12}
"""Activity of the pipes on a fully loaded GPU."""
_MIG_PROFILES = ("3g.40gb", "4g.40gb")


@dataclass(frozen=True, slots=True)
class Counters:
    """The counters of a GPU."""

    joules: float = 0.0
    link_bytes: float = 0.0
    throttled_seconds: float = 0.0
    ecc_corrected: int = 0
    xids: tuple[XidErrors, ...] = tuple(XidErrors(xid, 0) for xid in _XIDS)

    def advance(self, load: float, seconds: float, moment: float, random_source: random.Random) -> Counters:
        """Return the counters after ``seconds`` under a load from 0 to 1; ``moment`` is the Unix time then."""
        xids = self.xids
        if random_source.random() < _XID_PROBABILITY * load:
            code = random_source.choice(_JOB_XIDS)
            xids = tuple(XidErrors(x.xid, x.count + 1, moment) if x.xid == code else x for x in xids)
        return Counters(
            joules=self.joules + watts(load) * seconds,
            link_bytes=self.link_bytes + _NVLINK_TRAFFIC * load * seconds,
            throttled_seconds=self.throttled_seconds + (seconds if _is_power_capped(load) else 0.0),
            ecc_corrected=self.ecc_corrected + (random_source.random() < _ECC_PROBABILITY * (0.2 + load)),
            xids=xids,
        )


def watts(load: float) -> float:
    """Return the power that a GPU draws under a load from 0 to 1."""
    return min(_LIMIT_WATTS, _IDLE_WATTS + (_BUSY_WATTS - _IDLE_WATTS) * load)


def mig_place(index: int, devices: int) -> MigInstanceId | None:
    """Return the MIG device in which all processes of a GPU run; None if it has none."""
    return MigInstanceId(1, 0) if has_mig(index, devices) else None


def has_mig(index: int, devices: int) -> bool:
    """Return whether the GPU is in MIG mode."""
    return devices >= MANY_DEVICES and index == devices - 1


def is_older_model(index: int, devices: int) -> bool:
    """Return whether the GPU is an older model."""
    return devices >= MANY_DEVICES and index == _OLD_DEVICE


def initial_counters(index: int, devices: int, moment: float) -> Counters:
    """Return the counters of a GPU before the first tick; ``moment`` is the Unix time then."""
    if devices < MANY_DEVICES or index != _DEVICE_WITH_XID:
        return Counters()
    code = _JOB_XIDS[-1]
    return Counters(xids=tuple(XidErrors(xid, 1, moment) if xid == code else XidErrors(xid, 0) for xid in _XIDS))


def make_device(
    index: int, load: float, celsius: float, used: int, counters: Counters, mig: bool, older_model: bool = False
) -> Device:
    """Return a GPU with all its values."""
    device = _current_model(index, load, celsius, used, counters, mig)
    return _as_older_model(device, load) if older_model else device


def _as_older_model(device: Device, load: float) -> Device:
    """Return the GPU as an older model: with fans, video sessions and retired pages, without MIG and JPEG."""
    return device._replace(
        name="Simulated older GPU 80GB",
        architecture="Volta",
        vbios_version="88.00.00.00.01",
        mig_mode=None,
        mig_pending=None,
        c2c_links=(),
        board=device.board._replace(compute_capability="7.0", gsp_firmware_version=None),
        activity=Activity(),
        fabric=None,
        details=device.details._replace(
            module_power_watts=None,
            module_power_limit_watts=None,
            memory_power_watts=None,
            temperature_margin_celsius=None,
            margin_thresholds=(),
            recovery_action=None,
            fans=(Fan(0, round(0.3 + 0.6 * load, 2), round(1200 + 2400 * load)),),
            encoder_sessions=Sessions(2, 30, 0.004),
            capture_sessions=Sessions(1, 60, 0.002),
            encoder_utilization_ratio=0.06,
            jpeg_utilization_ratio=None,
            ofa_utilization_ratio=None,
        ),
        health=MemoryHealth(
            ecc_enabled=device.health.ecc_enabled,
            ecc_errors=device.health.ecc_errors,
            ecc_pending=device.health.ecc_pending,
            retired_pages_single_bit=2,
            retired_pages_double_bit=0,
            retirement_pending=False,
        ),
    )


def _current_model(index: int, load: float, celsius: float, used: int, counters: Counters, mig: bool) -> Device:
    percent = round(100 * load)
    return Device(
        index=index,
        uuid=f"GPU-00000000-0000-0000-0000-{index:012x}",
        up=True,
        name="Simulated GPU 80GB",
        temperature_celsius=round(celsius),
        utilization_percent=None if mig else percent,
        memory_used_bytes=used,
        memory_total_bytes=DEVICE_MEMORY,
        memory_free_bytes=DEVICE_MEMORY - RESERVED_MEMORY - used,
        memory_reserved_bytes=RESERVED_MEMORY,
        memory_bandwidth_ratio=None if mig else round(0.6 * load, 2),
        pci_bus_id=f"00000000:{index // 256:02X}:{index % 256:02X}.0",
        architecture="Hopper",
        vbios_version="96.00.00.00.01",
        mig_mode="enabled" if mig else "disabled",
        mig_pending=mig,
        mig_devices=len(_MIG_PROFILES) if mig else None,
        processes_listed=True,
        board=Board(
            serial=f"1320000{index:06d}",
            part_number="900-00000-0000-000",
            minor_number=index,
            compute_capability="9.0",
            pci_device_id="000010DE",
            pci_subsystem_id="000010DE",
            inforom_version="G500.0000.00.01",
            gsp_firmware_version="570.86.15",
        ),
        details=_details(load, celsius, counters, mig),
        activity=Activity() if mig else _activity(load),
        pcie_throughput=PcieThroughput(receive=int(4e9 * load), transmit=int(1e9 * load)),
        health=MemoryHealth(
            ecc_enabled=True,
            ecc_errors=tuple(
                EccErrors(severity, scope, counters.ecc_corrected if severity == "corrected" else 0)
                for severity in ("corrected", "uncorrected")
                for scope in ("volatile", "aggregate")
            ),
            ecc_pending=True,
            placed_errors=tuple(
                LocationErrors(
                    severity,
                    scope,
                    location,
                    counters.ecc_corrected if (severity, location) == ("corrected", "dram") else 0,
                )
                for severity in ("corrected", "uncorrected")
                for scope in ("volatile", "aggregate")
                for location in ("dram", "sram")
            ),
            sram_errors=tuple(ErrorCount(s, 0) for s in ("l2", "sm", "pcie", "microcontroller", "other")),
            sram_threshold_exceeded=False,
            remapped_rows_corrected=0,
            remapped_rows_uncorrected=0,
            remap_pending=False,
            remap_failed=False,
            channel_repair_pending=False,
            tpc_repair_pending=False,
            unrepairable_memory=False,
            remap_banks=tuple(
                Banks(availability, 1280 if availability == "max" else 0)
                for availability in ("max", "high", "partial", "low", "none")
            ),
        ),
        fabric=None
        if mig
        else Fabric("completed", _CLUSTER, 0, tuple(FabricProblem(p, False) for p in _FABRIC_PROBLEMS)),
        nvlinks=() if mig else tuple(_nvlink(number, counters) for number in range(_NVLINKS)),
        c2c_links=tuple(_c2c_link(number) for number in range(_C2C_LINKS)),
        xids=counters.xids,
        mig_instances=tuple(_mig_instance(index, number, used, load) for number in range(len(_MIG_PROFILES)))
        if mig
        else (),
    )


def engine_shares(share: float | None) -> EngineShares:
    """Return the shares of memory and video engines of a process with this share of the SM time."""
    return EngineShares() if share is None else EngineShares(round(0.6 * share, 2), 0.0, round(0.05 * share, 2))


def without_disabled_groups(device: Device, groups: DeviceGroups, moment: float) -> Device:
    """Return the GPU without the values of disabled groups; the others were all read at this Unix time."""
    return device._replace(
        details=device.details if groups.device_details else DeviceDetails(),
        health=device.health if groups.memory_health else MemoryHealth(),
        nvlinks=device.nvlinks if groups.nvlink else (),
        c2c_links=device.c2c_links if groups.nvlink else (),
        fabric=device.fabric if groups.nvlink else None,
        activity=device.activity if groups.gpm else Activity(),
        mig_instances=tuple(
            instance if groups.gpm else instance._replace(activity=Activity())
            for instance in device.mig_instances
            if groups.mig
        ),
        xids=device.xids if groups.xid else (),
        pcie_throughput=device.pcie_throughput if groups.pcie_throughput else PcieThroughput(),
        group_readings=tuple(GroupReading(name, moment) for name in GroupPeriods._fields if getattr(groups, name)),
    )


def _is_power_capped(load: float) -> bool:
    return _IDLE_WATTS + (_BUSY_WATTS - _IDLE_WATTS) * load > _LIMIT_WATTS


def _details(load: float, celsius: float, counters: Counters, mig: bool) -> DeviceDetails:
    speed = 0.92 if _is_power_capped(load) else 1.0
    return DeviceDetails(
        power_watts=round(watts(load), 3),
        power_instant_watts=round(watts(load), 3),
        module_power_watts=round(watts(load) + _CPU_WATTS, 3),
        module_power_limit_watts=_MODULE_LIMIT_WATTS,
        memory_power_watts=round(_MEMORY_POWER_SHARE * watts(load), 3),
        power_limit_watts=_LIMIT_WATTS,
        power_limit_default_watts=700.0,
        power_limit_min_watts=200.0,
        power_limit_max_watts=700.0,
        energy_joules=round(counters.joules, 3),
        clocks=tuple(
            Clock(name, int(idle + (highest - idle) * speed if load > 0.02 else idle) * _MHZ, highest * _MHZ)
            for name, (idle, highest) in _CLOCKS.items()
        ),
        throttling=tuple(
            # No simulated GPU gets hot enough for another reason.
            Throttling(reason, _is_power_capped(load), counters.throttled_seconds)
            if reason == "power_cap"
            else Throttling(reason, False, 0.0)
            for reason in _THROTTLE_REASONS
        ),
        performance_state=0,
        memory_temperature_celsius=round(celsius + 6),
        thresholds=(
            Threshold("shutdown", 92),
            Threshold("slowdown", _SLOWDOWN_CELSIUS),
            Threshold("gpu_max", _MAX_CELSIUS),
            Threshold("memory_max", 95),
        ),
        temperature_margin_celsius=round(_MAX_CELSIUS - celsius),
        margin_thresholds=tuple(Threshold(name, margin) for name, margin in _MARGINS.items()),
        recovery_action="none",
        encoder_sessions=Sessions(0),
        capture_sessions=Sessions(0),
        encoder_utilization_ratio=None if mig else 0.0,
        decoder_utilization_ratio=None if mig else round(0.05 * load, 2),
        jpeg_utilization_ratio=None if mig else 0.0,
        ofa_utilization_ratio=None if mig else 0.0,
        bar1_used_bytes=2**20,
        bar1_total_bytes=128 * 2**30,
        persistence_enabled=True,
        inforom_corrupted=False,
        compute_mode="default",
        pcie_generation=5 if load > 0.02 else 1,
        pcie_width=16,
        pcie_generation_max=5,
        pcie_width_max=16,
        pcie_replays=0,
        pcie_replay_rollovers=0,
        pcie_errors=tuple(ErrorCount(kind, 0) for kind in ("correctable", "non_fatal", "fatal")),
    )


def _nvlink(number: int, counters: Counters) -> NvLink:
    errors = tuple(ErrorCount(kind, 0) for kind in ("replay", "recovery", "crc"))
    receive, transmit = int(counters.link_bytes * (1 + number / 100)), int(counters.link_bytes)
    return NvLink(number, receive, transmit, errors, bytes_per_second=_NVLINK_BANDWIDTH)


def _c2c_link(number: int) -> C2cLink:
    errors = tuple(ErrorCount(kind, 0) for kind in ("crc", "replay", "replay_back_to_back"))
    return C2cLink(number, active=True, bytes_per_second=_C2C_BANDWIDTH, errors=errors)


def _activity(load: float) -> Activity:
    return Activity(
        graphics_ratio=round(load, 3),
        sm_ratio=round(0.85 * load, 3),
        sm_occupancy_ratio=round(0.3 * load, 3),
        dram_ratio=round(0.4 * load, 3),
        pipes=tuple(PipeActivity(name, round(share * load, 3)) for name, share in _PIPES.items()),
        pcie_receive_bytes_per_second=round(4e9 * load),
        pcie_transmit_bytes_per_second=round(1e9 * load),
    )


def _mig_instance(index: int, number: int, used: int, load: float) -> MigInstance:
    total = DEVICE_MEMORY // 2 - RESERVED_MEMORY // 2
    own = min(used, total) if number == 0 else max(0, used - total)
    return MigInstance(
        number=number,
        uuid=f"MIG-00000000-0000-0000-{number:04x}-{index:012x}",
        profile=_MIG_PROFILES[number],
        gpu_instance=number + 1,
        compute_instance=0,
        memory_used_bytes=own,
        memory_total_bytes=total,
        activity=_activity(load if own else 0.0),
        bar1_used_bytes=2**20,
        bar1_total_bytes=64 * 2**30,
        placed_errors=(LocationErrors("uncorrected", "volatile", "sram", 0),),
    )
