"""The process: how the interpreter runs a service that does little and answers at once, and how it ends."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

_NEW_OBJECTS, _YOUNG, _MIDDLE = 50_000, 20, 100
"""Objects that there are more of than the last time; what these are is in the documentation of :mod:`gc`."""

_SWITCH_SECONDS = 0.0001
"""For which one thread may keep the interpreter from another. By default it is 5 ms, and a thread that answers a scrape
while a tick goes on waits for that many times: whenever it has sent a part of a large body."""

_M_ARENA_MAX, _M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -8, -3, -1
"""Parameters of mallopt(3)."""

_LARGE_BYTES = 256 * 1024
"""Blocks from this size on are mapped by themselves, and go back to the system when they are freed.

The C library begins with half of it and raises that, up to 32 MiB, whenever such a block is freed. Then the 8 MiB of
room for a state file or for the environment of a process come from the heap; what is small and stays is put into the
gaps between them, the next 8 MiB fit into none of these, and the heap grows until there are enough of them.
"""

_SPARE_BYTES = 1024 * 1024
"""That may be free at the end of the heap."""


def tune_interpreter() -> None:
    """Look for garbage that refers to itself rarely, let threads take turns quickly, and give memory back.

    What a tick makes goes by itself when the next one has taken its place, thousands of objects at a time. By default
    Python looks through them several times meanwhile, which is a fifth of the work of a tick and holds up scrapes. Real
    garbage is still found, after some megabytes. What is there by now is never looked through; for what a tick makes,
    see :func:`gc_paused`.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, _YOUNG, _MIDDLE)
    sys.setswitchinterval(_SWITCH_SECONDS)
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):  # not every C library has it
        library.mallopt(_M_ARENA_MAX, 1)  # what one thread frees another one has
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, _SPARE_BYTES)


@contextmanager
def gc_paused() -> Iterator[None]:
    """Do not look for garbage while new objects take the place of old ones.

    On a large machine these are hundreds of thousands, and to look through them takes up to 60 ms, in which nobody is
    answered. Once the old ones have gone, what is too much is garbage.
    """
    there = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if there:
            gc.enable()


def exit_process(status: int) -> NoReturn:
    """End this process at once.

    sys.exit() would wait for the worker threads, and run the exit handlers of loaded libraries, of which the driver's
    may wait as well: for a call that hangs.
    """
    _flush()
    os._exit(status)


def re_execute() -> NoReturn:
    """Put a new process in the place of this one, with the same command line, and the same number."""
    _flush()
    os.execv(sys.executable, sys.orig_argv)


def _flush() -> None:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.flush()
