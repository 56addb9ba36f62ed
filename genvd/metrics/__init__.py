"""The table of all metrics, and what renders a Snapshot with it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from genvd.metrics.caps import Caps, Limits
from genvd.metrics.contract import CONTRACT
from genvd.metrics.device import DEVICE
from genvd.metrics.device_details import DETAILS
from genvd.metrics.driver import DRIVER
from genvd.metrics.environments import ENVIRONMENTS
from genvd.metrics.gpm import GPM
from genvd.metrics.ledger import LEDGER, LEDGER_STATUS
from genvd.metrics.memory_health import MEMORY_HEALTH
from genvd.metrics.mig import MIG
from genvd.metrics.nvlink import NVLINK
from genvd.metrics.pcie_throughput import PCIE_THROUGHPUT
from genvd.metrics.policy import POLICY
from genvd.metrics.processes import PROCESSES
from genvd.metrics.service import SERIES_DROPPED, SERVICE
from genvd.metrics.spec import families
from genvd.metrics.users import USERS
from genvd.metrics.xid import XID

if TYPE_CHECKING:
    from genvd.error_log import ErrorLog
    from genvd.metrics.family import Family
    from genvd.metrics.spec import Metric
    from genvd.model import Snapshot

GROUPS = {
    "device_details": DETAILS,
    "memory_health": MEMORY_HEALTH,
    "xid": XID,
    "nvlink": NVLINK,
    "pcie_throughput": PCIE_THROUGHPUT,
    "mig": MIG,
    "gpm": GPM,
    "processes": PROCESSES,
    "environments": ENVIRONMENTS,
    "users": USERS,
    "policy": POLICY,
}
"""What the configuration's section ``metrics`` switches on and off, by the key there. What is switched off of devices
is not even asked for."""

ALL = (
    *CONTRACT,
    *DRIVER,
    *DEVICE,
    *(metric for group in GROUPS.values() for metric in group),
    *LEDGER,
    *SERVICE,
    *LEDGER_STATUS,
)
"""All that is read from the Snapshot."""


def exported(
    snapshot: Snapshot, limits: Limits, errors: ErrorLog, left_out: frozenset[str] = frozenset()
) -> list[Family]:
    """Return all that is exported of a Snapshot.

    Args:
        snapshot: the machine.
        limits: how many environments, users and processes have series of their own.
        errors: where the metrics that fail are logged.
        left_out: those of :data:`GROUPS` that are switched off.
    """
    caps = Caps(snapshot, limits)
    found = families(_without(left_out), snapshot, errors, caps)
    return [*found, SERIES_DROPPED.family_of({(kind,): number for kind, number in caps.dropped.items()})]


@lru_cache(maxsize=1)
def _without(left_out: frozenset[str]) -> tuple[Metric, ...]:
    off = {metric.name for name in left_out for metric in GROUPS[name]}
    return tuple(metric for metric in ALL if metric.name not in off)
