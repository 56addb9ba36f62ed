"""A real VictoriaMetrics, and the program that evaluates rules on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tests.support import debian
from tests.support.engine import HOST, Engine
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PACKAGE = "victoria-metrics"
"""Of Debian 12; it has both programs."""


@dataclass
class VictoriaMetrics(Engine):
    """A running VictoriaMetrics, on a port that is free."""

    data: Path
    """Directory for its database; made if it is missing."""

    ready: ClassVar[str] = "/health"

    def command(self) -> Sequence[str]:
        """Return the command line."""
        self.port = free_port()
        return (
            debian.program("victoria-metrics", PACKAGE),
            "-search.minStalenessInterval=1m",  # no more: see docs/scaling.md
            f"-storageDataPath={self.data}",
            f"-httpListenAddr={HOST}:{self.port}",
        )

    @property
    def write_url(self) -> str:
        """Where it takes remote writes."""
        return f"{self.url}/api/v1/write"

    def flush(self) -> None:
        """Let queries see all that has been written."""
        status, body = self.get("/internal/force_flush")
        assert status == 200, body


@dataclass
class Vmalert(Engine):
    """A running vmalert, which evaluates rules on a VictoriaMetrics and writes the results there."""

    database: VictoriaMetrics
    rules_glob: str
    """Pattern of the paths of rule files."""
    interval: float
    """Seconds between evaluations, where a group of rules has no own."""

    ready: ClassVar[str] = "/health"

    def command(self) -> Sequence[str]:
        """Return the command line."""
        self.port = free_port()
        return (
            debian.program("vmalert", PACKAGE),
            *options(self.database, self.rules_glob, self.interval),
            f"-httpListenAddr={HOST}:{self.port}",
        )


def options(database: VictoriaMetrics, rules_glob: str, interval: float) -> Sequence[str]:
    """Return the options of a vmalert that people use too; see :class:`Vmalert`."""
    return (
        f"-rule={rules_glob}",
        f"-evaluationInterval={interval:g}s",
        "-disableAlertgroupLabel",
        f"-datasource.url={database.url}",
        f"-remoteWrite.url={database.url}",
        f"-remoteRead.url={database.url}",
        "-notifier.url=http://127.0.0.1:9",  # the discard port: nobody is notified
    )
