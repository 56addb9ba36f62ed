"""The table of all metrics."""

from __future__ import annotations

from genvd.metrics.contract import CONTRACT
from genvd.metrics.device import DEVICE
from genvd.metrics.device_details import DETAILS, PCIE_THROUGHPUT, XID
from genvd.metrics.driver import DRIVER
from genvd.metrics.environments import ENVIRONMENTS, USERS
from genvd.metrics.gpm import GPM, MIG
from genvd.metrics.ledger import LEDGER, LEDGER_STATUS
from genvd.metrics.memory_health import MEMORY_HEALTH
from genvd.metrics.nvlink import NVLINK
from genvd.metrics.policy import POLICY
from genvd.metrics.processes import PROCESSES
from genvd.metrics.service import SERVICE

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
"""Metrics that the section ``metrics`` of the configuration switches on and off, by key. GPU values of a group that is
off are not read from the driver either."""

ALL = (
    *CONTRACT,
    *DRIVER,
    *DEVICE,
    *(metric for group in GROUPS.values() for metric in group),
    *LEDGER,
    *SERVICE,
    *LEDGER_STATUS,
)
"""All metrics that are computed from the Snapshot."""
