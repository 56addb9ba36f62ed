"""Opens genv's state directory without following other users' symbolic links.

The service may read files that its users may not read, and any user can put a link on the path. So only links of root
and of the service's own user are followed on the way to the directory, and no link is followed inside it.
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

_OPEN_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_LINKS = 40
"""Maximum links in one path, as in Linux (MAXSYMLINKS of include/linux/namei.h)."""


@contextmanager
def open_state_directory(path: Path) -> Iterator[int]:
    """Open the directory and yield its descriptor, for opening files relative to it.

    Each step of the path is opened relative to the one before, so nobody can replace a step by a link in between.

    Raises:
        FileNotFoundError: the directory does not exist.
        CollectorError: it is not a directory, cannot be opened, or another user's link is on the path.
    """
    walk = _PathWalk(path)
    try:
        yield walk.walk()
    finally:
        walk.close()


class _PathWalk:
    """Walks down a path one name at a time and keeps one directory open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names = _split(os.fspath(path))
        self._link_count = 0
        self._descriptor = self._open("/" if path.is_absolute() else ".")

    def walk(self) -> int:
        """Walk to the end of the path and return the descriptor of the directory there."""
        while self._names:
            self._step(self._names.pop(0))
        return self._descriptor

    def close(self) -> None:
        """Close the directory."""
        os.close(self._descriptor)

    def _step(self, name: str) -> None:
        opened = self._open(name, self._descriptor)
        status = os.fstat(opened)
        if not stat.S_ISLNK(status.st_mode):
            self._enter(opened)
            if not stat.S_ISDIR(status.st_mode):
                raise CollectorError(f"{self._path}: is not a directory; remove it, genv recreates it")
            return
        try:
            target = self._link_target(opened, name, status.st_uid)
        finally:
            os.close(opened)
        if target.startswith("/"):
            self._enter(self._open("/"))
        self._names = _split(target) + self._names

    def _link_target(self, link: int, name: str, owner: int) -> str:
        self._link_count += 1
        if self._link_count > _MAX_LINKS:
            raise CollectorError(f"{self._path}: leads through too many symbolic links; remove them")
        if owner not in (0, os.geteuid()):
            raise CollectorError(
                f"{self._path}: leads through {name!a}, a symbolic link of user {owner}, which is not followed;"
                " remove it, or create it as root"
            )
        return os.readlink("", dir_fd=link)

    def _enter(self, descriptor: int) -> None:
        os.close(self._descriptor)
        self._descriptor = descriptor

    def _open(self, name: str, directory: int | None = None) -> int:
        try:
            return os.open(name, _OPEN_FLAGS, dir_fd=directory)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise CollectorError(f"{self._path}: {open_problem(error)}") from None


def open_problem(error: OSError) -> str:
    """Return why a state file or directory cannot be opened, and what to do about it."""
    if error.errno == errno.ELOOP:
        return "is a symbolic link, which is not followed; remove it, genv recreates it"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "cannot be read by this user; run as a user with permission, or let all users read it, as genv does"
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        return (
            f"cannot be read now: {error.strerror}; find what has so many files open, or raise LimitNOFILE, MemoryMax"
        )
    return f"cannot be read: {error.strerror}; remove it, genv recreates it"


def _split(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]
