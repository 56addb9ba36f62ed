"""Gives prometheus-client the metrics of a Snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client.registry import Collector

from genvd.metrics import ALL
from genvd.metrics.limits import Caps
from genvd.metrics.samples import Family
from genvd.metrics.service import SERIES_DROPPED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genvd.common.error_log import ErrorLog
    from genvd.metrics.limits import Limits
    from genvd.metrics.metric import Metric
    from genvd.metrics.samples import Value
    from genvd.model.snapshot import Snapshot


class SnapshotCollector(Collector):
    """Reads the rows of a table from a Snapshot.

    A metric whose values are those of the Snapshot before is the same object as before, by which its kept text is found
    (:mod:`genvd.metrics.exposition`).
    """

    def __init__(self, errors: ErrorLog, table: Iterable[Metric] = ALL, limits: Limits | None = None) -> None:
        """Make one that has no Snapshot yet.

        Args:
            errors: where rows that fail are logged.
            table: the rows.
            limits: how many environments, users and processes have series of their own; None for all.
        """
        self.snapshot: Snapshot | None = None
        """What :meth:`collect` reads."""
        self.table = table
        self.limits = limits
        self._errors = errors
        self._families: dict[str, Family] = {}

    def collect(self) -> Iterator[Family]:
        """Return the metrics that have at least one sample. A row that fails costs only itself."""
        if self.snapshot is None:
            return
        caps = None if self.limits is None else Caps(self.snapshot, self.limits)
        before, self._families = self._families, {}
        for metric in self.table:
            values = self._values(metric, self.snapshot, caps)
            if values:
                yield self._family(metric, values, before)
        if caps is not None:
            yield self._family(SERIES_DROPPED, {(kind,): number for kind, number in caps.dropped.items()}, before)

    def _values(self, metric: Metric, snapshot: Snapshot, caps: Caps | None) -> Mapping[tuple[object, ...], Value]:
        try:
            values = metric.values(snapshot, caps)
        except Exception as error:  # a defect in one row must not cost the scrape
            self._errors.defect(metric.name, f"metric {metric.name}:", error, " and is left out")
            return {}
        if metric.name in self._errors.active:
            self._errors.clear(metric.name, f"metric {metric.name}: is there again")
        return values

    def _family(
        self, metric: Metric, values: Mapping[tuple[object, ...], Value], before: Mapping[str, Family]
    ) -> Family:
        family = before.get(metric.name)
        if family is None or family.values != values:
            family = Family(metric.name, metric.help, metric.type, metric.labels, values)
        self._families[metric.name] = family
        return family
