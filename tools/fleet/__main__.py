"""``python -m tools.fleet [--machines 1000 --devices 8]``: exit status 1 if a machine is down or a query is slow."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import yaml

from genvd.config.schema import Config
from genvd.publish.publication import publication_for
from tests.support.debian import promtool
from tests.support.needs import said_by
from tests.support.prometheus import Prometheus
from tools.fleet.history import add_history
from tools.fleet.machines import SimulatedMachine
from tools.fleet.measure import Figures, Timing, figures, timings
from tools.fleet.queries import queries
from tools.fleet.site import CollectionLoop, name_of, served, write_targets

MIB = 2**20
SLOW = 1.0
"""Limit for the duration of a query of the fleet dashboard, in seconds."""

_DASHBOARD = "fleet"


def main(arguments: list[str] | None = None) -> int:
    """Run the simulation and print the figures; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.fleet", description=__doc__)
    parser.add_argument("--machines", type=int, default=1000)
    parser.add_argument("--devices", type=int, default=8, help="GPUs of each machine")
    parser.add_argument("--interval", type=int, default=60, help="seconds between scrapes and between evaluations")
    parser.add_argument("--seconds", type=int, default=240, help="time to scrape before measuring")
    parser.add_argument("--history", type=int, default=21600, help="seconds of earlier recorded series, 0 for none")
    parser.add_argument(
        "--dashboards", nargs="*", help=f"dashboards to time; default: all ({_DASHBOARD} alone is faster)"
    )
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that Prometheus is stopped too
    with said_by("make fleet"):
        if options.history:
            promtool()  # now, not after minutes
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    print(f"{options.machines} machines with {options.devices} GPUs, scraped every {options.interval} s", flush=True)
    machines = [SimulatedMachine(options.devices, seed, options.interval) for seed in range(options.machines)]
    with (
        tempfile.TemporaryDirectory(prefix="genv-monitor-fleet-") as name,
        CollectionLoop(machines, options.interval) as loop,
        served(loop.bodies) as port,
    ):
        published = _publish(Path(name), port, options.machines)
        with Prometheus(
            _at_interval(published / "prometheus/prometheus.yml", options.interval), Path(name) / "data"
        ) as running:
            since = _wait_for_all(running, options.machines, options.interval)
            time.sleep(options.seconds)
            found = figures(running, since)
            _show(found, options.machines)
            if options.history:
                print(add_history(running, since, options.history), flush=True)
            slow = _time_dashboards(running, published, options.dashboards)
    return int(found.up < options.machines or found.failed_scrapes > 0 or slow)


def _publish(directory: Path, port: int, machines: int) -> Path:
    file = directory / "machines.json"
    write_targets(file, port, range(machines))
    publication = publication_for(Config(publish_targets=(str(file),), publish_directory=directory / "published"), port)
    publication.write()
    return publication.directory


def _at_interval(published: Path, seconds: int) -> Path:
    """Return a copy of a published prometheus.yml with this interval, in its directory because of relative paths."""
    content = yaml.safe_load(published.read_text(encoding="utf-8"))
    content["global"].update(scrape_interval=f"{seconds}s", evaluation_interval=f"{seconds}s")
    copy = published.with_name("at-interval.yml")
    copy.write_text(yaml.safe_dump(content), encoding="utf-8")
    return copy


def _wait_for_all(running: Prometheus, machines: int, interval: float) -> float:
    """Wait until all machines are up, at most a few intervals; return the Unix time afterwards."""
    deadline = time.monotonic() + 60 + 4 * interval
    while time.monotonic() < deadline and sum(running.query("up").values()) < machines:
        time.sleep(min(1.0, interval))
    return time.time()


def _show(found: Figures, machines: int) -> None:
    print(f"up: {found.up} of {machines}; scrapes: {found.scrapes}, of which {found.failed_scrapes} failed")
    print(f"slowest scrape: {found.slowest_scrape:.2f} s")
    print(f"series: {found.series}, {found.series / machines:.0f} for each machine")
    print(f"samples: {found.samples_per_second:.0f}/s")
    print(
        f"memory of Prometheus: {found.resident_bytes / MIB:.0f} MiB resident, {found.heap_bytes / MIB:.0f} MiB heap;"
        f" {found.resident_bytes / machines / MIB:.2f} MiB for each machine, {found.resident_bytes / found.series:.0f}"
        " bytes for each series"
    )
    print(f"CPU: {found.cpu_seconds_per_second:.2f} cores")
    print(f"data directory: {found.data_bytes / MIB:.0f} MiB")
    print(f"load average of this machine: {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores")
    for name, seconds in found.groups.items():
        print(f"evaluation of {name}: {seconds:.3f} s")
    for name, seconds, alerts in found.slowest_rules:
        print(f"  {seconds:7.3f} s  {name}" + (f" with {alerts} alerts" if alerts else ""))
    print(f"evaluations missed: {found.missed_evaluations}", flush=True)


def _time_dashboards(running: Prometheus, published: Path, wanted: list[str] | None) -> bool:
    """Print the duration of each query; return whether one of the fleet dashboard is too slow."""
    slow = False
    for file in sorted(published.glob("grafana/dashboards/*.json")):
        if wanted and file.stem not in wanted:
            continue
        taken = timings(running, queries(file, time.time(), name_of(0)))
        slow = slow or (file.stem == _DASHBOARD and taken[0].seconds >= SLOW)
        print(f"dashboard {file.stem}: {len(taken)} queries, {sum(one.seconds for one in taken):.2f} s in all")
        for one in taken:
            print(_line(one), flush=True)
    return slow


def _line(timing: Timing) -> str:
    empty = ", empty" if timing.empty else ""
    size = f"{timing.bytes / 1024:.0f} KiB"
    return f"  {timing.seconds:7.3f} s  {timing.query.title}  (fastest {timing.fastest:.3f} s, {size}{empty})"


if __name__ == "__main__":
    sys.exit(main())
