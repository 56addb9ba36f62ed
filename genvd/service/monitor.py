"""One tick of the service: collect a Snapshot, render the metrics, and store both for the web server."""

from __future__ import annotations

import logging
import socket
import sys
import time
from typing import TYPE_CHECKING

from genvd import __version__
from genvd.analysis.history import HistoryRecorder
from genvd.analysis.snapshot_builder import SnapshotBuilder
from genvd.collectors.base import device_groups, group_periods
from genvd.collectors.genv.state import GenvStateCollector
from genvd.common.error_log import ErrorLog
from genvd.common.text import clean, gpus
from genvd.config.paths import state_directory
from genvd.ledger.ledger import Ledger, directory_for, load_restart_state
from genvd.metrics import GROUPS
from genvd.metrics.exposition import Exposition
from genvd.metrics.limits import Limits
from genvd.metrics.registry import Registry
from genvd.model.snapshot import ServiceStatus
from genvd.web.site import Latest, Site

if TYPE_CHECKING:
    from genvd.collectors.registry import Collectors
    from genvd.config.schema import Config
    from genvd.metrics.samples import Family
    from genvd.model.snapshot import CertificateValidity, ListenAddress, Snapshot

log = logging.getLogger(__name__)

_PYTHON_VERSION = ".".join(map(str, sys.version_info[:3]))

_COLLECTION, _LEDGER = "collection", "ledger accounting"
"""Keys of the error log, and names in it."""

_LEDGER_CLOSE_SECONDS = 1.0
"""How long to wait until the old ledger is written, before a new one is opened."""


