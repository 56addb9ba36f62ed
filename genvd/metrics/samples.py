"""The samples of one metric, as prometheus-client takes them."""

from __future__ import annotations

from collections.abc import Mapping
from operator import eq
from typing import Literal

import prometheus_client.samples
from prometheus_client.metrics_core import Metric as MetricFamily

Value = float | int | bool


class Family(MetricFamily):
    """A metric of prometheus-client whose samples are made from its values each time they are read.

    The text of a metric that has not changed is kept, so samples are rarely read. Values take a third of their memory,
    and two metrics are compared by their values several times as fast as by their samples.
    """

    def __init__(
        self,
        name: str,
        help_: str,
        type_: Literal["gauge", "counter"],
        labels: tuple[str, ...],
        values: Mapping[tuple[object, ...], Value],
    ) -> None:
        """Make a metric.

        Args:
            name: of its samples; that of a counter ends in ``_total``, which is not part of the name of the family.
            help_: one sentence.
            type_: of the metric.
            labels: the names of the labels.
            values: by the values of the labels, in the order of their names. They are exported as :class:`str` writes
                them.
        """
        super().__init__(name.removesuffix("_total") if type_ == "counter" else name, help_, type_)
        self.values = values
        self._labels = labels
        self._sample_name = name

    def __repr__(self) -> str:
        """Return the name alone: the client library shows the metric in the errors that it raises."""
        return f"{type(self).__name__}({self._sample_name!r})"

    def has_labels_of(self, other: Family) -> bool:
        """Tell whether it has the same series as another state of the same metric, in the same order."""
        return len(self.values) == len(other.values) and all(map(eq, self.values, other.values))

    @property
    def samples(self) -> list[prometheus_client.samples.Sample]:
        """The samples, one for each series."""
        return [
            prometheus_client.samples.Sample(
                self._sample_name, dict(zip(self._labels, map(str, labels), strict=True)), float(value)
            )
            for labels, value in self.values.items()
        ]

    @samples.setter
    def samples(self, _: object) -> None:
        """Ignore the empty list with which the base class begins."""


Sample = tuple[tuple[object, ...], Value | None]
"""The values of the labels, in their order, and the value; None for a value that is not known.

A label is of one type throughout a row: a number and the same digits as text would be two series of one name.
"""
