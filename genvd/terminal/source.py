"""Where ``top`` and ``free`` get their Snapshots: from a running service, or collected in this process."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from genvd.analysis.history import HistoryRecorder
from genvd.terminal.client import ServiceClient, TimedSnapshot
from genvd.terminal.curves import HISTORY_SECONDS, Curves, curves_of
from genvd.terminal.http_client import Access, NotListeningError, NotReadyError

if TYPE_CHECKING:
    from genvd.config.schema import Config
    from genvd.terminal.poller import SnapshotSource


_RETRY_SECONDS = 0.2
"""Pause between two requests while the service has no data yet."""

_TIMEOUTS = 2
"""How long to wait for the first collection of the service, in multiples of ``collect.timeout``."""


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """The command-line options that say where the data comes from."""

    url: str | None
    access: Access
    interval: float
    """Seconds between two requests."""
    demo: int | None
    """Number of GPUs of the simulated machine; None for the real machine."""
    with_curves: bool = False
    """Whether the last hour of each GPU is wanted too."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A source, and what it gave first."""

    source: SnapshotSource
    note: str | None
    """Where the data comes from, for a title line; None if that needs no mention."""
    first: TimedSnapshot


def connect(config: Config, options: SourceOptions) -> Connection:
    """Return the service of the options; without a URL, and if no service runs here, a source that collects itself.

    Raises:
        ServiceError: there is no data.
    """
    if options.demo is None:
        source = _ServiceSource(ServiceClient(options.url or local_url(config), options.access), options)
        try:
            return Connection(source, source.client.url, _first_snapshot(source, _TIMEOUTS * config.collect_timeout))
        except NotListeningError:
            if options.url:
                raise
    local = _LocalSource(config, options)
    note = None if options.demo is not None else "no service runs: collected by this command"
    return Connection(local, note, local.fetch())


def _first_snapshot(source: SnapshotSource, seconds: float) -> TimedSnapshot:
    """Return the first Snapshot; a service that has just been started gets this long to produce it."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return source.fetch()
        except NotReadyError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_RETRY_SECONDS)


def local_url(config: Config) -> str:
    """Return the URL of the service of this machine, according to its configuration."""
    from genvd.config.web import read_web_config
    from genvd.publish.scrape_config import scrape_target

    tls = config.listen_web_config_file and read_web_config(config.listen_web_config_file).config.tls
    return f"{'https' if tls else 'http'}://{scrape_target(config.listen_address, config.listen_port)}"


class _ServiceSource:
    """Asks a service: for the Snapshot each time, for the last hour now and then."""

    def __init__(self, client: ServiceClient, options: SourceOptions) -> None:
        self.client = client
        self._with_curves = options.with_curves
        self._curves: Curves = {}
        self._next_curves = 0.0

    def fetch(self) -> TimedSnapshot:
        timed = self.client.fetch()
        if self._with_curves and time.monotonic() >= self._next_curves:
            self._next_curves = time.monotonic() + HISTORY_SECONDS
            self._curves = self.client.fetch_curves()
        return replace(timed, curves=self._curves)


class _LocalSource:
    """Collects in this process, where no service runs."""

    def __init__(self, config: Config, options: SourceOptions) -> None:
        from genvd.collectors.registry import make_collectors
        from genvd.service.monitor import Monitor
        from genvd.service.separation import Separation

        if options.demo is None:
            separation = Separation()
            separation.start_helper()
            separation.give_up_privileges(config, None)
        # A short refresh interval must not shorten the time that collectors get.
        local_config = replace(config, collect_interval=max(options.interval, config.collect_timeout))
        self._monitor = Monitor(local_config, make_collectors(local_config, options.demo))
        self._monitor.restore_from_service(config)
        self._history = HistoryRecorder()

    def fetch(self) -> TimedSnapshot:
        snapshot = self._monitor.collect()
        return TimedSnapshot(snapshot, time.time(), curves_of(snapshot, self._history.record(snapshot).hour))
