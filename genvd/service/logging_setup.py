"""Logging to standard error: with priorities for the journal, with timestamps for a terminal."""

from __future__ import annotations

import logging
import os
import sys

_PRIORITIES = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
"""Priorities of syslog(3). The journal reads them from a prefix such as <6> (sd-daemon(3))."""


def set_up(level: str) -> None:
    """Send the log to standard error.

    Args:
        level: one of :data:`genvd.config.schema.LOG_LEVELS`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JournalFormatter() if _stderr_is_journal() else _TERMINAL_FORMATTER)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.raiseExceptions = False  # a log that cannot be written must not stop the service


class _JournalFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        priority = f"<{_PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(priority + line for line in super().format(record).split("\n"))


_TERMINAL_FORMATTER = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")


def _stderr_is_journal() -> bool:
    """Return whether standard error is connected to the journal (JOURNAL_STREAM in systemd.exec(5))."""
    try:
        device, inode = map(int, os.environ.get("JOURNAL_STREAM", "").split(":"))
        status = os.fstat(sys.stderr.fileno())
    except (ValueError, OSError, AttributeError):  # sys.stderr is None when it is closed
        return False
    return (status.st_dev, status.st_ino) == (device, inode)
