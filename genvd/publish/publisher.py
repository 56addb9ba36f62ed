"""Publishing that is tried again until it works, and that notices when somebody else has changed what it wrote."""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import TYPE_CHECKING

from genvd.common.error_log import ErrorLog
from genvd.common.worker_pool import WorkerPool
from genvd.publish import PublishError, publication_for
from genvd.publish.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from genvd.config.schema import Config

log = logging.getLogger(__name__)

_FIRST_RETRY_SECONDS = 5.0
_LAST_RETRY_SECONDS = 60.0

RESTORE_SECONDS = 30.0
"""After which what somebody else has changed is published again: long enough that a scrape sees that it was."""

LASTING_SECONDS = 3600.0
"""From one such time to the next at least: where two writers want the same files, none of them would ever end."""

_PUBLISH, _LOOK, _ALTERED = "publish", "look", "altered"
"""What can go wrong."""

_ADVICE = (
    "another monitor publishes there, such as a 'genv monitor' in a terminal, or somebody edits it;"
    " give that monitor a directory of its own with --config-dir, and copy what you edit"
)


class Publisher:
    """Publishes, and knows whether what it published is there.

    The main thread publishes. The files are compared in a worker thread, as a disk may hang.
    """

    def __init__(
        self, report: Callable[[bool | None], None], *, demo: bool, wake: Callable[[], None] = lambda: None
    ) -> None:
        """Make one that has not published yet.

        Args:
            report: called with whether everything is published; None where nothing is to be.
            demo: whether the machine is simulated. Its files never go to the default directory, where those of the
                real machine are.
            wake: makes the main thread ask anew for :meth:`seconds_left`.
        """
        self._report = report
        self._demo = demo
        self._wake = wake
        self._errors = ErrorLog(log)
        self._delay = _FIRST_RETRY_SECONDS
        self._pool = WorkerPool("publish")
        self._look: Future[None] | None = None  # the last comparison of the files with what was published
        self._lock = threading.Lock()  # of what follows
        self._retry_at: float | None = None
        self._watch: Watch | None = None  # of what is published; None while it is being written, or could not be
        self._restoring = False
        self._restored_at: float | None = None

    def publish(self, config: Config, port: int, target: str | None = None) -> None:
        """Publish what the configuration says.

        Args:
            config: what to publish, and where.
            port: the port that is served.
            target: ``host:port`` where it is served; None for what the configuration says.
        """
        with self._lock:
            self._errors = ErrorLog(log)  # whoever asks for it is told again what is wrong
            self._restoring, self._restored_at = False, None
        self._delay = _FIRST_RETRY_SECONDS
        self._try(config, port, target)

    def retry(self, config: Config, port: int, target: str | None = None) -> None:
        """Try again if it failed and the time for that has come."""
        if self.seconds_left() == 0:
            self._try(config, port, target)

    def seconds_left(self) -> float | None:
        """Return after how many seconds to try again; None for not at all."""
        retry_at = self._retry_at
        return None if retry_at is None else max(0.0, retry_at - time.monotonic())

    def look(self) -> None:
        """See whether what was published is still there; a slow disk is waited for no longer than a head start."""
        watch = self._watch
        if watch is not None and (self._look is None or self._look.done()):
            self._look = self._pool.submit(lambda: self._compare(watch), math.inf)

    def _compare(self, watch: Watch) -> None:
        try:
            altered = watch.altered()
            with self._lock:
                if watch is self._watch:
                    self._judge(altered)
        except Exception as error:  # nobody asks for the exception of this call
            with self._lock:
                self._errors.defect(_LOOK, "a look at the published files", error)

    def _judge(self, altered: str | None) -> None:
        """Take note of what is not as it was published; None if all is. The lock is held."""
        self._report(altered is None)
        if altered is None:
            if self._retry_at is not None:  # it is right again by itself
                self._retry_at, self._restoring = None, False
                self._wake()
            self._errors.clear(_ALTERED, "all that was published is there again")
            return
        if self._retry_at is not None:  # it is to be published again already
            return
        now = time.monotonic()
        if self._restored_at is not None and now - self._restored_at < LASTING_SECONDS:
            rest = "it is published again within an hour; 'systemctl reload genv-monitor' does so at once"
        else:
            rest = f"it is published again in {RESTORE_SECONDS:.0f} s"
            self._retry_at, self._restoring = now + RESTORE_SECONDS, True
            self._wake()
        self._errors.report(_ALTERED, f"{altered}: {_ADVICE}; {rest}", kind=rest)

    def _try(self, config: Config, port: int, target: str | None) -> None:
        with self._lock:
            self._watch = self._retry_at = None
        if not self._is_wanted(config):
            self._report(None)
            return
        try:
            publication = publication_for(config, port, target)
            publication.write()
        except PublishError as error:
            self._failed(str(error))
            return
        with self._lock:
            self._watch = Watch(publication)
            if self._restoring:
                self._restoring, self._restored_at = False, time.monotonic()
            self._report(True)
            self._say(f"Prometheus and Grafana configuration is published in {publication.directory}")

    def _say(self, text: str) -> None:
        if _PUBLISH in self._errors.active:
            self._errors.clear(_PUBLISH, text)
        else:
            log.info("%s", text)

    def _is_wanted(self, config: Config) -> bool:
        if config.publish_enabled and self._demo and not config.publish_directory:
            log.info("demo: nothing is published; --config-dir or publish.directory says where it is to be")
            return False
        return config.publish_enabled

    def _failed(self, problem: str) -> None:
        with self._lock:
            self._report(False)
            self._errors.report(_PUBLISH, problem, level=logging.ERROR)
            self._retry_at = time.monotonic() + self._delay
        self._delay = min(2 * self._delay, _LAST_RETRY_SECONDS)
