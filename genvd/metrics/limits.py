"""Bounds on the number of series: which environments, users and processes have series of their own.

All that is over a limit is summed into one series, whose labels say ``(other)``, and counted.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from genvd.common.text import RESERVED
from genvd.metrics.samples import Value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genvd.metrics.samples import Sample
    from genvd.model.snapshot import Snapshot

Kind = Literal["environment", "user", "process"]
Entity = tuple[int | None, tuple[object, ...], object]
"""Whose it is; what orders it among those of the same person; the value of the label that tells it from others."""

Samples = dict[tuple[object, ...], Value]
"""Values by the values of the labels."""

_LABELS: dict[str, Kind] = {"pid": "process", "eid": "environment", "username": "user"}
"""What a row is about follows from its labels: the first of these that it has."""

_NOBODY = 2**32


@dataclass(frozen=True, slots=True)
class Limits:
    """How many of each have series of their own."""

    environments: int
    users: int
    processes: int


class Caps:
    """The limits applied to one Snapshot."""

    def __init__(self, snapshot: Snapshot, limits: Limits) -> None:
        """Choose what is kept: of everybody the first, then of everybody the second, and so on.

        So nobody's series are pushed out by how much somebody else has, and the choice stays from one collection to
        the next.
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
        self._most: dict[Kind, int] = {
            "environment": limits.environments,
            "user": limits.users,
            "process": limits.processes,
        }
        self.dropped: dict[Kind, int] = dict.fromkeys(self._kept, 0)
        """Series that were kept out so far."""

    def apply(
        self,
        labels: tuple[str, ...],
        samples: Iterable[Sample],
        *,
        addable: bool,
        by_arrival: bool = False,
    ) -> Samples:
        """Return the samples of a row that get series, those over the limit summed.

        Args:
            labels: of the row.
            samples: the values of the labels, in their order, and the value; None for one that is not known.
            addable: False leaves out what is over the limit, as no sum of it makes sense.
            by_arrival: whether those are kept whose samples come first, instead of those of the Snapshot.
        """
        name = next((label for label in _LABELS if label in labels), None)
        kept = self._kept[_LABELS[name]] if name else None
        if name is not None and by_arrival:
            samples = tuple(samples)
            place, most = labels.index(name), self._most[_LABELS[name]]
            arrived = dict.fromkeys(values[place] for values, _ in samples)
            kept = frozenset(list(arrived)[:most]) if len(arrived) > most else None
        if name is None or kept is None:
            return {values: value for values, value in samples if value is not None}
        return self._folded(labels, name, kept, samples, addable=addable)

    def _folded(
        self,
        labels: tuple[str, ...],
        name: str,
        kept: frozenset[object],
        samples: Iterable[Sample],
        *,
        addable: bool,
    ) -> Samples:
        position = labels.index(name)
        folded = [place for place, label in enumerate(labels) if label in _LABELS]
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
            if addable:
                others[_other(values, folded)] += value
        self.dropped[_LABELS[name]] += dropped
        return {**result, **others}


def _other(values: tuple[object, ...], folded: list[int]) -> tuple[object, ...]:
    """Return the labels of the series in which what is over a limit is summed: those of whose it is say nothing."""
    if len(folded) == len(values):
        return (RESERVED,) * len(values)
    labels = list(values)
    for place in folded:
        labels[place] = RESERVED
    return tuple(labels)


def _kept(entities: Iterable[Entity], most: int, there: int) -> frozenset[object] | None:
    """Return the labels of those to keep; None where that is all of them, as it nearly always is."""
    if there <= most:
        return None
    by_owner: dict[int, list[Entity]] = defaultdict(list)
    for entity in entities:
        by_owner[_NOBODY if entity[0] is None else entity[0]].append(entity)
    ranked = (
        (rank, owner, label)
        for owner, owned in by_owner.items()
        for rank, (_, _, label) in enumerate(sorted(owned, key=lambda entity: entity[1]))
    )
    return frozenset(label for _, _, label in heapq.nsmallest(most, ranked, key=lambda one: one[:2]))
