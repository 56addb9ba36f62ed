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
            f"Number of sessions that {what} on the GPU.",
            lambda d: sessions(d.details).count,
        ),
        per_device(
            f"genv_device_{name}_frames_per_second",
            f"Mean frames per second of the sessions that {what} on the GPU; absent without sessions.",
            lambda d: sessions(d.details).frames_per_second,
        ),
        per_device(
            f"genv_device_{name}_latency_seconds",
            f"Mean latency in seconds of the sessions that {what} on the GPU; absent without sessions.",
            lambda d: sessions(d.details).latency_seconds,
        ),
    )


DETAILS = (
    per_device(
        "genv_device_power_watts",
        "Power draw of the board in watts: a mean of one second on Ampere (except GA100) and later, else current.",
        lambda d: d.details.power_watts,
    ),
    per_device(
        "genv_device_power_instant_watts",
        "Current power draw of the board in watts.",
        lambda d: d.details.power_instant_watts,
    ),
    per_device(
        "genv_device_module_power_watts",
        "Power draw in watts of the module that contains the GPU and a Grace CPU.",
        lambda d: d.details.module_power_watts,
    ),
    per_device(
        "genv_device_module_power_limit_watts",
        "Enforced power limit in watts of the module that contains the GPU and a Grace CPU.",
        lambda d: d.details.module_power_limit_watts,
    ),
    per_device(
        "genv_device_memory_power_watts",
        "Power draw of the GPU memory in watts; absent where the GPU does not measure it separately.",
        lambda d: d.details.memory_power_watts,
    ),
    per_device(
        "genv_device_power_limit_watts",
        "Enforced power limit in watts, whatever set it.",
        lambda d: d.details.power_limit_watts,
    ),
    per_device(
        "genv_device_power_limit_default_watts",
        "Default power limit of the GPU in watts.",
        lambda d: d.details.power_limit_default_watts,
    ),
    per_device(
        "genv_device_power_limit_min_watts",
        "Lowest power limit that can be set, in watts.",
        lambda d: d.details.power_limit_min_watts,
    ),
    per_device(
        "genv_device_power_limit_max_watts",
        "Highest power limit that can be set, in watts.",
        lambda d: d.details.power_limit_max_watts,
    ),
    per_device(
        "genv_device_energy_joules_total",
        "Energy consumption of the GPU since the driver was loaded, in joules.",
        lambda d: d.details.energy_joules,
        "counter",
    ),
    per_part(
        "genv_device_clock_hertz",
        "Current clock frequency in hertz; clock is graphics, sm, memory or video.",
        ("clock",),
        lambda d: (((clock.name,), clock.hertz) for clock in d.details.clocks),
    ),
    per_part(
        "genv_device_clock_max_hertz",
        "Maximum clock frequency in hertz; clock is graphics, sm, memory or video.",
        ("clock",),
        lambda d: (((clock.name,), clock.max_hertz) for clock in d.details.clocks),
    ),
    per_part(
        "genv_device_throttled",
        "1 while the GPU is slowed down for this reason, else 0; only reasons that the GPU can report.",
        ("reason",),
        lambda d: (((t.reason,), t.active) for t in d.details.throttling),
    ),
    per_part(
        "genv_device_throttled_seconds_total",
        "Time for which the GPU was slowed down for this reason, in seconds, as counted by the driver.",
        ("reason",),
        lambda d: (((t.reason,), t.seconds_total) for t in d.details.throttling),
        "counter",
    ),
    per_device(
        "genv_device_performance_state",
        "Performance state of the GPU, from 0 (fastest) to 15.",
        lambda d: d.details.performance_state,
    ),
    per_part(
        "genv_device_fan_speed_ratio",
        "Intended fan speed as a share of full speed; it may be above 1.",
        ("fan",),
        lambda d: (((fan.number,), fan.speed_ratio) for fan in d.details.fans),
    ),
    per_part(
        "genv_device_fan_speed_rpm",
        "Intended fan speed in rotations per minute; a blocked fan does not reach it.",
        ("fan",),
        lambda d: (((fan.number,), fan.rpm) for fan in d.details.fans),
    ),
    per_device(
        "genv_device_memory_temperature_celsius",
        "Temperature of the GPU memory in degrees Celsius.",
        lambda d: d.details.memory_temperature_celsius,
    ),
    per_part(
        "genv_device_temperature_threshold_celsius",
        "Temperature threshold in degrees Celsius: the GPU shuts down (shutdown), slows down (slowdown), or reaches"
        " the maximum operating temperature of its memory (memory_max) or of the GPU itself (gpu_max).",
        ("threshold",),
        lambda d: (((threshold.name,), threshold.celsius) for threshold in d.details.thresholds),
    ),
    per_device(
        "genv_device_temperature_margin_celsius",
        "Distance to the temperature at which the GPU slows down, in degrees Celsius.",
        lambda d: d.details.temperature_margin_celsius,
    ),
    per_part(
        "genv_device_temperature_margin_threshold_celsius",
        "Value of genv_device_temperature_margin_celsius at which the GPU shuts down (shutdown), slows down (slowdown),"
        " or reaches the maximum operating temperature of its memory (memory_max) or of the GPU itself (gpu_max), in"
        " degrees Celsius: 0 or below. Ada and later.",
        ("threshold",),
        lambda d: (((threshold.name,), threshold.celsius) for threshold in d.details.margin_thresholds),
    ),
    per_part(
        "genv_device_recovery_action",
        "1, with the driver's recommendation to recover the GPU as action: none, gpu_reset,"
        " node_reboot, drain_p2p, drain_and_reset, recover_imex_domain, bus_reset or system_reboot.",
        ("action",),
        lambda d: [((d.details.recovery_action,), 1)] if d.details.recovery_action else [],
    ),
    *_session_metrics(lambda details: details.encoder_sessions, "encoder", "encode video"),
    *_session_metrics(lambda details: details.capture_sessions, "capture", "capture the screen (NvFBC)"),
    per_device(
        "genv_device_encoder_utilization_ratio",
        "Share of time in which the video encoder was busy, 0 to 1.",
        lambda d: d.details.encoder_utilization_ratio,
    ),
    per_device(
        "genv_device_decoder_utilization_ratio",
        "Share of time in which the video decoder was busy, 0 to 1.",
        lambda d: d.details.decoder_utilization_ratio,
    ),
    per_device(
        "genv_device_jpeg_utilization_ratio",
        "Share of time in which the JPEG engine was busy, 0 to 1.",
        lambda d: d.details.jpeg_utilization_ratio,
    ),
    per_device(
        "genv_device_ofa_utilization_ratio",
        "Share of time in which the optical flow accelerator was busy, 0 to 1.",
        lambda d: d.details.ofa_utilization_ratio,
    ),
    per_device(
        "genv_device_bar1_memory_used_bytes",
        "BAR1 memory in use, in bytes. Through BAR1 the host accesses GPU memory.",
        lambda d: d.details.bar1_used_bytes,
    ),
    per_device(
        "genv_device_bar1_memory_total_bytes",
        "BAR1 memory in bytes. Through BAR1 the host accesses GPU memory.",
        lambda d: d.details.bar1_total_bytes,
    ),
    per_device(
        "genv_device_persistence_mode",
        "1 when persistence mode is on (the driver stays initialised while no program uses the GPU), else 0.",
        lambda d: d.details.persistence_enabled,
    ),
    per_device(
        "genv_device_corrupted_inforom",
        "1 when the checksums of the board's InfoROM are wrong, else 0; checked every ten minutes.",
        lambda d: d.details.inforom_corrupted,
    ),
    per_part(
        "genv_device_compute_mode",
        "1, with the compute mode as mode: default, exclusive_process, exclusive_thread or prohibited.",
        ("mode",),
        lambda d: [((d.details.compute_mode,), 1)] if d.details.compute_mode else [],
    ),
    per_device(
        "genv_device_pcie_link_generation",
        "Current PCI Express generation of the link; an idle GPU lowers it.",
        lambda d: d.details.pcie_generation,
    ),
    per_device(
        "genv_device_pcie_link_width",
        "Current number of PCI Express lanes of the link.",
        lambda d: d.details.pcie_width,
    ),
    per_device(
        "genv_device_pcie_link_generation_max",
        "Highest PCI Express generation that both GPU and slot support.",
        lambda d: d.details.pcie_generation_max,
    ),
    per_device(
        "genv_device_pcie_link_width_max",
        "Largest number of PCI Express lanes that both GPU and slot support.",
        lambda d: d.details.pcie_width_max,
    ),
    per_device(
        "genv_device_pcie_replays_total",
        "PCI Express replays: packets that were sent again.",
        lambda d: d.details.pcie_replays,
        "counter",
    ),
    per_device(
        "genv_device_pcie_replay_rollovers_total",
        "PCI Express replay rollovers: replays failed repeatedly, so the link was retrained.",
        lambda d: d.details.pcie_replay_rollovers,
        "counter",
    ),
    per_part(
        "genv_device_pcie_errors_total",
        "PCI Express errors by kind: fatal, non_fatal, correctable, and among these lcrc, bad_tlp, bad_dllp, receiver,"
        " lane, naks_sent, naks_received, unsupported_request; l0_to_recovery: the link was retrained.",
        ("kind",),
        lambda d: (((e.kind,), e.count) for e in d.details.pcie_errors),
        "counter",
    ),
)
"""The group ``device_details``."""

XID = (
    per_part(
        "genv_device_xid_errors_total",
        "XID errors of the GPU since the monitor started; common XIDs have a series with 0 from the start.",
        ("xid",),
        lambda d: (((x.xid,), x.count) for x in d.xids),
        "counter",
    ),
    per_part(
        "genv_device_xid_last_seen_timestamp_seconds",
        "Time of the last XID error, in Unix time; absent if there was none since the monitor started.",
        ("xid",),
        lambda d: (((x.xid,), x.last_seen) for x in d.xids),
    ),
)
"""The group ``xid``."""

PCIE_THROUGHPUT = (
    per_device(
        "genv_device_pcie_receive_bytes_per_second",
        "Bytes per second received by the GPU over PCI Express, measured for 20 ms since the previous collection.",
        lambda d: d.pcie_throughput.receive,
    ),
    per_device(
        "genv_device_pcie_transmit_bytes_per_second",
        "Bytes per second sent by the GPU over PCI Express, measured for 20 ms since the previous collection.",
        lambda d: d.pcie_throughput.transmit,
    ),
)
"""The group ``pcie_throughput``."""
