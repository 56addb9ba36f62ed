"""Where things are on this machine, as the configuration and the environment say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genvd.config.schema import Config


GENV_STATE = Path("/var/tmp/genv")
"""Where genv keeps its state unless ``$GENV_TMPDIR`` says otherwise."""


def state_directory(config: Config) -> Path:
    """Return the directory in which genv keeps its state."""
    return config.genv_state_directory or Path(os.environ.get("GENV_TMPDIR") or GENV_STATE)


SERVICE_STATE = Path("/var/lib/genv-monitor")
"""The state directory of the service, as its unit names it."""


def ledger_directory(config: Config) -> Path | None:
    """Return the directory in which who used how much is kept; None where there is no place to keep it."""
    return config.ledger_directory or own_state_directory()


def ledger_to_read(config: Config) -> Path:
    """Return the directory in which to look for a ledger: that of the service, unless somebody says where."""
    return ledger_directory(config) or SERVICE_STATE


def own_state_directory() -> Path | None:
    """Return what systemd gave us to keep things in (systemd.exec(5)); None where it did not start us."""
    own = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(own) if own else None


def publish_directory(config: Config) -> Path:
    """Return the directory for the Prometheus and Grafana files."""
    if config.publish_directory:
        return config.publish_directory
    return (own_state_directory() or state_directory(config)) / "metrics"
