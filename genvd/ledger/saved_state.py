"""Reads the restart state that the service's ledger has saved, for ``once`` and ``top``."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from genvd.config.paths import ledger_to_read
from genvd.ledger import paths, schema
from genvd.ledger.store import read_restart_state

if TYPE_CHECKING:
    from genvd.analysis.restart_state import RestartState
    from genvd.config.schema import Config

log = logging.getLogger(__name__)


def load_saved_state(config: Config) -> RestartState | None:
    """Return the saved restart state; None if the ledger is disabled, missing or not readable.

    The file is opened read-only, and the service may be writing it.
    """
    if not config.ledger_enabled:
        return None
    path = ledger_to_read(config) / paths.FILE_NAME
    try:
        if not paths.is_regular_file(path):
            return None
        with closing(schema.open_for_reading(path)) as connection:
            schema.check_mode(connection, ("live",))
            return read_restart_state(connection)
    except (OSError, sqlite3.Error, schema.UnusableLedgerError) as error:
        log.debug("%s: cannot be read: %s", path, error)
        return None
