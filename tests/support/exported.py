"""What is exported of a Snapshot, by the names of the series."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from genvd.common.error_log import ErrorLog
from genvd.metrics.limits import Limits
from genvd.metrics.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genvd.model.snapshot import Snapshot

_MANY = Limits(1000, 1000, 1000)


def exported(
    snapshot: Snapshot, limits: Limits = _MANY, left_out: frozenset[str] = frozenset()
) -> dict[str, list[tuple[Mapping[str, str], float]]]:
    """Return the labels and values of all samples of a Snapshot, by their names."""
    families = Registry(ErrorLog(logging.getLogger(__name__)), limits, left_out).collect_snapshot(snapshot)
    found: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    for sample in (sample for family in families for sample in family.samples):
        found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found
