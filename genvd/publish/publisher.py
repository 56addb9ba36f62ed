"""Publishes the files, retries after failures, and restores files that somebody else has changed."""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import TYPE_CHECKING

from genvd.common.error_log import ErrorLog
from genvd.common.worker_pool import WorkerPool
from genvd.publish.file_watcher import FileWatcher
from genvd.publish.publication import PublishError, publication_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from genvd.config.schema import Config

log = logging.getLogger(__name__)

_FIRST_RETRY_SECONDS = 5.0
_LAST_RETRY_SECONDS = 60.0

RESTORE_SECONDS = 30.0
"""How long to wait before a changed file is restored: long enough that a scrape sees the change in the metrics."""

MIN_SECONDS_BETWEEN_RESTORES = 3600.0
"""Otherwise two monitors that publish into the same directory would restore their files for ever."""

_PUBLISH, _CHECK, _CHANGED = "publish", "check", "changed"
"""Keys of the error log."""

_ADVICE = (
    "another monitor publishes there, such as a 'genv monitor' in a terminal, or somebody edits it;"
    " give that monitor its own directory with --config-dir, and edit a copy"
)


class Publisher:
    """Publishes the files and watches them.

    The main thread publishes. A worker thread checks the files, as a disk may hang.
    """

    def __init__(
        self, on_result: Callable[[bool | None], None], *, demo: bool, wake: Callable[[], None] = lambda: None
    ) -> None:
        """Create a publisher that has not published yet.

        Args:
            on_result: called with whether all files are published and unchanged; None if publishing is off.
            demo: whether the machine is simulated. Its files never go to the default directory, which has the files of
                the real machine.
            wake: lets the main thread call :meth:`seconds_until_retry` again.
        """
        self._on_result = on_result
        self._demo = demo
        self._wake = wake
        self._errors = ErrorLog(log)
        self._retry_seconds = _FIRST_RETRY_SECONDS
        self._pool = WorkerPool("publish")
        self._check: Future[None] | None = None  # the last check of the files
        self._lock = threading.Lock()  # for the following attributes and the error log
        self._retry_at: float | None = None
        self._watcher: FileWatcher | None = None  # None while the files are being written, or after a failure
        self._restoring = False
        self._restored_at: float | None = None

    def publish(self, config: Config, port: int, target: str | None = None) -> None:
        """Publish the files for a configuration.

        Args:
            config: the configuration.
            port: the port that this monitor serves on.
            target: ``host:port`` of this monitor; None for the one in the configuration.
        """
        with self._lock:
            self._errors = ErrorLog(log)  # a reload logs current errors again
            self._restoring, self._restored_at = False, None
        self._retry_seconds = _FIRST_RETRY_SECONDS
        self._publish(config, port, target)

    def retry_if_due(self, config: Config, port: int, target: str | None = None) -> None:
        """Publish again if a retry is due; the arguments are those of :meth:`publish`."""
        if self.seconds_until_retry() == 0:
            self._publish(config, port, target)

    def seconds_until_retry(self) -> float | None:
        """Return the seconds until the next retry, or None if there is none."""
        retry_at = self._retry_at
        return None if retry_at is None else max(0.0, retry_at - time.monotonic())

    def check_files(self) -> None:
        """Start a check of the published files, unless one is running. A slow disk does not delay the caller."""
        watcher = self._watcher
        if watcher is not None and (self._check is None or self._check.done()):
            self._check = self._pool.submit(lambda: self._run_check(watcher), math.inf)

    def _run_check(self, watcher: FileWatcher) -> None:
        try:
            change = watcher.find_change()
            with self._lock:
                if watcher is self._watcher:
                    self._handle_check(change)
        except Exception as error:  # nobody reads the result of this call
            with self._lock:
                self._errors.defect(_CHECK, "checking the published files", error)

    def _handle_check(self, change: str | None) -> None:
        """Schedule a restore after a change, or cancel it if there is no change any more. The lock must be held."""
        self._on_result(change is None)
        if change is None:
            if self._retry_at is not None:  # somebody else has restored the files
                self._retry_at, self._restoring = None, False
                self._wake()
            self._errors.clear(_CHANGED, "the published files are complete again")
            return
        if self._retry_at is not None:  # the restore is scheduled already
            return
        now = time.monotonic()
        if self._restored_at is not None and now - self._restored_at < MIN_SECONDS_BETWEEN_RESTORES:
            plan = "it is restored within an hour; 'systemctl reload genv-monitor' restores it now"
        else:
            plan = f"it is restored in {RESTORE_SECONDS:.0f} s"
            self._retry_at, self._restoring = now + RESTORE_SECONDS, True
            self._wake()
        self._errors.report(_CHANGED, f"{change}: {_ADVICE}; {plan}", kind=plan)

    def _publish(self, config: Config, port: int, target: str | None) -> None:
        with self._lock:
            self._watcher = self._retry_at = None
        if not self._is_enabled(config):
            self._on_result(None)
            return
        try:
            publication = publication_for(config, port, target)
            publication.write()
        except PublishError as error:
            self._handle_failure(str(error))
            return
        with self._lock:
            self._watcher = FileWatcher(publication)
            if self._restoring:
                self._restoring, self._restored_at = False, time.monotonic()
            self._on_result(True)
            self._log_success(f"Prometheus and Grafana configuration is published in {publication.directory}")

    def _log_success(self, text: str) -> None:
        if _PUBLISH in self._errors.active:
            self._errors.clear(_PUBLISH, text)
        else:
            log.info("%s", text)

    def _is_enabled(self, config: Config) -> bool:
        if config.publish_enabled and self._demo and not config.publish_directory:
            log.info("demo: no files are published; name a directory with --config-dir or publish.directory")
            return False
        return config.publish_enabled

    def _handle_failure(self, problem: str) -> None:
        with self._lock:
            self._on_result(False)
            self._errors.report(_PUBLISH, problem, level=logging.ERROR)
            self._retry_at = time.monotonic() + self._retry_seconds
        self._retry_seconds = min(2 * self._retry_seconds, _LAST_RETRY_SECONDS)
