"""Definition of a metric: one row of the tables in this package."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from genvd.metrics.samples import Sample, Value

if TYPE_CHECKING:
    from genvd.metrics.limits import SeriesLimiter
    from genvd.model.snapshot import Snapshot


class Metric(NamedTuple):
    """A metric: its metadata, and a function that reads its samples from the Snapshot."""

    name: str
    help: str
    labels: tuple[str, ...]
    samples: Callable[[Snapshot], Iterable[Sample]]
    type: Literal["gauge", "counter"] = "gauge"
    summable: bool = True
    """Whether a sum over environments, users or processes makes sense; that of ratios does not."""
    by_arrival: bool = False
    """Whether the samples have a stable order and the limit keeps the first ones. Counters need this: the sum of the
    others must never decrease."""

    def values(self, snapshot: Snapshot, limiter: SeriesLimiter | None = None) -> Mapping[tuple[object, ...], Value]:
        """Return the known values by label values.

        Of two samples with the same labels the last one wins: Prometheus would reject duplicates.

        Args:
            snapshot: the input.
            limiter: limits the number of series; None for no limit.
        """
        samples = self.samples(snapshot)
        if limiter is None:
            return {labels: value for labels, value in samples if value is not None}
        return limiter.apply(self.labels, samples, summable=self.summable, by_arrival=self.by_arrival)
