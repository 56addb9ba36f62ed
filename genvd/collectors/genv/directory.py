"""Opening the directory of genv's state, whose path leads through places that every user may change.

The service may read what its users may not. So a link of a user must lead it nowhere: on the way to the directory only
links of root, or of the user who runs this, are followed, and within it none.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from genvd.collectors.base import CollectorError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_LINKS = 40
"""As many as Linux follows in one path (MAXSYMLINKS of include/linux/namei.h)."""


@contextmanager
def open_directory(path: Path) -> Iterator[int]:
    """Open a directory, for opening what is in it; yields the descriptor.

    Each step is relative to an open directory, so that nobody can put a link in its place in between.

    Raises:
        FileNotFoundError: it is not there.
        CollectorError: it is no directory, or cannot be reached, or a link of somebody else is on the way.
    """
    walk = _Walk(path)
    try:
        yield walk.to_the_end()
    finally:
        walk.close()


class _Walk:
    """An open directory, which is moved along a path one name at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names = _names(os.fspath(path))
        self._links = 0
        self._descriptor = self._open("/" if path.is_absolute() else ".")

    def to_the_end(self) -> int:
        """Go down the path; return the open directory."""
        while self._names:
            self._step(self._names.pop(0))
        return self._descriptor

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self._descriptor)

    def _step(self, name: str) -> None:
        found = self._open(name, self._descriptor)
        status = os.fstat(found)
        if not stat.S_ISLNK(status.st_mode):
            self._move(found)
            if not stat.S_ISDIR(status.st_mode):
                raise CollectorError(f"{self._path}: is not a directory; remove it, genv makes it again")
            return
        try:
            target = self._target(found, name, status.st_uid)
        finally:
            os.close(found)
        if target.startswith("/"):
            self._move(self._open("/"))
        self._names = _names(target) + self._names

    def _target(self, link: int, name: str, owner: int) -> str:
        self._links += 1
        if self._links > _MAX_LINKS:
            raise CollectorError(f"{self._path}: leads through too many symbolic links; remove them")
        if owner not in (0, os.geteuid()):
            raise CollectorError(
                f"{self._path}: leads through {name!a}, a symbolic link of user {owner}, which is not followed;"
                " remove it, or make it as root"
            )
        return os.readlink("", dir_fd=link)

    def _move(self, descriptor: int) -> None:
        os.close(self._descriptor)
        self._descriptor = descriptor

    def _open(self, name: str, directory: int | None = None) -> int:
        try:
            return os.open(name, _FLAGS, dir_fd=directory)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise CollectorError(f"{self._path}: {open_problem(error)}") from None


def open_problem(error: OSError) -> str:
    """Return why something of genv's state cannot be opened, and the way out."""
    if error.errno == errno.ELOOP:
        return "is a symbolic link, which is not followed; remove it, genv makes it again"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "may not be read by this user; run as a user who may (the service may)"
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        return f"cannot be read now: {error.strerror}; see who has so many files open, or raise LimitNOFILE, MemoryMax"
    return f"cannot be read: {error.strerror}; remove it, genv makes it again"


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]
