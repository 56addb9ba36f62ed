"""Writes files below directories that other users may be able to write to.

Nothing is written through a symbolic link or a directory of another user, except root, nor over a file of another user.
Each step is relative to an open directory, so nobody can replace a directory between two steps.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
from contextlib import closing, suppress
from pathlib import Path

_DIRECTORY_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD_FILE_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_LINKS = 40
"""Maximum links in one path, as in Linux (MAXSYMLINKS of include/linux/namei.h)."""

FILE_MODE = 0o644
"""Mode of published files."""


def has_published_mode(mode: int) -> bool:
    """Return whether a file is readable for its owner and for its group or everybody, and writable only for its owner.

    Read access for the group alone is accepted, as an administrator may have chosen it.
    """
    return bool(mode & stat.S_IRUSR and mode & (stat.S_IRGRP | stat.S_IROTH)) and not mode & (
        stat.S_IWGRP | stat.S_IWOTH
    )


class UnsafePathError(Exception):
    """Writing to a path was refused. The text is one line: the path, the reason, and what to do."""


def write_file(root: Path, relative: Path, content: bytes, world_writable: Path | None = None) -> bool:
    """Write a file below a directory atomically, and create missing directories.

    Args:
        root: absolute path of the directory. It, and everything below it, must belong to this user and must not be a
            link. Directories and links on the way to it must belong to root or to this user.
        relative: path of the file below ``root``.
        content: the content to write.
        world_writable: a directory above ``root`` that is created writable for everybody, and that may belong to
            anybody: its owner can remove ``root``, but cannot redirect the writing.

    Returns:
        Whether the file had to be written.

    Raises:
        UnsafePathError: a part of the path belongs to another user, or is not a directory or regular file.
        OSError: the system refused to write.
    """
    with closing(_DirectoryWalk()) as walk:
        walk.follow(root.parent, world_writable)
        for name in (root.name, *relative.parent.parts):
            walk.descend(name)
            walk.check_owner()
        path = root / relative
        if _read_current(walk.descriptor, path, len(content)) == content:
            return False
        _replace(walk.descriptor, path, content)
        return True


def make_private_directory(path: Path) -> Path:
    """Create a directory that only this user can access, unless it exists; return its path without links.

    Args:
        path: absolute path. Directories and links on the way must belong to root or to this user.

    Raises:
        UnsafePathError: the directory is a link, or a part of the path belongs to another user.
        OSError: the system refused to create it.
    """
    with closing(_DirectoryWalk()) as walk:
        walk.follow(path.parent, None)
        walk.descend(path.name, 0o700)
        walk.check_owner()
        return Path(os.readlink(f"/proc/self/fd/{walk.descriptor}"))


class _DirectoryWalk:
    """An open directory that moves along a path, one name at a time."""

    def __init__(self) -> None:
        self.descriptor = os.open("/", _DIRECTORY_FLAGS)
        self._path = Path("/")

    def close(self) -> None:
        """Close the directory."""
        os.close(self.descriptor)

    def follow(self, path: Path, world_writable: Path | None) -> None:
        """Walk down from the root, create missing directories, and follow only links of root or of this user."""
        names, links = list(path.parts[1:]), 0
        while names:
            name = names.pop(0)
            target = self._trusted_link(name)
            if target is None:
                is_world_writable = self._path / name == world_writable
                self.descend(name, 0o777 if is_world_writable else 0o755)
                if not is_world_writable:
                    self.check_owner(0)
                continue
            links += 1
            if links > _MAX_LINKS:
                raise UnsafePathError(f"{path}: too many symbolic links on the way; choose another directory")
            if target.is_absolute():
                self._move(os.open("/", _DIRECTORY_FLAGS), Path("/"))
            names = [part for part in target.parts if part != "/"] + names

    def descend(self, name: str, mode: int = 0o755) -> None:
        """Open the directory with this name, which must not be a link. If it is missing, create it with this mode."""
        path = self._path.parent if name == ".." else self._path / name  # right, as the path contains no links here
        try:
            made = self._make(name)
            entered = os.open(name, _DIRECTORY_FLAGS, dir_fd=self.descriptor)
        except OSError as error:
            raise self._problem(name, error) from None
        self._move(entered, path)
        if made:
            os.chmod(f"/proc/self/fd/{entered}", mode)  # whatever the umask; fchmod(2) refuses O_PATH descriptors

    def check_owner(self, *others: int) -> None:
        """Raise :class:`UnsafePathError` unless the directory belongs to this user or one of the others."""
        owner = os.fstat(self.descriptor).st_uid
        if owner not in (os.geteuid(), *others):
            raise UnsafePathError(_owner_problem(self._path, user_name(owner)))

    def _move(self, descriptor: int, path: Path) -> None:
        os.close(self.descriptor)
        self.descriptor, self._path = descriptor, path

    def _make(self, name: str) -> bool:
        """Create the directory if it is missing; return whether it was created."""
        try:
            os.lstat(name, dir_fd=self.descriptor)
        except FileNotFoundError:
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=self.descriptor)
                return True
        return False

    def _trusted_link(self, name: str) -> Path | None:
        """Return the target of a link, or None if it is no link; raise UnsafePathError for a link of another user."""
        path = self._path / name
        try:
            status = os.lstat(name, dir_fd=self.descriptor)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _with_path(error, path) from None
        if not stat.S_ISLNK(status.st_mode):
            return None
        if status.st_uid not in (0, os.geteuid()):
            raise UnsafePathError(
                f"{path}: is a symbolic link made by {user_name(status.st_uid)}, which is not followed;"
                " remove it or choose another directory"
            )
        return Path(os.readlink(name, dir_fd=self.descriptor))

    def _problem(self, name: str, error: OSError) -> Exception:
        """Return the exception to raise after a step failed."""
        path = self._path / name
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            return _with_path(error, path)
        link = stat.S_ISLNK(os.lstat(name, dir_fd=self.descriptor).st_mode)
        what = "is a symbolic link, which is not followed" if link else "is not a directory"
        return UnsafePathError(f"{path}: {what}; remove it or choose another directory")


def _with_path(error: OSError, path: Path) -> OSError:
    return OSError(error.errno, os.strerror(error.errno or 0), str(path))


def _read_current(directory: int, path: Path, size: int) -> bytes | None:
    """Return the current content of a file, at most one byte more than ``size``.

    None if the file is missing, or has to be replaced because of its mode.
    """
    try:
        descriptor = os.open(path.name, _OLD_FILE_FLAGS, dir_fd=directory)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnsafePathError(
                f"{path}: is a symbolic link, which is not followed; remove it or choose another directory"
            ) from None
        if error.errno == errno.EACCES and _is_own_file(directory, path.name):
            return None
        raise _with_path(error, path) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UnsafePathError(f"{path}: is not a regular file; remove it or choose another directory")
        if status.st_uid != os.geteuid():
            raise UnsafePathError(_owner_problem(path, user_name(status.st_uid)))
        if not has_published_mode(status.st_mode):
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(size + 1)
    finally:
        os.close(descriptor)


def _is_own_file(directory: int, name: str) -> bool:
    status = os.lstat(name, dir_fd=directory)
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()


def _replace(directory: int, path: Path, content: bytes) -> None:
    """Write a new file next to the old one, flush it to the disk, and rename it over the old one."""
    temporary = f".{path.name}.{os.urandom(8).hex()}"
    try:
        descriptor = os.open(temporary, _NEW_FILE_FLAGS, FILE_MODE, dir_fd=directory)
        try:
            with open(descriptor, "wb") as file:
                os.fchmod(file.fileno(), FILE_MODE)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, path.name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=directory)
            raise
    except OSError as error:
        raise _with_path(error, path) from None


def _owner_problem(path: Path, owner: str) -> str:
    return f"{path}: belongs to {owner} and not to {user_name(os.geteuid())}; remove it or choose another directory"


def user_name(uid: int) -> str:
    """Return the name of a user, or the uid if there is no such account."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
