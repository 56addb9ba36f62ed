"""The registry of prometheus-client with all metrics of the monitor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.registry import Collector

from genvd.metrics import ALL, GROUPS
from genvd.metrics.collector import SnapshotCollector

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.metrics_core import Metric as MetricFamily

    from genvd.common.error_log import ErrorLog
    from genvd.metrics.limits import Limits
    from genvd.metrics.samples import Family
    from genvd.model.snapshot import Snapshot

_OWN_PROCESS = "metrics of the monitor's own process"


class Registry:
    """Gives the metrics of a Snapshot, and those of this process."""

    def __init__(self, errors: ErrorLog, limits: Limits, left_out: frozenset[str] = frozenset()) -> None:
        """Make it.

        Args:
            errors: where metrics that fail are logged.
            limits: how many environments, users and processes have series of their own.
            left_out: those of :data:`genvd.metrics.GROUPS` that are switched off.
        """
        self._of_snapshot = SnapshotCollector(errors)
        self.configure(limits, left_out)
        self._registry = CollectorRegistry()
        self._registry.register(self._of_snapshot)
        self._registry.register(_Guarded(ProcessCollector(registry=None), errors))

    def configure(self, limits: Limits, left_out: frozenset[str]) -> None:
        """Set what the next call exports; the arguments are those of the constructor."""
        off = {metric.name for name in left_out for metric in GROUPS[name]}
        self._of_snapshot.table = tuple(metric for metric in ALL if metric.name not in off)
        self._of_snapshot.limits = limits

    def collect(self, snapshot: Snapshot) -> list[MetricFamily]:
        """Return all metrics."""
        self._of_snapshot.snapshot = snapshot
        return list(self._registry.collect())

    def of_snapshot(self, snapshot: Snapshot) -> list[Family]:
        """Return the metrics of the Snapshot alone."""
        self._of_snapshot.snapshot = snapshot
        return list(self._of_snapshot.collect())


class _Guarded(Collector):
    """Another collector, which costs only its own metrics when it fails.

    :class:`ProcessCollector` raises ValueError where a file of /proc is not as it expects, as without a limit on open
    files.
    """

    def __init__(self, collector: Collector, errors: ErrorLog) -> None:
        self._collector = collector
        self._errors = errors

    def collect(self) -> Iterable[MetricFamily]:
        """Return its metrics; none if it fails."""
        try:
            families = list(self._collector.collect())
        except Exception as error:
            self._errors.defect(_OWN_PROCESS, _OWN_PROCESS, error, " and are left out")
            return []
        self._errors.clear(_OWN_PROCESS, f"{_OWN_PROCESS} are there again")
        return families