class Monitor:
    """Collects Snapshots of this machine and keeps the latest one for the web server."""

    def __init__(self, config: Config, collectors: Collectors) -> None:
        self.site = Site()
        self._genv = collectors.genv
        self._set_interval = collectors.set_interval
        self._builder = SnapshotBuilder(collectors, _timeout(config), device_groups(config))
        self._builder.periods = group_periods(config)
        self._mode = collectors.mode
        self._host = clean(socket.gethostname())
        self._interval = config.collect_interval
        self._idle_grace = config.idle_grace
        self._history = HistoryRecorder()
        self._bindings_version = collectors.bindings_version
        self._collections = 0
        self._skipped = 0
        self._reload_successful = True
        self._reload_problem = ""
        self._reload_timestamp = time.time()
        self.web_config_successful = True
        """Whether the web configuration was valid when it was last read."""
        self.listening: tuple[ListenAddress, ...] = ()
        """The configured addresses, and whether they are served."""
        self.certificate_ends: tuple[CertificateValidity, ...] = ()
        """The expiry of the certificates in use."""
        self._published: bool | None = None
        self._errors = ErrorLog(log)
        self._registry = Registry(self._errors, _limits(config), _disabled_groups(config))
        self._ledger: Ledger | None = None
        self._check_renumbering = False
        """Whether :meth:`_log_renumbering` has to check the next Snapshot, as the first one after a restore."""

    def configure_ledger(self, config: Config) -> None:
        """Open, reconfigure or close the ledger according to the configuration."""
        ledger = self._ledger
        if ledger is not None and (not config.ledger_enabled or directory_for(config, self._mode) != ledger.directory):
            ledger.stop()
            ledger.wait(_LEDGER_CLOSE_SECONDS)
            self._ledger = None
        if self._ledger is not None:
            self._ledger.reconfigure(config)
        elif config.ledger_enabled:
            self._ledger = Ledger(config, self._mode)
        self.site.usage.ledger = self._ledger
        self.site.usage.visible = config.usage_visible

    def close_ledger(self, seconds: float) -> bool:
        """Write and close the ledger; return whether that was done in this time."""
        if self._ledger is None:
            return True
        self._ledger.stop()
        return self._ledger.wait(seconds)

    def tick(self, skipped: int) -> None:
        """Run one collection and render it. It never raises.

        Args:
            skipped: number of ticks that were skipped before this one.
        """
        try:
            self._restore_from_ledger()
            snapshot = self._update_ledger(self.collect(skipped))
            self._log_renumbering(snapshot)
            exposition, history = self._exposition(snapshot), self._history.record(snapshot)
            self.site.latest = Latest(self._without_private_usage(snapshot), exposition, history)
        except Exception as error:  # no error in a tick may end the timer
            self._errors.defect(_COLLECTION, _COLLECTION, error)
        else:
            self._errors.clear(_COLLECTION, f"{_COLLECTION} succeeds again")

    def _without_private_usage(self, snapshot: Snapshot) -> Snapshot:
        """Return the Snapshot for the page and the JSON. The counters are in /metrics in any case."""
        if snapshot.ledger is None or self.site.usage.visible == "all":
            return snapshot
        return snapshot._replace(ledger=snapshot.ledger._replace(users=None, environments=()))

    def _exposition(self, snapshot: Snapshot) -> Exposition:
        previous = self.site.latest
        return Exposition(self._registry.collect(snapshot), previous.exposition if previous else None)

    def collect(self, skipped: int = 0) -> Snapshot:
        """Run one collection."""
        self._collections += 1
        self._skipped += skipped
        return self._builder.build(
            ServiceStatus(
                version=__version__,
                mode=self._mode,
                python_version=_PYTHON_VERSION,
                nvml_bindings_version=self._bindings_version,
                collections=self._collections,
                collections_skipped=self._skipped,
                config_reload_successful=self._reload_successful and self.web_config_successful,
                config_reload_problem=self._reload_problem,
                config_reload_timestamp=self._reload_timestamp,
                publish_success=self._published,
                host=self._host,
                interval_seconds=self._interval,
                listening=self.listening,
                certificate_ends=self.certificate_ends,
                idle_grace_seconds=self._idle_grace,
            )
        )

    def _restore_from_ledger(self) -> None:
        """Restore the state that was saved before the restart, as soon as the ledger has read it."""
        restart_state = self._ledger.take_restart_state() if self._ledger else None
        if restart_state is not None:
            self._builder.restore(restart_state)
            self._check_renumbering = True

    def restore_from_service(self, config: Config) -> None:
        """Restore the state in the ledger of the service, if this user may read it; for a monitor without a ledger."""
        restart_state = load_restart_state(config) if self._mode == "live" else None
        if restart_state is not None:
            self._builder.restore(restart_state)

    def _log_renumbering(self, snapshot: Snapshot) -> None:
        """Log once after a start which GPUs have unknown holders because indices changed."""
        if not self._check_renumbering or snapshot.devices is None or snapshot.environments is None:
            return
        self._check_renumbering = False
        if not all(environment.devices_known for environment in snapshot.environments):
            log.warning(
                "the GPU indices have changed since environments were attached, so the holders of %s are unknown;"
                " see 'nvidia-smi -L'",
                gpus(snapshot.holders_unknown),
            )

    def _update_ledger(self, snapshot: Snapshot) -> Snapshot:
        """Record the Snapshot in the ledger; return it with the totals of the ledger."""
        ledger = self._ledger
        try:
            if ledger is None:
                return snapshot
            updated = snapshot._replace(ledger=ledger.record(snapshot, self._builder.restart_state(snapshot)))
        except Exception as error:  # a bug there may only cost these metrics
            self._errors.defect(_LEDGER, _LEDGER, error)
            return snapshot
        self._errors.clear(_LEDGER, f"{_LEDGER} succeeds again")
        return updated

    def metric_families(self, snapshot: Snapshot) -> list[Family]:
        """Return the metrics of a Snapshot, within the limits."""
        return self._registry.collect_snapshot(snapshot)

    def reconfigure(self, config: Config) -> None:
        """Apply a configuration from the next collection on."""
        self._builder.timeout = _timeout(config)
        self._interval = config.collect_interval
        self._idle_grace = config.idle_grace
        self._set_interval(config.collect_interval)
        self._registry.configure(_limits(config), _disabled_groups(config))
        self._builder.groups, self._builder.periods = device_groups(config), group_periods(config)
        if isinstance(self._genv, GenvStateCollector) and self._genv.directory != state_directory(config):
            self._genv.directory = state_directory(config)
            self._builder.reset_first_seen()

    def record_reload(self, *, successful: bool, problem: str = "") -> None:
        """Record the result of the last configuration reload, for the metrics."""
        self._reload_successful, self._reload_problem = successful, problem
        if successful:
            self._reload_timestamp = time.time()

    def record_publish(self, successful: bool | None) -> None:
        """Record the result of the last publishing, for the metrics; None if publishing is off."""
        self._published = successful


def _timeout(config: Config) -> float:
    return min(config.collect_timeout, config.collect_interval)


def _limits(config: Config) -> Limits:
    return Limits(config.limits_environments, config.limits_users, config.limits_processes)


def _disabled_groups(config: Config) -> frozenset[str]:
    return frozenset(group for group in GROUPS if not getattr(config, f"metrics_{group}"))
