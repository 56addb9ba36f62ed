"""The table of all metrics, and what renders a Snapshot with it."""

from __future__ import annotations

from genvd.metrics.contract import CONTRACT
from genvd.metrics.health import HEALTH
from genvd.metrics.service import SERVICE

ALL = (*CONTRACT, *HEALTH, *SERVICE)
