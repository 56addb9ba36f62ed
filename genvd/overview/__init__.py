"""The overview of a Snapshot that the page and ``top`` show: rows for the tables, and the problems as sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genvd.analysis.availability import availability
from genvd.overview.devices import DeviceRow, device_rows
from genvd.overview.environments import EnvironmentRow, ProcessRow, UserRow, environment_rows, process_rows, user_rows
from genvd.overview.problems import Problem, problems
from genvd.overview.summary import Summary, summary

if TYPE_CHECKING:
    from genvd.model.device import DriverVersions
    from genvd.model.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Overview:
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
    """Errors first."""
    devices: tuple[DeviceRow, ...] | None
    environments: tuple[EnvironmentRow, ...] | None
    users: tuple[UserRow, ...] | None
    processes: tuple[ProcessRow, ...] | None


def overview(snapshot: Snapshot) -> Overview:
    """Return the overview of a Snapshot."""
    gpus = availability(snapshot)
    return Overview(
        timestamp=snapshot.timestamp,
        interval_seconds=snapshot.service.interval_seconds,
        host=snapshot.service.host,
        version=snapshot.service.version,
        simulated=snapshot.service.mode == "demo",
        driver_state=snapshot.driver_state,
        driver=snapshot.driver,
        summary=summary(snapshot, gpus),
        problems=problems(snapshot),
        devices=device_rows(snapshot, gpus),
        environments=environment_rows(snapshot),
        users=user_rows(snapshot),
        processes=process_rows(snapshot),
    )
