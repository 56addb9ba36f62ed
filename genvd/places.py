"""Where things are on this machine, as the configuration and the environment say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from genvd.sources.genv_state import default_directory

if TYPE_CHECKING:
    from genvd.config import Config


def state_directory(config: Config) -> Path:
    """Return the directory in which genv keeps its state."""
    return config.genv_state_directory or default_directory()


def publish_directory(config: Config) -> Path:
    """Return the directory for the Prometheus and Grafana files."""
    if config.publish_directory:
        return config.publish_directory
    own = os.environ.get("STATE_DIRECTORY", "").split(":")[0]  # systemd.exec(5)
    return (Path(own) if own else state_directory(config)) / "metrics"
