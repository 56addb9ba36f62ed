"""The overview of a Snapshot that the page and ``top`` show: rows for the tables, and the problems as sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from genvd.analysis.availability import availability
from genvd.overview.devices import DeviceRow, device_rows
from genvd.overview.environments import (
    EnvironmentRow,
    ProcessRow,
    UserRow,
    UserUsageRow,
    environment_rows,
    process_rows,
    usage_rows,
    user_rows,
)
from genvd.overview.lost import LostRow, lost_rows
from genvd.overview.problem import Problem
from genvd.overview.problems import problems
from genvd.overview.summary import Summary, summary
from genvd.overview.talks import MAX_TALKS, Talk, talks

if TYPE_CHECKING:
    from genvd.model.device import DriverVersions
    from genvd.model.snapshot import Snapshot


class Overview(NamedTuple):
    """The overview of a machine. None means *not known*."""

    timestamp: float
    """Unix time in seconds at which the collection ended."""
    interval_seconds: float | None
    host: str | None
    version: str
    simulated: bool
    driver_state: str
    driver: DriverVersions | None
    summary: Summary
    problems: tuple[Problem, ...]
    """The worst first."""
    talks: tuple[Talk, ...]
    """What to talk about with users: at most :data:`MAX_TALKS`."""
    talks_total: int
    devices: tuple[DeviceRow, ...] | None
    environments: tuple[EnvironmentRow, ...] | None
    users: tuple[UserRow, ...] | None
    processes: tuple[ProcessRow, ...] | None
    missing: tuple[LostRow, ...]
    """GPUs that the driver no longer lists."""
    usage: tuple[UserUsageRow, ...] | None
    """GPU time by user, the most first; None without a ledger, or if usage is private."""
    has_ledger: bool
    """Whether usage is counted, so that it can be asked for."""


def overview(snapshot: Snapshot) -> Overview:
    """Return the overview of a Snapshot."""
    gpus = availability(snapshot)
    found = talks(snapshot)
    return Overview(
        timestamp=snapshot.timestamp,
        interval_seconds=snapshot.service.interval_seconds,
        host=snapshot.service.host,
        version=snapshot.service.version,
        simulated=snapshot.service.mode == "demo",
        driver_state=snapshot.driver_state,
        driver=snapshot.driver,
        summary=summary(snapshot, gpus),
        problems=problems(snapshot, found),
        talks=found[:MAX_TALKS],
        talks_total=len(found),
        devices=device_rows(snapshot, gpus),
        environments=environment_rows(snapshot),
        users=user_rows(snapshot),
        processes=process_rows(snapshot),
        missing=lost_rows(snapshot),
        usage=usage_rows(snapshot),
        has_ledger=snapshot.ledger is not None,
    )
