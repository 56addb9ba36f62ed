"""Looks at the machine once for each tick, and puts what it saw where requests find it."""

from __future__ import annotations

import logging
import socket
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from genvd import __version__
from genvd.analysis.history import HistoryRecorder
from genvd.analysis.snapshot_builder import SnapshotBuilder
from genvd.collectors.base import device_groups
from genvd.collectors.genv.state import GenvStateCollector
from genvd.common.error_log import ErrorLog
from genvd.common.text import clean, gpus
from genvd.config.paths import state_directory
from genvd.ledger.ledger import Ledger, directory_for
from genvd.ledger.saved_state import load_saved_state
from genvd.metrics import GROUPS
from genvd.metrics.exposition import Exposition
from genvd.metrics.limits import Limits
from genvd.metrics.registry import Registry
from genvd.model.snapshot import ServiceStatus
from genvd.service import process
from genvd.web.site import Latest, Site

if TYPE_CHECKING:
    from genvd.collectors.registry import Collectors
    from genvd.config.schema import Config
    from genvd.metrics.samples import Family
    from genvd.model.snapshot import CertificateEnd, ListenAddress, Snapshot

log = logging.getLogger(__name__)

_PYTHON_VERSION = ".".join(map(str, sys.version_info[:3]))

_COLLECTION, _COUNTING = "a collection", "counting for the ledger"
"""What can fail, as the log names it."""

_OLD_LEDGER_SECONDS = 1.0
"""That are waited for a ledger to be written before another one is begun."""


class Monitor:
    """The machine, and the site that shows it."""

    def __init__(self, config: Config, collectors: Collectors) -> None:
        self.site = Site()
        self._genv = collectors.genv
        self._set_interval = collectors.set_interval
        self._builder = SnapshotBuilder(collectors, _timeout(config), device_groups(config))
        self._mode = collectors.mode
        self._host = clean(socket.gethostname())
        self._interval = config.collect_interval
        self._idle_grace = config.idle_grace
        self._history = HistoryRecorder()
        self._bindings_version = collectors.bindings_version
        self._collections = 0
        self._skipped = 0
        self._reload_successful = True
        self._reload_timestamp = time.time()
        self.web_config_successful = True
        """Whether the web configuration could be used when it was last read."""
        self.listening: tuple[ListenAddress, ...] = ()
        """Where it is to serve, and whether it does."""
        self.certificate_ends: tuple[CertificateEnd, ...] = ()
        """Until when the certificates are valid that are in force."""
        self._published: bool | None = None
        self._errors = ErrorLog(log)
        self._registry = Registry(self._errors, _limits(config), _left_out(config))
        self._ledger: Ledger | None = None
        self._look_for_renumbering = False

    def keep_ledger(self, config: Config) -> None:
        """Count who uses how much, from the next collection on, where the configuration says so."""
        ledger = self._ledger
        if ledger is not None and (not config.ledger_enabled or directory_for(config, self._mode) != ledger.directory):
            ledger.stop()
            ledger.wait(_OLD_LEDGER_SECONDS)
            self._ledger = None
        if self._ledger is not None:
            self._ledger.reconfigure(config)
        elif config.ledger_enabled:
            self._ledger = Ledger(config, self._mode)

    def close_ledger(self, seconds: float) -> bool:
        """Have what was counted written; return whether it was within this time."""
        if self._ledger is None:
            return True
        self._ledger.stop()
        return self._ledger.wait(seconds)

    @process.gc_paused()
    def tick(self, skipped: int) -> None:
        """Make one collection and render it; never raises.

        Args:
            skipped: ticks that were left out since the last one.
        """
        try:
            self._recall()
            snapshot = self._counted(self.look(skipped))
            self._log_renumbering(snapshot)
            self.site.latest = Latest(snapshot, self._exposition(snapshot), self._history.record(snapshot))
        except Exception as error:  # the timer must go on whatever a tick meets
            self._errors.defect(_COLLECTION, _COLLECTION, error)
        else:
            self._errors.clear(_COLLECTION, f"{_COLLECTION} succeeds again")

    def _exposition(self, snapshot: Snapshot) -> Exposition:
        previous = self.site.latest
        return Exposition(self._registry.collect(snapshot), previous.exposition if previous else None)

    def look(self, skipped: int = 0) -> Snapshot:
        """Make one collection."""
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
                config_reload_timestamp=self._reload_timestamp,
                publish_success=self._published,
                host=self._host,
                interval_seconds=self._interval,
                listening=self.listening,
                certificate_ends=self.certificate_ends,
                idle_grace_seconds=self._idle_grace,
            )
        )

    def _recall(self) -> None:
        """Begin from what the ledger remembers of environments, once it has told that."""
        restart_state = self._ledger.take_restart_state() if self._ledger else None
        if restart_state is not None:
            self._builder.restore(restart_state)
            self._look_for_renumbering = True

    def recall_from_service(self, config: Config) -> None:
        """Begin from what the ledger of the service remembers, where this monitor keeps none and may read that one."""
        restart_state = load_saved_state(config) if self._mode == "live" else None
        if restart_state is not None:
            self._builder.restore(restart_state)

    def _log_renumbering(self, snapshot: Snapshot) -> None:
        """Log once after a start of which GPUs it is not known who holds them, as indices changed before it."""
        if not self._look_for_renumbering or snapshot.devices is None or snapshot.environments is None:
            return
        self._look_for_renumbering = False
        if not all(one.devices_known for one in snapshot.environments):
            log.warning(
                "at the start, GPUs have other indices than when environments were attached, so it is not known who"
                " holds %s; see 'nvidia-smi -L'",
                gpus(snapshot.holders_unknown),
            )

    def _counted(self, snapshot: Snapshot) -> Snapshot:
        """Return the Snapshot with what the ledger says after it."""
        ledger = self._ledger
        try:
            if ledger is None:
                return snapshot
            counted = replace(snapshot, ledger=ledger.record(snapshot, self._builder.restart_state(snapshot)))
        except Exception as error:  # a defect there must cost these metrics only
            self._errors.defect(_COUNTING, _COUNTING, error)
            return snapshot
        self._errors.clear(_COUNTING, f"{_COUNTING} succeeds again")
        return counted

    def exported(self, snapshot: Snapshot) -> list[Family]:
        """Return the metrics of a collection, as many as the limits allow."""
        return self._registry.collect_snapshot(snapshot)

    def reconfigure(self, config: Config) -> None:
        """Look at the machine as the configuration says, from the next collection on."""
        self._builder.timeout = _timeout(config)
        self._interval = config.collect_interval
        self._idle_grace = config.idle_grace
        self._set_interval(config.collect_interval)
        self._registry.configure(_limits(config), _left_out(config))
        self._builder.groups = device_groups(config)
        if isinstance(self._genv, GenvStateCollector) and self._genv.directory != state_directory(config):
            self._genv.directory = state_directory(config)
            self._builder.reset_first_seen()

    def reloaded(self, *, successful: bool) -> None:
        """Remember how the last reload of the configuration went."""
        self._reload_successful = successful
        if successful:
            self._reload_timestamp = time.time()

    def published(self, successful: bool | None) -> None:
        """Remember how publishing went last; None where nothing is to be published."""
        self._published = successful


def _timeout(config: Config) -> float:
    return min(config.collect_timeout, config.collect_interval)


def _limits(config: Config) -> Limits:
    return Limits(config.limits_environments, config.limits_users, config.limits_processes)


def _left_out(config: Config) -> frozenset[str]:
    return frozenset(group for group in GROUPS if not getattr(config, f"metrics_{group}"))
