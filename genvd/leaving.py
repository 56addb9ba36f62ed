"""How the process ends when threads of it may hang in the driver for ever."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from typing import NoReturn


def leave(status: int) -> NoReturn:
    """End this process at once.

    The usual way runs the exit handlers of loaded libraries. That of the driver's may wait for a call that hangs.
    """
    _flush()
    os._exit(status)


def start_again() -> NoReturn:
    """Put a new process in the place of this one, with the same command line, and the same number."""
    _flush()
    os.execv(sys.executable, sys.orig_argv)


def _flush() -> None:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.flush()
