"""Publishes what the configuration says, where it says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from genvd import publish as publisher
from genvd.monitor import state_directory
from genvd.publish import target_for

if TYPE_CHECKING:
    from genvd.config import Config


def publish(config: Config, port: int) -> Path:
    """Write the Prometheus and Grafana files; return the directory.

    Args:
        config: what to publish, and where.
        port: the port that is served.

    Raises:
        PublishError: a file could not be written.
    """
    directory = publish_directory(config)
    target = target_for(config.listen_address, port)
    genvs_own = state_directory(config).resolve()
    publisher.publish(directory, target, config.publish_prometheus_url, for_everybody=genvs_own)
    return directory


def publish_directory(config: Config) -> Path:
    """Return the directory for the Prometheus and Grafana files."""
    if config.publish_directory:
        return config.publish_directory
    own = os.environ.get("STATE_DIRECTORY", "").split(":")[0]  # systemd.exec(5)
    return (Path(own) if own else state_directory(config)) / "metrics"
