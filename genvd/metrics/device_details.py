"""Detailed metrics of each GPU: power, clocks, fans, video engines, PCI Express, XID errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.metrics.device import per_device, per_part

if TYPE_CHECKING:
    from collections.abc import Callable

    from genvd.metrics.metric import Metric
    from genvd.model.device import DeviceDetails, Sessions


def _session_metrics(sessions: Callable[[DeviceDetails], Sessions], name: str, what: str) -> tuple[Metric, ...]:
    """Return the metrics of the sessions of a video engine."""
    return (
        per_device(
            f"genv_device_{name}_sessions",
            f"Sessions that {what} on the device.",
            lambda d: sessions(d.details).count,
        ),
        per_device(
            f"genv_device_{name}_frames_per_second",
            f"Frames per second, in the mean, of the sessions that {what} on the device; absent where there are none.",
            lambda d: sessions(d.details).frames_per_second,
        ),
        per_device(
            f"genv_device_{name}_latency_seconds",
            f"Latency in seconds, in the mean, of the sessions that {what} on the device; absent where there are none.",
            lambda d: sessions(d.details).latency_seconds,
        ),
    )


DETAILS = (
    per_device(
        "genv_device_power_watts",
        "Power that the board draws in watts: the mean of a second on Ampere (but GA100) and later, else just now.",
        lambda d: d.details.power_watts,
    ),
    per_device(
        "genv_device_power_instant_watts",
        "Power that the board draws just now in watts.",
        lambda d: d.details.power_instant_watts,
    ),
    per_device(
        "genv_device_module_power_watts",
        "Power in watts that the module draws of which the device is a part, with its Grace CPU.",
        lambda d: d.details.module_power_watts,
    ),
    per_device(
        "genv_device_module_power_limit_watts",
        "Power limit that is enforced just now in watts on the module of which the device is a part, with its Grace"
        " CPU.",
        lambda d: d.details.module_power_limit_watts,
    ),
    per_device(
        "genv_device_memory_power_watts",
        "Power in watts that the device memory draws, where the device measures it by itself.",
        lambda d: d.details.memory_power_watts,
    ),
    per_device(
        "genv_device_power_limit_watts",
        "Power limit that is enforced just now in watts, whoever set it.",
        lambda d: d.details.power_limit_watts,
    ),
    per_device(
        "genv_device_power_limit_default_watts",
        "Power limit with which the device starts in watts.",
        lambda d: d.details.power_limit_default_watts,
    ),
    per_device(
        "genv_device_power_limit_min_watts",
        "Lowest power limit that can be set in watts.",
        lambda d: d.details.power_limit_min_watts,
    ),
    per_device(
        "genv_device_power_limit_max_watts",
        "Highest power limit that can be set in watts.",
        lambda d: d.details.power_limit_max_watts,
    ),
    per_device(
        "genv_device_energy_joules_total",
        "Energy that the device has taken since the driver was loaded in joules.",
        lambda d: d.details.energy_joules,
        "counter",
    ),
    per_part(
        "genv_device_clock_hertz",
        "Frequency of the clock in hertz: graphics, sm, memory or video.",
        ("clock",),
        lambda d: (((clock.name,), clock.hertz) for clock in d.details.clocks),
    ),
    per_part(
        "genv_device_clock_max_hertz",
        "Highest frequency of the clock in hertz: graphics, sm, memory or video.",
        ("clock",),
        lambda d: (((clock.name,), clock.max_hertz) for clock in d.details.clocks),
    ),
    per_part(
        "genv_device_throttled",
        "1 while the device runs slower than it could for this reason, else 0; only reasons that it can report.",
        ("reason",),
        lambda d: (((t.reason,), t.active) for t in d.details.throttling),
    ),
    per_part(
        "genv_device_throttled_seconds_total",
        "How long the device has run slower than it could for this reason in seconds, as the driver counts.",
        ("reason",),
        lambda d: (((t.reason,), t.seconds_total) for t in d.details.throttling),
        "counter",
    ),
    per_device(
        "genv_device_performance_state",
        "Performance state of the device: 0, the fastest, to 15.",
        lambda d: d.details.performance_state,
    ),
    per_part(
        "genv_device_fan_speed_ratio",
        "Speed that the fan is meant to have as a share of its full speed; it may be above 1.",
        ("fan",),
        lambda d: (((fan.number,), fan.speed_ratio) for fan in d.details.fans),
    ),
    per_part(
        "genv_device_fan_speed_rpm",
        "Rotations per minute that the fan is meant to have; one that is blocked does not have them.",
        ("fan",),
        lambda d: (((fan.number,), fan.rpm) for fan in d.details.fans),
    ),
    per_device(
        "genv_device_memory_temperature_celsius",
        "Temperature of the device memory in degrees Celsius.",
        lambda d: d.details.memory_temperature_celsius,
    ),
    per_part(
        "genv_device_temperature_threshold_celsius",
        "Temperature in degrees Celsius at which the device shuts down (shutdown) or slows down (slowdown), and the"
        " highest that its memory (memory_max) and the GPU (gpu_max) should have in operation.",
        ("threshold",),
        lambda d: (((threshold.name,), threshold.celsius) for threshold in d.details.thresholds),
    ),
    per_device(
        "genv_device_temperature_margin_celsius",
        "How far the device is below the temperature at which it slows down, in degrees Celsius.",
        lambda d: d.details.temperature_margin_celsius,
    ),
    per_part(
        "genv_device_temperature_margin_threshold_celsius",
        "What genv_device_temperature_margin_celsius is when the device shuts down (shutdown), slows down (slowdown),"
        " or when its memory (memory_max) or the GPU (gpu_max) has the highest temperature for operation, in degrees"
        " Celsius: 0 or below. Ada and later.",
        ("threshold",),
        lambda d: (((threshold.name,), threshold.celsius) for threshold in d.details.margin_thresholds),
    ),
    per_part(
        "genv_device_recovery_action",
        "1, with what the driver recommends to bring the device back into order as action: none, gpu_reset,"
        " node_reboot, drain_p2p, drain_and_reset, recover_imex_domain, bus_reset or system_reboot.",
        ("action",),
        lambda d: [((d.details.recovery_action,), 1)] if d.details.recovery_action else [],
    ),
    *_session_metrics(lambda details: details.encoder_sessions, "encoder", "encode video"),
    *_session_metrics(lambda details: details.capture_sessions, "capture", "capture what is drawn (NvFBC)"),
    per_device(
        "genv_device_encoder_utilization_ratio",
        "Share of time in which the video encoder worked, 0 to 1.",
        lambda d: d.details.encoder_utilization_ratio,
    ),
    per_device(
        "genv_device_decoder_utilization_ratio",
        "Share of time in which the video decoder worked, 0 to 1.",
        lambda d: d.details.decoder_utilization_ratio,
    ),
    per_device(
        "genv_device_jpeg_utilization_ratio",
        "Share of time in which the JPEG engine worked, 0 to 1.",
        lambda d: d.details.jpeg_utilization_ratio,
    ),
    per_device(
        "genv_device_ofa_utilization_ratio",
        "Share of time in which the optical flow accelerator worked, 0 to 1.",
        lambda d: d.details.ofa_utilization_ratio,
    ),
    per_device(
        "genv_device_bar1_memory_used_bytes",
        "Memory in use of the window through which the host reaches device memory in bytes.",
        lambda d: d.details.bar1_used_bytes,
    ),
    per_device(
        "genv_device_bar1_memory_total_bytes",
        "Size of the window through which the host reaches device memory in bytes.",
        lambda d: d.details.bar1_total_bytes,
    ),
    per_device(
        "genv_device_persistence_mode",
        "1 when the driver stays loaded while nobody uses the device, else 0.",
        lambda d: d.details.persistence_enabled,
    ),
    per_device(
        "genv_device_corrupted_inforom",
        "1 when the checksums of the board's InfoROM are wrong, 0 when they are right; checked every ten minutes.",
        lambda d: d.details.inforom_corrupted,
    ),
    per_part(
        "genv_device_compute_mode",
        "1, with who may compute as mode: default, exclusive_process, exclusive_thread or prohibited.",
        ("mode",),
        lambda d: [((d.details.compute_mode,), 1)] if d.details.compute_mode else [],
    ),
    per_device(
        "genv_device_pcie_link_generation",
        "Generation of PCI Express with which the link runs just now; an idle device goes down with it.",
        lambda d: d.details.pcie_generation,
    ),
    per_device(
        "genv_device_pcie_link_width",
        "Lanes with which the PCI Express link runs just now.",
        lambda d: d.details.pcie_width,
    ),
    per_device(
        "genv_device_pcie_link_generation_max",
        "Highest generation of PCI Express that device and slot allow.",
        lambda d: d.details.pcie_generation_max,
    ),
    per_device(
        "genv_device_pcie_link_width_max",
        "Most lanes of the PCI Express link that device and slot allow.",
        lambda d: d.details.pcie_width_max,
    ),
    per_device(
        "genv_device_pcie_replays_total",
        "Packets that were sent over PCI Express again.",
        lambda d: d.details.pcie_replays,
        "counter",
    ),
    per_device(
        "genv_device_pcie_replay_rollovers_total",
        "How often a packet was sent over PCI Express again in vain, so that the link was trained again.",
        lambda d: d.details.pcie_replay_rollovers,
        "counter",
    ),
    per_part(
        "genv_device_pcie_errors_total",
        "Errors of PCI Express by kind: fatal, non_fatal, correctable, and of these lcrc, bad_tlp, bad_dllp, receiver,"
        " lane, naks_sent, naks_received, unsupported_request; l0_to_recovery: the link was trained anew.",
        ("kind",),
        lambda d: (((e.kind,), e.count) for e in d.details.pcie_errors),
        "counter",
    ),
)
"""The group ``device_details``."""

XID = (
    per_part(
        "genv_device_xid_errors_total",
        "XID errors of the device since the monitor started; the common ones are counted from 0.",
        ("xid",),
        lambda d: (((x.xid,), x.count) for x in d.xids),
        "counter",
    ),
    per_part(
        "genv_device_xid_last_seen_timestamp_seconds",
        "When the XID error last occurred, in seconds since the epoch; absent if it has not since the monitor started.",
        ("xid",),
        lambda d: (((x.xid,), x.last_seen) for x in d.xids),
    ),
)
"""The group ``xid``."""

PCIE_THROUGHPUT = (
    per_device(
        "genv_device_pcie_receive_bytes_per_second",
        "Bytes per second that the device received over PCI Express, in 20 ms since the collection before.",
        lambda d: d.pcie_throughput.receive,
    ),
    per_device(
        "genv_device_pcie_transmit_bytes_per_second",
        "Bytes per second that the device sent over PCI Express, in 20 ms since the collection before.",
        lambda d: d.pcie_throughput.transmit,
    ),
)
"""The group ``pcie_throughput``."""
