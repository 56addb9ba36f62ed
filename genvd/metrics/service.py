"""Metrics of the monitor itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.analysis import policy
from genvd.metrics.metric import Metric

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genvd.metrics.samples import Sample
    from genvd.model.snapshot import Snapshot


def _unreadable(snapshot: Snapshot) -> Iterator[Sample]:
    if snapshot.processes is not None:
        for reason, number in policy.count_unknown_environments(snapshot).items():
            yield (reason,), number


SERVICE = (
    Metric(
        "genv_monitor_build_info",
        "1, with what is running as labels; mode is live, or demo for a simulated machine.",
        ("version", "python_version", "nvml_bindings_version", "mode"),
        lambda s: [
            (
                (
                    s.service.version,
                    s.service.python_version,
                    s.service.nvml_bindings_version,
                    s.service.mode,
                ),
                1,
            )
        ],
    ),
    Metric(
        "genv_monitor_collector_success",
        "1 when the collector succeeded in the last collection, else 0.",
        ("collector",),
        lambda s: (((c.name,), c.success) for c in s.collectors),
    ),
    Metric(
        "genv_monitor_collector_duration_seconds",
        "How long the collector took in the last collection, in seconds.",
        ("collector",),
        lambda s: (((c.name,), c.duration_seconds) for c in s.collectors),
    ),
    Metric(
        "genv_monitor_unreadable_processes",
        "GPU processes of which it is not known in which environment they run, by reason: no_permission, overwritten"
        " (by a title that the program gave itself), not_visible or unreadable.",
        ("reason",),
        _unreadable,
    ),
    Metric(
        "genv_monitor_last_collection_timestamp_seconds",
        "When the last collection ended, in seconds since the epoch.",
        (),
        lambda s: [((), s.timestamp)],
    ),
    Metric(
        "genv_monitor_idle_grace_seconds",
        "For how many seconds an environment without work is shown as in use, before it is shown as idle.",
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
        "Collections that were left out because the one before took too long.",
        (),
        lambda s: [((), s.service.collections_skipped)],
        type="counter",
    ),
    Metric(
        "genv_monitor_config_last_reload_successful",
        "1 when the configuration could be used when it was last read, else 0; then the one before still holds.",
        (),
        lambda s: [((), s.service.config_reload_successful)],
    ),
    Metric(
        "genv_monitor_config_last_reload_success_timestamp_seconds",
        "When the configuration was last read and could be used, in seconds since the epoch.",
        (),
        lambda s: [((), s.service.config_reload_timestamp)],
    ),
    Metric(
        "genv_monitor_publish_success",
        "1 when the Prometheus and Grafana files are there as they were published, else 0; absent where they are not to"
        " be.",
        (),
        lambda s: [((), s.service.publish_success)],
    ),
    Metric(
        "genv_monitor_listening",
        "1 when the monitor serves on the address, 0 when another program holds it.",
        ("address",),
        lambda s: (((listen.address,), listen.served) for listen in s.service.listening),
    ),
    Metric(
        "genv_monitor_certificate_not_after_timestamp_seconds",
        "When the certificate ends, in seconds since the epoch: server for the one that is served, with its chain, and"
        " client_ca for those of client_ca_file. Of several, the first that ends.",
        ("certificate",),
        lambda s: (((end.certificate,), end.not_after) for end in s.service.certificate_ends),
    ),
    Metric(
        "genv_monitor_certificate_not_before_timestamp_seconds",
        "When the certificate begins to be valid, in seconds since the epoch; of several, the one that ends first.",
        ("certificate",),
        lambda s: (((end.certificate,), end.not_before) for end in s.service.certificate_ends),
    ),
    Metric(
        "genv_monitor_rejected_claims_total",
        "Claims of environments and processes that were found not to hold, each counted when it appears;"
        " docs/trust.md has the reasons.",
        ("reason",),
        lambda s: (((claims.reason,), claims.total) for claims in s.rejected_claims),
        type="counter",
    ),
)

SERIES_DROPPED = Metric(
    "genv_monitor_series_dropped",
    "Series that the limits keep out of this exposition; where a sum makes sense, they are in one whose labels say"
    " (other).",
    ("kind",),
    lambda s: (),  # computed by SnapshotCollector after all other metrics
)
