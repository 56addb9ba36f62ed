"""The machines, and a Prometheus that scrapes them and writes to two VictoriaMetrics: what all comparisons start from.

One VictoriaMetrics gets everything that Prometheus has. The other one gets only what is scraped, and vmalert evaluates
the published rules there.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from genvd.config.schema import Config
from genvd.publish.publication import publication_for
from tests.support.monitor import Monitor
from tests.support.prometheus import Prometheus
from tests.support.victoriametrics import VictoriaMetrics, Vmalert
from tools.fleet.machines import SimulatedMachine
from tools.fleet.site import CollectionLoop, served, write_targets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REMOTE_WRITE = "remote_write"
_RULES = {"source_labels": ["__name__"], "regex": "ALERTS.*|.+:.+", "action": "drop"}
"""Drops what Prometheus has evaluated: recorded series and the states of alerts."""


@dataclass(frozen=True)
class Site:
    """The published files for some machines."""

    directory: Path
    targets: tuple[str, ...]
    """As in publish.targets."""

    def configuration(self, interval: int, more: dict[str, Any]) -> Path:
        """Publish, and return the prometheus.yml with this interval and more keys.

        Args:
            interval: seconds between scrapes and between evaluations.
            more: what is added; ``global`` is merged.
        """
        publication = publication_for(Config(publish_targets=self.targets, publish_directory=self.directory), 0)
        publication.write()
        published = publication.directory / "prometheus/prometheus.yml"
        content = yaml.safe_load(published.read_text(encoding="utf-8"))
        lengths = {"scrape_interval": f"{interval}s", "evaluation_interval": f"{interval}s"}
        content["global"].update(lengths | more.pop("global", {}))
        copy = published.with_name("changed.yml")
        copy.write_text(yaml.safe_dump(content | more), encoding="utf-8")
        return copy


@dataclass(frozen=True)
class Stage:
    """What runs."""

    directory: Path
    interval: int
    """Seconds between scrapes and between evaluations."""
    monitor: Monitor
    """A real monitor of a simulated machine; all others are served by this process."""
    loop: CollectionLoop
    port: int
    """Where the other machines are served."""
    machines: int
    """The number of these."""
    prometheus: Prometheus
    all_written: VictoriaMetrics
    """Has everything that Prometheus has."""
    scraped_only: VictoriaMetrics
    """Has what Prometheus has scraped, and what vmalert has evaluated."""
    vmalert: Vmalert

    @property
    def dashboards(self) -> list[Path]:
        """The published dashboards."""
        return sorted((self.directory / "all/grafana/dashboards").glob("*.json"))

    @property
    def machine(self) -> str:
        """The label instance of the real monitor."""
        return f"127.0.0.1:{self.monitor.port}"

    def site(self, name: str, numbers: range, *, with_monitor: bool) -> Site:
        """Return the published files for some of the machines.

        Args:
            name: of the directory.
            numbers: which machines.
            with_monitor: whether the real monitor is one of them.
        """
        return _site(self.directory, name, self.port, numbers, self.monitor if with_monitor else None)


def _site(directory: Path, name: str, port: int, numbers: range, monitor: Monitor | None) -> Site:
    file = directory / f"{name}.json"
    write_targets(file, port, numbers)
    real = (f"127.0.0.1:{monitor.port}",) if monitor else ()
    return Site(directory / name, (str(file), *real))


@contextmanager
def stage(directory: Path, machines: int, interval: int) -> Iterator[Stage]:
    """Start everything, and yield it.

    Args:
        directory: for configurations and databases.
        machines: how many are simulated in this process, next to a real monitor.
        interval: seconds between collections, scrapes and evaluations.
    """
    with ExitStack() as stack:
        start = stack.enter_context
        monitor = start(Monitor(_monitor(directory)))
        loop = start(CollectionLoop([SimulatedMachine(8, seed, interval) for seed in range(machines)], interval))
        port = start(served(loop.bodies))
        all_written = start(VictoriaMetrics(directory / "all-written"))
        scraped_only = start(VictoriaMetrics(directory / "scraped-only"))
        writes = [
            {"url": all_written.write_url},
            {"url": scraped_only.write_url, "write_relabel_configs": [_RULES]},
        ]
        site = _site(directory, "all", port, range(machines), monitor)
        config = site.configuration(interval, {REMOTE_WRITE: writes})
        # The database is to be copied as blocks, without the write-ahead log, to compare its size.
        prometheus = start(Prometheus(config, directory / "prometheus", ("--web.enable-admin-api",)))
        vmalert = start(Vmalert(scraped_only, str(config.parent / "rules/*.yml"), interval))
        yield Stage(directory, interval, monitor, loop, port, machines, prometheus, all_written, scraped_only, vmalert)


def _monitor(directory: Path) -> tuple[str | Path, ...]:
    config = directory / "monitor.yaml"
    config.write_text(yaml.safe_dump({"metrics": {"pcie_throughput": True}}), encoding="utf-8")
    return ("--demo", "8", "--interval", "1", "--config", config, "--config-dir", directory / "unused")
