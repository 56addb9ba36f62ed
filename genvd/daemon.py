"""The service: its parts, from start to stop."""

from __future__ import annotations

import logging
import os
import platform
import signal
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import ProcessCollector

from genvd import __version__
from genvd.config_values import show_duration
from genvd.machine import Machine, Sources
from genvd.metrics import ALL
from genvd.metrics.exposition import Exposition
from genvd.metrics.spec import families
from genvd.model import ServiceStatus
from genvd.publish import PublishError, publish, target_for
from genvd.sources.demo import DemoGenv, DemoMachine, DemoNvml, DemoProcesses
from genvd.sources.genv_state import GenvStateSource, default_directory
from genvd.timer import Timer
from genvd.web.server import ListenError, Server
from genvd.web.site import Latest, Site

if TYPE_CHECKING:
    from genvd.config import Config
    from genvd.model import Snapshot

log = logging.getLogger(__name__)

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Monitor:
    """Looks at the machine once for each tick, and puts what it saw where requests find it."""

    def __init__(self, config: Config, sources: Sources) -> None:
        self.site = Site()
        self._machine = Machine(sources, min(config.collect_timeout, config.collect_interval))
        self._mode = sources.mode
        self._collections = 0
        self._skipped = 0
        self._own_process = ProcessCollector(registry=None)
        self._failed_metrics: set[str] = set()

    def tick(self, skipped: int) -> None:
        """Make one collection and render it; never raises.

        Args:
            skipped: ticks that were left out since the last one.
        """
        try:
            snapshot = self.look(skipped)
            everything = [*families(ALL, snapshot, self._failed_metrics), *self._own_process.collect()]
            previous = self.site.latest
            self.site.latest = Latest(snapshot, Exposition(everything, previous.exposition if previous else None))
        except Exception:  # the timer must go on whatever a tick meets
            log.exception("a collection failed unexpectedly; please report this")

    def look(self, skipped: int = 0) -> Snapshot:
        """Make one collection."""
        self._collections += 1
        self._skipped += skipped
        return self._machine.look(
            ServiceStatus(
                version=__version__,
                mode=self._mode,
                python_version=platform.python_version(),
                nvml_bindings_version=_nvml_bindings_version(),
                collections=self._collections,
                collections_skipped=self._skipped,
            )
        )


def run(config: Config, demo: int | None) -> int:
    """Serve until SIGINT or SIGTERM; return the exit status.

    Args:
        config: what to do.
        demo: number of devices of the simulated machine; None for the real one.
    """
    # Blocked before any thread starts, so that all inherit it and sigwait() below is the only one to see them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    monitor = Monitor(config, sources(config, demo))
    try:
        server = Server(monitor.site, config.listen_address, config.listen_port)
    except ListenError as error:
        log.error("%s", error)
        return 1
    if config.publish_enabled:
        _publish(config, server.port)
    server.start()
    timer = Timer(config.collect_interval, monitor.tick)
    timer.start()
    log.info(
        "serving metrics at http://%s/metrics, collecting every %s",
        target_for(config.listen_address, server.port),
        show_duration(config.collect_interval),
    )
    caught = signal.sigwait(_STOP_SIGNALS)
    log.info("%s: stopping", signal.Signals(caught).name)
    timer.stop()
    server.stop()
    return 0


def sources(config: Config, demo: int | None) -> Sources:
    """Return what to look at: the real machine, or a simulated one with so many devices."""
    if demo is not None:
        log.warning("demo: everything shown is simulated, a machine with %d devices", demo)
        machine = DemoMachine(devices=demo)
        return Sources("demo", DemoNvml(machine), DemoGenv(machine), DemoProcesses(machine))
    from genvd.sources.nvml import NvmlSource
    from genvd.sources.processes import ProcessSource

    return Sources("live", NvmlSource(), GenvStateSource(state_directory(config)), ProcessSource())


def state_directory(config: Config) -> Path:
    """Return the directory in which genv keeps its state."""
    return config.genv_state_directory or default_directory()


def publish_directory(config: Config) -> Path:
    """Return the directory for the Prometheus and Grafana files."""
    if config.publish_directory:
        return config.publish_directory
    own = os.environ.get("STATE_DIRECTORY", "").split(":")[0]  # systemd.exec(5)
    return (Path(own) if own else state_directory(config)) / "metrics"


def _publish(config: Config, port: int) -> None:
    directory = publish_directory(config)
    try:
        publish(directory, target_for(config.listen_address, port), config.publish_prometheus_url)
    except PublishError as error:
        log.error("%s", error)
    else:
        log.info("Prometheus and Grafana configuration is published in %s", directory)


def _nvml_bindings_version() -> str:
    try:
        return metadata.version("nvidia-ml-py")
    except metadata.PackageNotFoundError:
        return "unknown"
