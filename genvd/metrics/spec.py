"""What a metric is: a row of a table, with a function from the Snapshot to values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from genvd.metrics.family import Family, Value

if TYPE_CHECKING:
    from genvd.error_log import ErrorLog
    from genvd.metrics.caps import Caps
    from genvd.model import Snapshot

Sample = tuple[tuple[object, ...], Value | None]
"""The values of the labels, in their order, and the value; None for a value that is not known.

A label is of one type throughout a row: a number and the same digits as text would be two series of one name.
"""


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

    def family(self, snapshot: Snapshot, caps: Caps | None = None) -> Family:
        """Return the series that the Snapshot has, without those whose value is not known.

        Two samples with the same labels would make Prometheus reject the whole exposition, so the last counts.
        """
        samples = self.samples(snapshot)
        if caps is None:
            return self.family_of({labels: value for labels, value in samples if value is not None})
        return self.family_of(caps.apply(self.labels, samples, addable=self.addable, by_arrival=self.by_arrival))

    def family_of(self, values: Mapping[tuple[object, ...], Value]) -> Family:
        """Return the series with these values, by the values of their labels."""
        return Family(self.name, self.help, self.type, self.labels, values)


def families(table: Iterable[Metric], snapshot: Snapshot, errors: ErrorLog, caps: Caps | None = None) -> list[Family]:
    """Return the families of the table that have at least one series.

    A row that fails costs only itself.

    Args:
        table: the metrics.
        snapshot: what they are read from.
        errors: where those that fail are logged.
        caps: which environments, users and processes have series of their own; None for all.
    """
    result = []
    for metric in table:
        try:
            family = metric.family(snapshot, caps)
        except Exception as error:  # a defect in one row must not cost the scrape
            errors.defect(metric.name, f"metric {metric.name}:", error, " and is left out")
            continue
        if metric.name in errors.active:
            errors.clear(metric.name, f"metric {metric.name}: is there again")
        if family.values:
            result.append(family)
    return result
