"""The classes of prometheus-client that metrics are made of: a family that creates its samples lazily."""

from __future__ import annotations

from collections.abc import Mapping
from operator import eq
from typing import TYPE_CHECKING, Literal

import prometheus_client.samples
from prometheus_client.metrics_core import Metric as MetricFamily

if TYPE_CHECKING:
    from prometheus_client.registry import Collector
else:
    try:
        from prometheus_client.registry import Collector
    except ImportError:  # up to 0.13, as in Ubuntu 22.04, where anything with a method ``collect`` is one

        class Collector:
            """Something with a method ``collect``."""


__all__ = ["Collector", "Family", "Value"]

Value = float | int | bool


class Family(MetricFamily):
    """A metric of prometheus-client that stores values and creates samples each time they are read.

    Samples are rarely read, as the text of an unchanged metric is reused. Values need a third of the memory and are
    compared several times as fast.
    """

    def __init__(
        self,
        name: str,
        help_: str,
        type_: Literal["gauge", "counter"],
        labels: tuple[str, ...],
        values: Mapping[tuple[object, ...], Value],
    ) -> None:
        """Create a metric.

        Args:
            name: name of the samples. That of a counter ends in ``_total``; the family has the name without it.
            help_: help text.
            type_: type of the metric.
            labels: label names.
            values: values by label values, in the order of the names. Label values are exported as ``str(value)``.
        """
        super().__init__(name.removesuffix("_total") if type_ == "counter" else name, help_, type_)
        self.values = values
        self._labels = labels
        self._sample_name = name

    def __repr__(self) -> str:
        """Return a short text: prometheus-client puts it into error messages."""
        return f"{type(self).__name__}({self._sample_name!r})"

    def has_same_series(self, other: Family) -> bool:
        """Return whether both have the same series in the same order."""
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
        """Ignore the assignment of an empty list in the base class."""


Sample = tuple[tuple[object, ...], Value | None]
"""Label values in the order of the label names, and the value; None if the value is not known.

All values of one label have the same type. Otherwise ``1`` and ``"1"`` would be two series with the same labels.
"""
