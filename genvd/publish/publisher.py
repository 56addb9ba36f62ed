"""Publishing that is tried again until it works: a disk that is full today has room tomorrow."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from genvd.publish import PublishError, publish_as_configured

if TYPE_CHECKING:
    from collections.abc import Callable

    from genvd.config import Config

log = logging.getLogger(__name__)

_FIRST_RETRY_SECONDS = 5.0
_LAST_RETRY_SECONDS = 60.0


class Publisher:
    """Publishes, remembers whether that worked, and says each problem once."""

    def __init__(self, report: Callable[[bool | None], None], *, demo: bool) -> None:
        """Make one that has not published yet.

        Args:
            report: called with whether everything is published; None where nothing is to be.
            demo: whether the machine is simulated. Its files never go to the default directory, where those of the
                real machine are.
        """
        self._report = report
        self._demo = demo
        self._problem = ""
        self._delay = _FIRST_RETRY_SECONDS
        self._retry_at: float | None = None

    def publish(self, config: Config, port: int, target: str | None = None) -> None:
        """Publish what the configuration says.

        Args:
            config: what to publish, and where.
            port: the port that is served.
            target: ``host:port`` where it is served; None for what the configuration says.
        """
        self._problem, self._delay = "", _FIRST_RETRY_SECONDS
        self._try(config, port, target)

    def retry(self, config: Config, port: int, target: str | None = None) -> None:
        """Try again if it failed and the time for that has come."""
        if self.seconds_left() == 0:
            self._try(config, port, target)

    def seconds_left(self) -> float | None:
        """Return after how many seconds to try again; None for not at all."""
        return None if self._retry_at is None else max(0.0, self._retry_at - time.monotonic())

    def _try(self, config: Config, port: int, target: str | None) -> None:
        self._retry_at = None
        if not self._is_wanted(config):
            self._report(None)
            return
        try:
            directory = publish_as_configured(config, port, target)
        except PublishError as error:
            self._failed(str(error))
        else:
            self._report(True)
            log.info("Prometheus and Grafana configuration is published in %s", directory)

    def _is_wanted(self, config: Config) -> bool:
        if config.publish_enabled and self._demo and not config.publish_directory:
            log.info("demo: nothing is published; --config-dir or publish.directory says where it is to be")
            return False
        return config.publish_enabled

    def _failed(self, problem: str) -> None:
        self._report(False)
        if problem != self._problem:
            self._problem = problem
            log.error("%s", problem)
        self._retry_at = time.monotonic() + self._delay
        self._delay = min(2 * self._delay, _LAST_RETRY_SECONDS)
