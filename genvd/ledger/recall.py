"""What the ledger of the service remembers, for commands that collect by themselves."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING

from genvd.config.paths import ledger_to_read
from genvd.ledger import paths, schema
from genvd.ledger.store import read_remembered

if TYPE_CHECKING:
    from pathlib import Path

    from genvd.analysis.restart_state import RestartState
    from genvd.config.schema import Config

log = logging.getLogger(__name__)


def recalled(config: Config) -> RestartState | None:
    """Return what it remembers; None where there is no ledger, none is to be kept, or this user may not read it.

    The file is only read, also while the service writes it.
    """
    if not config.ledger_enabled:
        return None
    path = ledger_to_read(config) / paths.FILE
    try:
        if not _is_file(path):
            return None
        with closing(schema.open_for_reading(path)) as connection:
            schema.check(connection, ("live",))
            return read_remembered(connection)
    except (OSError, sqlite3.Error, schema.RefusedError) as error:
        log.debug("%s: is not read: %s", path, error)
        return None


def _is_file(path: Path) -> bool:
    """Tell whether it is a regular file, as SQLite would wait for whoever writes to a pipe; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
