"""Process settings: garbage collection, thread switching and memory, and how the process ends."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

_GC_THRESHOLDS = 50_000, 20, 100
"""Arguments of :func:`gc.set_threshold`."""

_SWITCH_SECONDS = 0.0001
"""Python's switch interval. With the default of 5 ms, the thread that answers a scrape during a tick would wait that
long after each part of a large body."""

_M_ARENA_MAX, _M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -8, -3, -1
"""Parameters of mallopt(3)."""

_MMAP_BYTES = 256 * 1024
"""Blocks of at least this size are mapped separately and returned to the system when they are freed.

By default, the C library raises this threshold up to 32 MiB. Then the 8 MiB buffers for a state file or the environment
of a process come from the heap, small objects fill the gaps between them, and the heap grows.
"""

_TRIM_BYTES = 1024 * 1024
"""More free memory than this at the end of the heap is returned to the system."""


def tune_interpreter() -> None:
    """Make garbage collection rare and thread switches frequent, and make malloc return free memory to the system.

    Each tick replaces thousands of objects, which reference counting frees. By default the garbage collector would
    scan them several times per tick, which is a fifth of the work of a tick and delays scrapes. Reference cycles are
    still collected, after some megabytes. Objects that exist now are never scanned.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    sys.setswitchinterval(_SWITCH_SECONDS)
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):  # musl does not have it
        library.mallopt(_M_ARENA_MAX, 1)  # one arena, so that all threads reuse the same memory
        library.mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause garbage collection during a tick.

    On a large machine a tick replaces hundreds of thousands of objects. Scanning them would block all threads for up to
    60 ms.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


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
