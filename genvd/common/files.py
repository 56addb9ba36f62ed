"""Reads a file that a user named. It may be anything, so reading it must neither block nor fill the memory."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class UnsuitableFileError(Exception):
    """The path is not a regular file, or the file has nothing to read now or is too large. The text says which."""


def read_file(path: Path, max_bytes: int, *, allow_device: bool = False) -> bytes:
    """Return the content of a file.

    Args:
        path: the file. Symbolic links are followed.
        max_bytes: the largest size that is accepted.
        allow_device: whether to accept a character device too, as people write /dev/null for "no file".

    Raises:
        OSError: the file cannot be opened or read.
        UnsuitableFileError: the file is not regular, has nothing to read now, or is too large.
    """
    # Without O_NONBLOCK, opening a named pipe would wait for somebody to write to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode) and not (allow_device and stat.S_ISCHR(mode)):
            raise UnsuitableFileError("is not a regular file")
        content: bytes | None = file.read(max_bytes + 1)
    if content is None:  # a terminal, or a file of the kernel, with nothing to read now
        raise UnsuitableFileError("has nothing to read")
    if len(content) > max_bytes:
        raise UnsuitableFileError(f"is larger than {max_bytes} bytes")
    return content
