"""Directories of genv, the ledger and the published files, from the configuration and the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genvd.config.schema import Config


GENV_STATE = Path("/var/tmp/genv")
"""genv's default state directory, if ``$GENV_TMPDIR`` is not set."""


def state_directory(config: Config) -> Path:
    """Return genv's state directory."""
    return config.genv_state_directory or Path(os.environ.get("GENV_TMPDIR") or GENV_STATE)


SERVICE_STATE = Path("/var/lib/genv-monitor")
"""The state directory of the service, as set in its systemd unit."""

SERVICE_METRICS = SERVICE_STATE / "metrics"
"""Where the service publishes. The package makes a link to it where genv's documentation expects the files."""


def ledger_directory(config: Config) -> Path | None:
    """Return the directory of the ledger; None if the ledger is kept in memory only."""
    return config.ledger_directory or own_state_directory()


def ledger_to_read(config: Config) -> Path:
    """Return the directory from which commands read the ledger; by default that of the service."""
    return ledger_directory(config) or SERVICE_STATE


def own_state_directory() -> Path | None:
    """Return the state directory from systemd (systemd.exec(5)); None if systemd did not start this process."""
    own = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(own) if own else None


def publish_directory(config: Config) -> Path:
    """Return the directory to which the Prometheus and Grafana files are published."""
    if config.publish_directory:
        return config.publish_directory
    return (own_state_directory() or state_directory(config)) / "metrics"
