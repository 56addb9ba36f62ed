"""The ledger's files: checks that their directory is safe, the lock, and moving a damaged file aside.

SQLite opens files by name, and creates others next to the database. So nobody but this user and root may be able to
put anything under these names: not in the directory, and not in any directory above it.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

from genvd.common.safe_tree import UnsafePathError, make_private_directory, user_name

FILE_NAME = "ledger.db"
_SQLITE_SUFFIXES = ("-wal", "-shm", "-journal")
"""SQLite's own files are named like the database, plus one of these (sqlite.org/tempfiles.html)."""
_MAX_CORRUPT_FILES = 3
"""Number of damaged databases that are kept."""
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def prepare(directory: Path) -> Path:
    """Create the directory and an empty file if they are missing; return the file's path without symbolic links.

    Raises:
        UnsafePathError: another user could write there, or has done so.
        OSError: the directory or the file cannot be created.
    """
    real = make_private_directory(directory)
    for parent in (real, *real.parents):
        status = parent.lstat()
        sticky = parent != real and status.st_mode & stat.S_ISVTX
        if status.st_mode & _OTHERS_WRITE and not sticky:
            raise UnsafePathError(f"{parent}: others can write there; forbid that or choose another directory")
    path = real / FILE_NAME
    for name in database_files(path):
        _check(name)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, 0o600))
    return path


def database_files(path: Path) -> tuple[Path, ...]:
    """Return the database and the files that SQLite may create next to it."""
    return (path, *(path.with_name(path.name + suffix) for suffix in _SQLITE_SUFFIXES))


def is_regular_file(path: Path) -> bool:
    """Return whether it is a regular file that this user can read: SQLite would block on a pipe.

    Raises:
        OSError: it does not exist or cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)


def lock(path: Path) -> int | None:
    """Return a descriptor that holds the lock for writing the ledger; None if another process has it.

    The lock is on a separate file: closing any descriptor of the database would release SQLite's own locks
    (sqlite.org/howtocorrupt.html, 2.2).
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


def move_corrupt_file(path: Path, label: str) -> Path:
    """Rename the database and SQLite's files next to it, so that a new one can be created; return the new path.

    Only the latest few are kept.

    Args:
        path: of the database.
        label: distinguishes it from earlier ones, and sorts after theirs.
    """
    target = path.with_name(f"{path.name}.corrupt-{label}")
    for old_name, new_name in zip(database_files(path), database_files(target), strict=True):
        with suppress(FileNotFoundError):
            old_name.rename(new_name)
    corrupt = path.parent.glob(f"{path.name}.corrupt-*")
    # The new one always stays: if the clock was set back, it does not sort last.
    earlier = sorted(name for name in corrupt if not name.name.endswith(_SQLITE_SUFFIXES) and name != target)
    for oldest in earlier[: -(_MAX_CORRUPT_FILES - 1)]:
        for name in database_files(oldest):
            name.unlink(missing_ok=True)
    return target


def _check(path: Path) -> None:
    """Raise :class:`UnsafePathError` unless the path is unused, or a file that only this user can write."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    advice = "remove it or choose another directory"
    if not stat.S_ISREG(status.st_mode):
        raise UnsafePathError(f"{path}: is not a regular file; {advice}")
    if status.st_uid != os.geteuid():
        raise UnsafePathError(
            f"{path}: belongs to {user_name(status.st_uid)} and not to {user_name(os.geteuid())}; {advice}"
        )
    if status.st_nlink > 1:
        raise UnsafePathError(f"{path}: has another hard link; {advice}")
    if status.st_mode & _OTHERS_WRITE:
        raise UnsafePathError(f"{path}: others can write it; {advice}")
