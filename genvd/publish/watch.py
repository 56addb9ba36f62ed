"""Sees whether what was published is still there: others may write the same files, or put others in their place."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from genvd.common import files
from genvd.common.safe_tree import has_published_mode, user_name
from genvd.publish import published_files

if TYPE_CHECKING:
    from pathlib import Path

    from genvd.publish import Publication

_Mark = tuple[int, ...]


class Watch:
    """The files of one publication. One thread at a time."""

    def __init__(self, publication: Publication) -> None:
        self._publication = publication
        self._marks: dict[Path, _Mark | None] = dict.fromkeys(published_files())
        """What each file looked like when its content was right; None until it was compared."""

    def altered(self) -> str | None:
        """Return in words what is not as it was published, of the first file of which that holds; None if all is.

        Of a file that looks as it did, this takes one system call; of another one its content decides.
        """
        for relative, mark in self._marks.items():
            path = self._publication.directory / relative
            try:
                now = _mark(path)
                if now == mark:
                    continue
                expected = self._publication.content(relative)
                found = files.read_file(path, len(expected))
                wrong = _access(path)
            except FileNotFoundError:
                return f"{path} is gone after it was published"
            except OSError as error:
                return f"{path} cannot be read any more ({error.strerror})"
            except files.UnsuitableFileError:
                found, wrong = b"", None
            if found != expected:
                return f"{path} was changed{_by(path)} after it was published"
            if wrong:
                return wrong
            self._marks[relative] = now
        return None


def _access(path: Path) -> str | None:
    """Return in words what keeps others from reading a file as it was published, or whose it is; None if nothing."""
    status = path.stat()
    if status.st_uid != os.geteuid():
        return f"{path} was given to {user_name(status.st_uid)} after it was published"
    if not has_published_mode(status.st_mode):
        return f"the mode of {path} was changed to {stat.S_IMODE(status.st_mode):04o} after it was published"
    return None


def _mark(path: Path) -> _Mark:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _by(path: Path) -> str:
    """Return whose file it is now, if it is not this user's any more."""
    try:
        owner = path.stat().st_uid
    except OSError:
        return ""
    return "" if owner == os.geteuid() else f" by {user_name(owner)}"
