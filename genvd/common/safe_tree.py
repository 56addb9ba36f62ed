"""Writing files where somebody else may have prepared the ground.

Nothing is written through a symbolic link or a directory of another user but root, nor over another user's file. All
steps are relative to open directories, so that nobody can swap one in between.
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

FILE_MODE = 0o644
"""Of what is published."""


def has_fit_mode(mode: int) -> bool:
    """Tell whether a published file can be read by its user and by others, and changed by its user only.

    A group of those who may read it is as good as everybody: somebody may have chosen that on purpose.
    """
    return bool(mode & stat.S_IRUSR and mode & (stat.S_IRGRP | stat.S_IROTH)) and not mode & (
        stat.S_IWGRP | stat.S_IWOTH
    )


class UnsafePathError(Exception):
    """A path that is not written to. The text is one line: the path, the reason, the way out."""


def write_file(root: Path, relative: Path, content: bytes, for_everybody: Path | None = None) -> bool:
    """Write a file below a directory atomically, making the directories that are missing.

    Args:
        root: absolute path of the directory. It, and all below it, must be this user's own and no link. On the
            way to it directories and links must be root's or this user's.
        relative: path of the file below it.
        content: what it is to contain.
        for_everybody: a directory above ``root`` that everybody may write if it has to be made, and that may be
            anybody's: whoever owns it can take ``root`` away, but lead nobody elsewhere.

    Returns:
        Whether anything had to be written.

    Raises:
        UnsafePathError: something on the way belongs to somebody else or is no directory or file.
        OSError: the system does not let it be written.
    """
    with closing(_Cursor()) as cursor:
        cursor.follow(root.parent, for_everybody)
        for name in (root.name, *relative.parent.parts):
            cursor.enter(name)
            cursor.check_owner()
        path = root / relative
        if _current(cursor.descriptor, path, len(content)) == content:
            return False
        _replace(cursor.descriptor, path, content)
        return True


def own_directory(path: Path) -> Path:
    """Make a directory, for this user alone, if it is missing, and return its path without links.

    Args:
        path: absolute. On the way to it directories and links must be root's or this user's.

    Raises:
        UnsafePathError: it is a link or not this user's, or something on the way belongs to somebody else.
        OSError: the system does not let it be made.
    """
    with closing(_Cursor()) as cursor:
        cursor.follow(path.parent, None)
        cursor.enter(path.name, 0o700)
        cursor.check_owner()
        return Path(os.readlink(f"/proc/self/fd/{cursor.descriptor}"))


class _Cursor:
    """An open directory, which is moved along a path one name at a time."""

    def __init__(self) -> None:
        self.descriptor = os.open("/", _DIRECTORY_FLAGS)
        self._path = Path("/")

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self.descriptor)

    def follow(self, path: Path, for_everybody: Path | None) -> None:
        """Go down from the root, making what is missing, and following on the way only links that can be trusted."""
        names, links = list(path.parts[1:]), 0
        while names:
            name = names.pop(0)
            target = self._trusted_link(name)
            if target is None:
                shared = self._path / name == for_everybody
                self.enter(name, 0o777 if shared else 0o755)
                if not shared:
                    self.check_owner(0)
                continue
            links += 1
            if links > _MAX_LINKS:
                raise UnsafePathError(f"{path}: too many symbolic links on the way; choose another directory")
            if target.is_absolute():
                self._move(os.open("/", _DIRECTORY_FLAGS), Path("/"))
            names = [part for part in target.parts if part != "/"] + names

    def enter(self, name: str, mode: int = 0o755) -> None:
        """Go into a directory that is no link; make it with this mode, whatever the umask, if it is missing."""
        path = self._path.parent if name == ".." else self._path / name  # links are resolved already
        try:
            made = self._make(name)
            entered = os.open(name, _DIRECTORY_FLAGS, dir_fd=self.descriptor)
        except OSError as error:
            raise self._problem(name, error) from None
        self._move(entered, path)
        if made:
            os.chmod(f"/proc/self/fd/{entered}", mode)  # an O_PATH descriptor knows no fchmod(2)

    def check_owner(self, *others: int) -> None:
        """Raise :class:`UnsafePathError` if the directory is neither this user's nor one of these others'."""
        owner = os.fstat(self.descriptor).st_uid
        if owner not in (os.geteuid(), *others):
            raise UnsafePathError(_not_ours(self._path, user_name(owner)))

    def _move(self, descriptor: int, path: Path) -> None:
        os.close(self.descriptor)
        self.descriptor, self._path = descriptor, path

    def _make(self, name: str) -> bool:
        try:
            os.lstat(name, dir_fd=self.descriptor)
        except FileNotFoundError:
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=self.descriptor)
                return True
        return False

    def _trusted_link(self, name: str) -> Path | None:
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
        path = self._path / name
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            return _with_path(error, path)
        link = stat.S_ISLNK(os.lstat(name, dir_fd=self.descriptor).st_mode)
        what = "is a symbolic link, which is not followed" if link else "is no directory"
        return UnsafePathError(f"{path}: {what}; remove it or choose another directory")


def _with_path(error: OSError, path: Path) -> OSError:
    return OSError(error.errno, os.strerror(error.errno or 0), str(path))


def _current(directory: int, path: Path, size: int) -> bytes | None:
    """Return the content of the file that is to be written, of one that is larger only so much that it shows.

    None if there is none, or its mode is to be put right.
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
            raise UnsafePathError(f"{path}: is no regular file; remove it or choose another directory")
        if status.st_uid != os.geteuid():
            raise UnsafePathError(_not_ours(path, user_name(status.st_uid)))
        if not has_fit_mode(status.st_mode):
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(size + 1)
    finally:
        os.close(descriptor)


def _is_own_file(directory: int, name: str) -> bool:
    status = os.lstat(name, dir_fd=directory)
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()


def _replace(directory: int, path: Path, content: bytes) -> None:
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


def _not_ours(path: Path, owner: str) -> str:
    return f"{path}: belongs to {owner} and not to {user_name(os.geteuid())}; remove it or choose another directory"


def user_name(uid: int) -> str:
    """Return the name of a user, or the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
