"""Writing files where somebody else may have prepared the ground.

Nothing is written through a symbolic link that another user made, nor into a directory or over a file that
another user owns. All steps are relative to open directories, so that nobody can swap one in between.
"""

from __future__ import annotations

import errno
import os
import pwd
import secrets
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD_FILE_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_LINKS = 40


class UnsafePathError(Exception):
    """A path that is not written to. The text is one line: the path, the reason, the way out."""


def write_file(root: Path, relative: Path, content: bytes) -> bool:
    """Write a file below a directory atomically, making the directories that are missing.

    Args:
        root: absolute path of the directory. It, and all below it, must be this user's own and no link. On the
            way to it links are followed that root or this user made.
        relative: path of the file below it.
        content: what it is to contain.

    Returns:
        Whether anything had to be written.

    Raises:
        UnsafePathError: something on the way belongs to somebody else or is no directory or file.
        OSError: the system does not let it be written.
    """
    with _own_directory(root, relative.parent) as directory:
        path = root / relative
        if _current(directory, path) == content:
            return False
        _replace(directory, path, content)
        return True


@contextmanager
def _own_directory(root: Path, below: Path) -> Iterator[int]:
    descriptor = _open_parent(root.parent)
    path = root.parent
    for name in (root.name, *below.parts):
        path = path / name
        descriptor = _enter(descriptor, name, path)
        if os.fstat(descriptor).st_uid != os.geteuid():
            owner = user_name(os.fstat(descriptor).st_uid)
            os.close(descriptor)
            raise UnsafePathError(_not_ours(path, owner))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open_parent(path: Path) -> int:
    """Open a directory, making what is missing, and following on the way only links that can be trusted."""
    descriptor = os.open("/", _DIRECTORY_FLAGS)
    names, walked, links = list(path.parts[1:]), Path("/"), 0
    while names:
        name = names.pop(0)
        target = _trusted_link(descriptor, name, walked / name)
        if target is None:
            walked = walked / name
            descriptor = _enter(descriptor, name, walked)
            continue
        links += 1
        if links > _MAX_LINKS:
            os.close(descriptor)
            raise UnsafePathError(f"{path}: too many symbolic links on the way; choose another directory")
        if target.is_absolute():
            os.close(descriptor)
            descriptor, walked = os.open("/", _DIRECTORY_FLAGS), Path("/")
        names = [part for part in target.parts if part != "/"] + names
    return descriptor


def _trusted_link(directory: int, name: str, path: Path) -> Path | None:
    try:
        status = os.lstat(name, dir_fd=directory)
    except FileNotFoundError:
        return None
    if not stat.S_ISLNK(status.st_mode):
        return None
    if status.st_uid not in (0, os.geteuid()):
        os.close(directory)
        raise UnsafePathError(
            f"{path}: is a symbolic link made by {user_name(status.st_uid)}, which is not followed;"
            " remove it or choose another directory"
        )
    return Path(os.readlink(name, dir_fd=directory))


def _enter(directory: int, name: str, path: Path) -> int:
    """Open a directory inside an open one, which is closed; make it if it is missing."""
    try:
        made = _make(directory, name)
        entered = os.open(name, _DIRECTORY_FLAGS, dir_fd=directory)
        if made:
            os.fchmod(entered, 0o755)  # whatever the umask: Prometheus and Grafana are other users
        return entered
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from None
        link = stat.S_ISLNK(os.lstat(name, dir_fd=directory).st_mode)
        what = "is a symbolic link, which is not followed" if link else "is no directory"
        raise UnsafePathError(f"{path}: {what}; remove it or choose another directory") from None
    finally:
        os.close(directory)


def _make(directory: int, name: str) -> bool:
    """Make a directory inside an open one unless something of that name is there; tell whether it was made."""
    try:
        os.lstat(name, dir_fd=directory)
    except FileNotFoundError:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=directory)
            return True
    return False


def _current(directory: int, path: Path) -> bytes | None:
    """Return the content of the file that is to be written, None if there is none."""
    try:
        descriptor = os.open(path.name, _OLD_FILE_FLAGS, dir_fd=directory)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnsafePathError(
                f"{path}: is a symbolic link, which is not followed; remove it or choose another directory"
            ) from None
        raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from None
    with open(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UnsafePathError(f"{path}: is no regular file; remove it or choose another directory")
        if status.st_uid != os.geteuid():
            raise UnsafePathError(_not_ours(path, user_name(status.st_uid)))
        return file.read()


def _replace(directory: int, path: Path, content: bytes) -> None:
    temporary = f".{path.name}.{secrets.token_hex(8)}"
    try:
        descriptor = os.open(temporary, _NEW_FILE_FLAGS, 0o644, dir_fd=directory)
        try:
            with open(descriptor, "wb") as file:
                os.fchmod(file.fileno(), 0o644)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, path.name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            os.unlink(temporary, dir_fd=directory)
            raise
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from None


def _not_ours(path: Path, owner: str) -> str:
    return f"{path}: belongs to {owner} and not to {user_name(os.geteuid())}; remove it or choose another directory"


def user_name(uid: int) -> str:
    """Return the name of a user, or the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
