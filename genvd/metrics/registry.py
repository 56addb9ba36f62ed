"""The prometheus_client registry with all metrics of the monitor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector

from genvd.metrics import ALL, GROUPS
from genvd.metrics.collector import SnapshotCollector
from genvd.metrics.samples import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.metrics_core import Metric as MetricFamily

    from genvd.common.error_log import ErrorLog
    from genvd.metrics.limits import Limits
    from genvd.metrics.samples import Family
    from genvd.model.snapshot import Snapshot

_PROCESS_METRICS = "metrics of the monitor's own process"


class Registry:
    """Computes the metrics of a Snapshot and of this process."""

    def __init__(self, errors: ErrorLog, limits: Limits, disabled_groups: frozenset[str] = frozenset()) -> None:
        """Create the registry.

        Args:
            errors: logs metrics that fail.
            limits: how many environments, users and processes get their own series.
            disabled_groups: keys of :data:`genvd.metrics.GROUPS` that are switched off.
        """
        self._snapshot_collector = SnapshotCollector(errors)
        self.configure(limits, disabled_groups)
        self._registry = CollectorRegistry()
        self._registry.register(self._snapshot_collector)
        self._registry.register(_GuardedCollector(ProcessCollector(registry=None), errors))

    def configure(self, limits: Limits, disabled_groups: frozenset[str]) -> None:
        """Set what is exported from the next call on. The arguments are those of the constructor."""
        off = {metric.name for name in disabled_groups for metric in GROUPS[name]}
        self._snapshot_collector.table = tuple(metric for metric in ALL if metric.name not in off)
        self._snapshot_collector.limits = limits

    def collect(self, snapshot: Snapshot) -> list[MetricFamily]:
        """Return all metrics."""
        self._snapshot_collector.snapshot = snapshot
        return list(self._registry.collect())

    def collect_snapshot(self, snapshot: Snapshot) -> list[Family]:
        """Return the metrics of the Snapshot only."""
        self._snapshot_collector.snapshot = snapshot
        return list(self._snapshot_collector.collect())


class _GuardedCollector(Collector):
    """Wraps a collector so that its failure affects only its own metrics.

    :class:`ProcessCollector` raises ValueError if a file of /proc has an unexpected format, as without a limit on open
    files.
    """

    def __init__(self, collector: Collector, errors: ErrorLog) -> None:
        self._collector = collector
        self._errors = errors

    def collect(self) -> Iterable[MetricFamily]:
        """Return the metrics of the wrapped collector; none if it fails."""
        try:
            families = list(self._collector.collect())
        except Exception as error:
            self._errors.defect(_PROCESS_METRICS, _PROCESS_METRICS, error, " and are left out")
            return []
        self._errors.clear(_PROCESS_METRICS, f"{_PROCESS_METRICS} are exported again")
        return families
