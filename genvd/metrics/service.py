"""Metrics of the monitor itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.analysis import policy
from genvd.metrics.device import per_part
from genvd.metrics.metric import Metric

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genvd.metrics.samples import Sample
    from genvd.model.snapshot import Snapshot


def _build_info(snapshot: Snapshot) -> Iterator[Sample]:
    service = snapshot.service
    yield (service.version, service.python_version, service.nvml_bindings_version, service.mode), 1


def _unreadable(snapshot: Snapshot) -> Iterator[Sample]:
    if snapshot.processes is not None:
        for reason, number in policy.count_unknown_environments(snapshot).items():
            yield (reason,), number


SERVICE = (
    Metric(
        "genv_monitor_build_info",
        "1, with version and mode of the monitor as labels; mode is live, or demo for a simulated machine.",
        ("version", "python_version", "nvml_bindings_version", "mode"),
        _build_info,
    ),
    Metric(
        "genv_monitor_collector_success",
        "1 when the collector succeeded in the last collection, else 0.",
        ("collector",),
        lambda s: (((c.name,), c.success) for c in s.collectors),
    ),
    Metric(
        "genv_monitor_collector_duration_seconds",
        "Duration of the collector in the last collection, in seconds.",
        ("collector",),
        lambda s: (((c.name,), c.duration_seconds) for c in s.collectors),
    ),
    Metric(
        "genv_monitor_unreadable_processes",
        "GPU processes whose environment is unknown, by reason: no_permission, overwritten (by a title that the program"
        " gave itself), not_visible or unreadable.",
        ("reason",),
        _unreadable,
    ),
    Metric(
        "genv_monitor_last_collection_timestamp_seconds",
        "End of the last collection in Unix time.",
        (),
        lambda s: [((), s.timestamp)],
    ),
    per_part(
        "genv_monitor_device_last_read_timestamp_seconds",
        "Time at which a group of values of the GPU that are not read in each collection was last read, in Unix time;"
        " group is device_details (limits, modes, recovery action, PCI Express errors), memory_health, or nvlink (all"
        " but the bytes). The values are those of that time.",
        ("group",),
        lambda d: (((reading.group,), reading.timestamp) for reading in d.group_readings),
    ),
    Metric(
        "genv_monitor_idle_grace_seconds",
        "Time without work after which an environment is shown as idle instead of in use, in seconds.",
        (),
        lambda s: [((), s.service.idle_grace_seconds)],
    ),
    Metric(
        "genv_monitor_collections_total",
        "Collections since the monitor started.",
        (),
        lambda s: [((), s.service.collections)],
        type="counter",
    ),
    Metric(
        "genv_monitor_collections_skipped_total",
        "Collections skipped because the previous one took too long.",
        (),
        lambda s: [((), s.service.collections_skipped)],
        type="counter",
    ),
    Metric(
        "genv_monitor_config_last_reload_successful",
        "1 when the last reload of the configuration succeeded, else 0; then the previous one is still in use.",
        (),
        lambda s: [((), s.service.config_reload_successful)],
    ),
    Metric(
        "genv_monitor_config_last_reload_success_timestamp_seconds",
        "Time of the last successful reload of the configuration, or of the start, in Unix time.",
        (),
        lambda s: [((), s.service.config_reload_timestamp)],
    ),
    Metric(
        "genv_monitor_publish_success",
        "1 when the Prometheus and Grafana files are published and unchanged, else 0; absent when publishing is off.",
        (),
        lambda s: [((), s.service.publish_success)],
    ),
    Metric(
        "genv_monitor_listening",
        "1 when the monitor serves on the address, 0 when another program occupies it.",
        ("address",),
        lambda s: (((listen.address,), listen.served) for listen in s.service.listening),
    ),
    Metric(
        "genv_monitor_certificate_not_after_timestamp_seconds",
        "Expiry time of the certificate in Unix time; certificate is server (with its chain) or client_ca (those of"
        " client_ca_file). Of several certificates, that of the first to expire.",
        ("certificate",),
        lambda s: (((end.certificate,), end.not_after) for end in s.service.certificate_ends),
    ),
    Metric(
        "genv_monitor_certificate_not_before_timestamp_seconds",
        "Start of validity of the certificate in Unix time. Of several certificates, that of the first to expire.",
        ("certificate",),
        lambda s: (((end.certificate,), end.not_before) for end in s.service.certificate_ends),
    ),
    Metric(
        "genv_monitor_rejected_claims_total",
        "Claims of environments and processes that were rejected as false, each counted once; docs/trust.md explains"
        " the reasons.",
        ("reason",),
        lambda s: (((claims.reason,), claims.total) for claims in s.rejected_claims),
        type="counter",
    ),
)

SERIES_DROPPED = Metric(
    "genv_monitor_series_dropped",
    "Series that are not exported because of the limits; where a sum makes sense, they are summed into a series with"
    " the label value (other).",
    ("kind",),
    lambda s: (),  # computed by SnapshotCollector after all other metrics
)
