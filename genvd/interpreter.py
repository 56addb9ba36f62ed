"""How the Python interpreter runs a service that does little, and answers at once while it does it."""

from __future__ import annotations

import ctypes
import gc
import sys

_NEW_OBJECTS, _YOUNG, _MIDDLE = 50_000, 20, 100
"""Objects that there are more of than the last time; what these are is in the documentation of :mod:`gc`."""

_SWITCH_SECONDS = 0.0001
"""For which one thread may keep the interpreter from another. By default it is 5 ms, and a thread that answers a scrape
while a tick goes on waits for that many times: whenever it has sent a part of a large body."""

_MALLOC_OPTIONS = {-8: 1, -3: 64 * 1024, -1: 128 * 1024}
"""M_ARENA_MAX, M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of mallopt(3): large bodies go back to the system when they are
replaced, and threads share what is left. It is 2 MiB."""


def adapt() -> None:
    """Look for garbage that refers to itself rarely, let threads take turns quickly, and give memory back.

    What a tick makes goes by itself when the next one has taken its place, thousands of objects at a time. By default
    Python looks through them several times meanwhile, which is a fifth of the work of a tick and holds up scrapes. Real
    garbage is still found, after some megabytes. What is there by now is never looked through.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, _YOUNG, _MIDDLE)
    sys.setswitchinterval(_SWITCH_SECONDS)
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):  # not every C library has it
        for option, value in _MALLOC_OPTIONS.items():
            library.mallopt(option, value)
