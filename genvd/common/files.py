"""Reading a file that people name: it may be anything, and must neither block nor fill the memory."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class UnfitFileError(Exception):
    """What is at the path is not to be read: it is no regular file, or too large. The text says which."""


def content(path: Path, most: int, *, or_device: bool = False) -> bytes:
    """Return what is in a file.

    Args:
        path: of the file.
        most: bytes that it may have.
        or_device: whether a character device will do: /dev/null is how people say "no file".

    Raises:
        OSError: the file cannot be read.
        UnfitFileError: it is none that is to be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode) and not (or_device and stat.S_ISCHR(mode)):
            raise UnfitFileError("is no regular file")
        found: bytes | None = file.read(most + 1)
    if found is None:  # a terminal, or a file of the kernel's, with nothing to read at this moment
        raise UnfitFileError("has nothing to read")
    if len(found) > most:
        raise UnfitFileError(f"is larger than {most} bytes")
    return found
