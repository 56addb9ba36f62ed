"""The prometheus_client collector that computes the metrics of a Snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from genvd.metrics import ALL
from genvd.metrics.limits import SeriesLimiter
from genvd.metrics.samples import Collector, Family
from genvd.metrics.service import SERIES_DROPPED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genvd.common.error_log import ErrorLog
    from genvd.metrics.limits import Limits
    from genvd.metrics.metric import Metric
    from genvd.metrics.samples import Value
    from genvd.model.snapshot import Snapshot


class SnapshotCollector(Collector):
    """Computes the metrics of a table from a Snapshot.

    A metric with the same values as in the previous Snapshot is the same object again, so
    :mod:`genvd.metrics.exposition` can reuse its text.
    """

    def __init__(self, errors: ErrorLog, table: Iterable[Metric] = ALL, limits: Limits | None = None) -> None:
        """Create a collector without a Snapshot.

        Args:
            errors: logs metrics that fail.
            table: the metrics.
            limits: how many environments, users and processes get their own series; None for all.
        """
        self.snapshot: Snapshot | None = None
        """The input of :meth:`collect`."""
        self.table = table
        self.limits = limits
        self._errors = errors
        self._families: dict[str, Family] = {}

    def collect(self) -> Iterator[Family]:
        """Return the metrics that have samples. A metric that fails is left out."""
        if self.snapshot is None:
            return
        limiter = None if self.limits is None else SeriesLimiter(self.snapshot, self.limits)
        previous, self._families = self._families, {}
        for metric in self.table:
            values = self._values(metric, self.snapshot, limiter)
            if values:
                yield self._family(metric, values, previous)
        if limiter is not None:
            yield self._family(SERIES_DROPPED, {(kind,): number for kind, number in limiter.dropped.items()}, previous)

    def _values(
        self, metric: Metric, snapshot: Snapshot, limiter: SeriesLimiter | None
    ) -> Mapping[tuple[object, ...], Value]:
        try:
            values = metric.values(snapshot, limiter)
        except Exception as error:  # a bug in one metric must not fail the scrape
            self._errors.defect(metric.name, f"metric {metric.name}:", error, " and is left out")
            return {}
        if metric.name in self._errors.active:
            self._errors.clear(metric.name, f"metric {metric.name}: works again")
        return values

    def _family(
        self, metric: Metric, values: Mapping[tuple[object, ...], Value], previous: Mapping[str, Family]
    ) -> Family:
        family = previous.get(metric.name)
        if family is None or family.values != values:
            family = Family(metric.name, metric.help, metric.type, metric.labels, values)
        self._families[metric.name] = family
        return family
