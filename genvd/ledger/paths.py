"""Where the ledger is, and whether that place is safe to write to.

SQLite opens its files by name, and makes others beside the one it is told of. So the directory, and all on the way to
it, must be such that nobody but this user and root can put anything else under these names.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

from genvd.common.safe_tree import UnsafePathError, make_private_directory, user_name

FILE = "ledger.db"
_BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite adds to the name of the file for files beside it (sqlite.org/tempfiles.html)."""
_MOST_SET_ASIDE = 3
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def prepare(directory: Path) -> Path:
    """Make the directory and an empty file in it if they are missing; return the file's path, without links.

    Raises:
        UnsafePathError: somebody else could write there, or has.
        OSError: the system does not let it be made.
    """
    real = make_private_directory(directory)
    for place in (real, *real.parents):
        status = place.lstat()
        sticky = place != real and status.st_mode & stat.S_ISVTX
        if status.st_mode & _OTHERS_WRITE and not sticky:
            raise UnsafePathError(f"{place}: others can write there; take that from them or choose another directory")
    path = real / FILE
    for name in files(path):
        _check(name)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, 0o600))
    return path


def files(path: Path) -> tuple[Path, ...]:
    """Return the file of the ledger and those that SQLite may have beside it."""
    return (path, *(path.with_name(path.name + suffix) for suffix in _BESIDE))


def lock(path: Path) -> int | None:
    """Return a descriptor that holds the right to write the ledger; None if another process has it.

    The lock is on a file of its own: to close any descriptor of a database's file takes away the locks that SQLite has
    on it (sqlite.org/howtocorrupt.html, 2.2).
    """
    lock_path = path.with_name(f"{path.name}.lock")
    _check(lock_path)
    descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | _OPEN, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def set_aside(path: Path, label: str) -> Path:
    """Rename the ledger, with what is beside it, so that a new one can be begun; return its new path.

    Only a few are kept.

    Args:
        path: of the file.
        label: what tells it from others that were set aside; later ones sort after earlier ones.
    """
    target = path.with_name(f"{path.name}.corrupt-{label}")
    for source, goal in zip(files(path), files(target), strict=True):
        with suppress(FileNotFoundError):
            source.rename(goal)
    earlier = sorted(name for name in path.parent.glob(f"{path.name}.corrupt-*") if not name.name.endswith(_BESIDE))
    earlier = [name for name in earlier if name != target]  # which a clock that was set back does not make the oldest
    for old in earlier[: -(_MOST_SET_ASIDE - 1)]:
        for name in files(old):
            name.unlink(missing_ok=True)
    return target


def _check(path: Path) -> None:
    """Raise :class:`UnsafePathError` unless the path is free, or a file that is this user's alone."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    way_out = "remove it or choose another directory"
    if not stat.S_ISREG(status.st_mode):
        raise UnsafePathError(f"{path}: is not a regular file; {way_out}")
    if status.st_uid != os.geteuid():
        raise UnsafePathError(
            f"{path}: belongs to {user_name(status.st_uid)} and not to {user_name(os.geteuid())}; {way_out}"
        )
    if status.st_nlink > 1:
        raise UnsafePathError(f"{path}: has another name elsewhere; {way_out}")
    if status.st_mode & _OTHERS_WRITE:
        raise UnsafePathError(f"{path}: others can write it; {way_out}")
