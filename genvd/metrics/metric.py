"""What a metric is: a row of a table, with a function from the Snapshot to values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from genvd.metrics.samples import Sample, Value

if TYPE_CHECKING:
    from genvd.metrics.limits import Caps
    from genvd.model.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Metric:
    """One row."""

    name: str
    help: str
    labels: tuple[str, ...]
    samples: Callable[[Snapshot], Iterable[Sample]]
    type: Literal["gauge", "counter"] = "gauge"
    addable: bool = True
    """Whether the sum over several environments, users or processes makes sense, as that of a ratio does not."""

    by_arrival: bool = False
    """Whether its samples come in an order that lasts, and those who are over a limit are those at the end of it. For
    counters of those who left: the sum of them never goes back."""

    def values(self, snapshot: Snapshot, caps: Caps | None = None) -> Mapping[tuple[object, ...], Value]:
        """Return the values that the Snapshot has, by the values of the labels, without those that are not known.

        Two samples with the same labels would make Prometheus reject the whole exposition, so the last counts.

        Args:
            snapshot: what they are read from.
            caps: which environments, users and processes have series of their own; None for all.
        """
        samples = self.samples(snapshot)
        if caps is None:
            return {labels: value for labels, value in samples if value is not None}
        return caps.apply(self.labels, samples, addable=self.addable, by_arrival=self.by_arrival)
