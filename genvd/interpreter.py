"""How often Python looks for garbage that refers to itself, which costs a fifth of a tick when left as it is."""

from __future__ import annotations

import gc

_NEW_OBJECTS, _YOUNG, _MIDDLE = 50_000, 20, 100
"""Objects that there are more of than the last time; what these are is in the documentation of :mod:`gc`."""


def look_rarely() -> None:
    """Leave alone what is there by now, and look for garbage once there are many more objects.

    What a tick makes goes by itself when the next one has taken its place, thousands of objects at a time. By default
    Python looks through them several times meanwhile, and holds up scrapes. Real garbage is still found, after some
    megabytes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, _YOUNG, _MIDDLE)
