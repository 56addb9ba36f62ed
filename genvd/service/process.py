"""Process settings: garbage collection, thread switching and memory, and how the process ends."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import sys
from contextlib import suppress
from typing import NoReturn

_GC_THRESHOLDS = 50_000, 20, 100
"""Arguments of :func:`gc.set_threshold`. With Python's own, a tick takes 6 % more CPU time (the row ``CPU of a tick``
of ``make bench``), with 1,000 processes 14 %."""

_SWITCH_SECONDS = 0.0001
"""Python's switch interval, for the rows ``scrape p99 while ticking``. With the default of 5 ms, the thread that
answers a scrape during a tick may wait that long each time it needs the interpreter."""

_M_ARENA_MAX = -8
"""Parameter of mallopt(3): the number of heaps. With one for each thread, a monitor of 42 MiB takes 0.9 MiB more (the
row ``resident memory``)."""


def tune_interpreter() -> None:
    """Make garbage collection rare and thread switches frequent, and let all threads use the same heap.

    Each tick replaces thousands of objects, which reference counting frees. By default the garbage collector would
    scan them several times per tick. Reference cycles are still collected, after some megabytes.
    """
    gc.set_threshold(*_GC_THRESHOLDS)
    sys.setswitchinterval(_SWITCH_SECONDS)
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):  # musl does not have it
        library.mallopt(_M_ARENA_MAX, 1)


def exit_process(status: int) -> NoReturn:
    """End this process without waiting for other threads.

    sys.exit() would wait for the worker threads and run the exit handlers of the driver's library. Both may hang.
    """
    _flush()
    os._exit(status)


def re_execute() -> NoReturn:
    """Replace this process by a new one with the same command line and PID."""
    _flush()
    os.execv(sys.executable, sys.orig_argv)


def _flush() -> None:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.flush()
