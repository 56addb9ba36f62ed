"""Reading what may be large, and hardly ever is."""

from __future__ import annotations

import os

_PIECE_BYTES = 64 * 1024


def read(descriptor: int, most: int) -> bytes:
    """Return what there is to read, up to so many bytes.

    It is read piece by piece: Python makes room for all that could come, and the C library, once it has given back
    eight megabytes, keeps what is smaller for good (M_MMAP_THRESHOLD of mallopt(3)).

    Raises:
        OSError: it cannot be read.
    """
    pieces = []
    while most and (piece := os.read(descriptor, min(most, _PIECE_BYTES))):
        pieces.append(piece)
        most -= len(piece)
    return b"".join(pieces)
