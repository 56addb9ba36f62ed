"""How the process ends when a thread of it may hang in the driver for ever."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from typing import NoReturn


def leave(status: int) -> NoReturn:
    """End this process at once.

    sys.exit() would wait for the worker threads, and run the exit handlers of loaded libraries, of which the driver's
    may wait as well: for a call that hangs.
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
