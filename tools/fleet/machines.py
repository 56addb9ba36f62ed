"""Simulated machines without threads, for many in one process."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from genvd import __version__
from genvd.analysis.snapshot_builder import SnapshotBuilder
from genvd.collectors.base import device_groups
from genvd.collectors.demo.machine import DemoAccounts, DemoGenv, DemoGenvCommand, DemoGpus, DemoMachine, DemoProcesses
from genvd.collectors.registry import Collectors
from genvd.common.error_log import ErrorLog
from genvd.common.worker_pool import WorkerPool
from genvd.config.schema import Config
from genvd.ledger.ledger import Ledger
from genvd.metrics import GROUPS
from genvd.metrics.exposition import TEXT, Format, render
from genvd.metrics.limits import Limits
from genvd.metrics.registry import Registry
from genvd.model.snapshot import ServiceStatus, Snapshot

T = TypeVar("T")

_PATIENCE = 60.0
_DEFAULTS = Config()
_LIMITS = Limits(_DEFAULTS.limits_environments, _DEFAULTS.limits_users, _DEFAULTS.limits_processes)


class ThreadlessMonitor:
    """A monitor that collects in the thread of the caller."""

    def __init__(self, collectors: Collectors, config: Config) -> None:
        """Create the monitor.

        Args:
            collectors: the collectors of the machine.
            config: the configuration.
        """
        self._mode = collectors.mode
        self._builder = SnapshotBuilder(collectors, _PATIENCE, device_groups(config), _IN_THIS_THREAD)
        self._ledger = Ledger(config, "demo") if config.ledger_enabled else None
        left_out = frozenset(group for group in GROUPS if not getattr(config, f"metrics_{group}"))
        self._registry = Registry(ErrorLog(logging.getLogger(__name__)), _LIMITS, left_out)
        self._collections = 0

    def collect(self) -> Snapshot:
        """Run the next collection."""
        self._collections += 1
        service = ServiceStatus(
            version=__version__,
            mode=self._mode,
            python_version=platform.python_version(),
            nvml_bindings_version="unknown",
            collections=self._collections,
            collections_skipped=0,
            config_reload_successful=True,
            config_reload_timestamp=0.0,
            publish_success=True,
        )
        snapshot = self._builder.build(service)
        return snapshot if self._ledger is None else snapshot._replace(ledger=self._ledger.record(snapshot))

    def exposition(self, snapshot: Snapshot, format_: Format = TEXT) -> bytes:
        """Return the body of a scrape."""
        return render(format_, self._registry.collect(snapshot))


class SimulatedMachine(ThreadlessMonitor):
    """The machine of ``genv-monitor --demo``."""

    def __init__(self, devices: int, seed: int, seconds: float) -> None:
        """Create the machine.

        Args:
            devices: number of GPUs.
            seed: selects users and jobs.
            seconds: time between collections.
        """
        demo = DemoMachine(devices, seed, seconds, epoch=time.time())
        super().__init__(
            Collectors("demo", DemoGpus(demo), DemoGenv(demo), DemoGenvCommand(), DemoProcesses(demo), DemoAccounts()),
            Config(collect_interval=seconds),
        )


class _InThisThread(WorkerPool):
    """A worker pool that runs calls in the thread of the caller."""

    def submit(self, call: Callable[[], T], deadline: float) -> Future[T]:
        """Run the call; return its result."""
        future: Future[T] = Future()
        future.set_result(call())
        return future


_IN_THIS_THREAD = _InThisThread("collectors")
"""Threads for each collector of a thousand machines would be too many."""
