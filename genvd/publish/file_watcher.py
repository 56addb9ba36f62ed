"""Detects changes to the published files. Other programs and users may edit, replace or remove them."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from genvd.common.files import UnsuitableFileError, read_file
from genvd.common.safe_tree import has_published_mode, user_name

if TYPE_CHECKING:
    from pathlib import Path

    from genvd.publish.publication import Publication

_Signature = tuple[int, ...]
"""Device, inode, size and times of a file, which change when the file does."""


class FileWatcher:
    """Watches the files of one publication. Only one thread at a time may use it."""

    def __init__(self, publication: Publication) -> None:
        self._publication = publication
        self._signatures: dict[Path, _Signature | None] = dict.fromkeys(publication.files())
        """The signature of each file when its content was last found correct; None before the first check."""

    def find_change(self) -> str | None:
        """Return a description of the first change that is found, or None.

        The content of a file is read only if its signature has changed; otherwise a check takes one system call.
        """
        for relative, signature in self._signatures.items():
            path = self._publication.directory / relative
            try:
                current = _signature(path)
                if current == signature:
                    continue
                expected = self._publication.content(relative)
                content = read_file(path, len(expected))
                access_change = _access_change(path)
            except FileNotFoundError:
                return f"{path} was removed after it was published"
            except OSError as error:
                return f"{path} can no longer be read ({error.strerror})"
            except UnsuitableFileError:
                content, access_change = b"", None
            if content != expected:
                return f"{path} was changed{_by_user(path)} after it was published"
            if access_change:
                return access_change
            self._signatures[relative] = current
        return None


def _access_change(path: Path) -> str | None:
    """Return a description of a changed owner or of an unsuitable mode, or None."""
    status = path.stat()
    if status.st_uid != os.geteuid():
        return f"{path} was given to {user_name(status.st_uid)} after it was published"
    if not has_published_mode(status.st_mode):
        return f"the mode of {path} was changed to {stat.S_IMODE(status.st_mode):04o} after it was published"
    return None


def _signature(path: Path) -> _Signature:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _by_user(path: Path) -> str:
    """Return " by " and the owner of the file, or nothing if it still belongs to this user."""
    try:
        owner = path.stat().st_uid
    except OSError:
        return ""
    return "" if owner == os.geteuid() else f" by {user_name(owner)}"
