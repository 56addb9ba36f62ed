"""Limits the number of series: chooses the environments, users and processes that get their own.

Series over a limit are summed into one series with the label value ``(other)``, and counted.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from typing import TYPE_CHECKING, Literal, NamedTuple

from genvd.common.text import RESERVED
from genvd.metrics.samples import Value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genvd.metrics.samples import Sample
    from genvd.model.snapshot import Snapshot

Kind = Literal["environment", "user", "process"]
Entity = tuple[int | None, tuple[object, ...], object]
"""The uid of the owner, the sort key among entities of the same owner, and the label value."""

Samples = dict[tuple[object, ...], Value]
"""Metric values by label values."""

_KIND_BY_LABEL: dict[str, Kind] = {"pid": "process", "eid": "environment", "username": "user"}
"""Which limit applies to a metric: that of the first of these labels that it has."""

_NO_OWNER = 2**32
"""Stands for an unknown owner in the order of owners: after all uids."""


class Limits(NamedTuple):
    """How many entities of each kind get their own series."""

    environments: int
    users: int
    processes: int


class SeriesLimiter:
    """Applies the limits to the metrics of one Snapshot."""

    def __init__(self, snapshot: Snapshot, limits: Limits) -> None:
        """Choose the entities to keep: the first of each user, then the second of each user, and so on.

        So one user cannot displace the series of others, and the choice is stable from one collection to the next.
        """
        environments, users, processes = snapshot.environments or (), snapshot.users or (), snapshot.processes or ()
        people = {p.username: p.uid for p in processes if p.username is not None}
        people.update((e.username, e.uid) for e in environments if e.username is not None)
        people.update((u.username, u.uid) for u in users)
        self._kept: dict[Kind, frozenset[object] | None] = {
            "environment": _kept(
                ((e.uid, (e.created is None, e.created, e.eid), e.eid) for e in environments),
                limits.environments,
                len(environments),
            ),
            "user": _kept(((uid, (name,), name) for name, uid in people.items()), limits.users, len(people)),
            "process": _kept(((p.uid, (p.pid,), p.pid) for p in processes), limits.processes, len(processes)),
        }
        self._limits: dict[Kind, int] = {
            "environment": limits.environments,
            "user": limits.users,
            "process": limits.processes,
        }
        self.dropped: dict[Kind, int] = dict.fromkeys(self._kept, 0)
        """Number of series over a limit so far, by kind."""

    def apply(
        self,
        labels: tuple[str, ...],
        samples: Iterable[Sample],
        *,
        summable: bool,
        by_arrival: bool = False,
    ) -> Samples:
        """Return the values of a metric, with the samples over the limit summed or left out.

        Args:
            labels: the label names of the metric.
            samples: label values and value of each sample.
            summable: whether samples over the limit are summed; if not, they are left out.
            by_arrival: whether to keep the entities whose samples come first, instead of the chosen ones.
        """
        name = next((label for label in _KIND_BY_LABEL if label in labels), None)
        kept = self._kept[_KIND_BY_LABEL[name]] if name else None
        if name is not None and by_arrival:
            samples = tuple(samples)
            position, limit = labels.index(name), self._limits[_KIND_BY_LABEL[name]]
            arrived = dict.fromkeys(values[position] for values, _ in samples)
            kept = frozenset(list(arrived)[:limit]) if len(arrived) > limit else None
        if name is None or kept is None:
            return {values: value for values, value in samples if value is not None}
        return self._sum_others(labels, name, kept, samples, summable=summable)

    def _sum_others(
        self,
        labels: tuple[str, ...],
        name: str,
        kept: frozenset[object],
        samples: Iterable[Sample],
        *,
        summable: bool,
    ) -> Samples:
        """Return the values of the kept entities, and the sums of the others if they are summable."""
        position = labels.index(name)
        summed = frozenset(number for number, label in enumerate(labels) if label in _KIND_BY_LABEL)
        result: Samples = {}
        others: dict[tuple[object, ...], float] = defaultdict(float)
        dropped = 0
        for values, value in samples:
            if value is None:
                continue
            if values[position] in kept:
                result[values] = value
                continue
            dropped += 1
            if summable:
                others[_other_labels(values, summed)] += value
        self.dropped[_KIND_BY_LABEL[name]] += dropped
        return {**result, **others}


def _other_labels(values: tuple[object, ...], summed: frozenset[int]) -> tuple[object, ...]:
    """Return the labels of the sum: ``(other)`` in place of each pid, eid and username."""
    return tuple(RESERVED if position in summed else value for position, value in enumerate(values))


def _kept(entities: Iterable[Entity], limit: int, count: int) -> frozenset[object] | None:
    """Return the label values to keep; None for all of them."""
    if count <= limit:
        return None
    by_owner: dict[int, list[Entity]] = defaultdict(list)
    for entity in entities:
        by_owner[_NO_OWNER if entity[0] is None else entity[0]].append(entity)
    ranked = (
        (rank, owner, label)
        for owner, owned in by_owner.items()
        for rank, (_, _, label) in enumerate(sorted(owned, key=lambda entity: entity[1]))
    )
    return frozenset(label for _, _, label in heapq.nsmallest(limit, ranked, key=lambda entry: entry[:2]))
