"""Where the real genv is: not the command ``genv`` of this package, which may be installed under the same name.

The ``genv`` command of this package imports this at each start, so nothing slow is imported here.
"""

from __future__ import annotations

import os
import re
import sys
import time
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import EntryPoint

_SETTLED_SECONDS = 2.0
"""After which a directory that changes again has another time."""

_OUR_MARK = re.compile(rb"^\s*(?:from|import) genvd\b", re.MULTILINE)
"""Stands in every launcher of this package: a pip script imports genvd, and so does the Debian one."""

TRIED_VARIABLE = "GENVD_HANDED_OVER"
"""Environment variable with the pid of a process that this package replaced by genv, and the commands it tried."""


def find_genv() -> EntryPoint | str | None:
    """Return the real genv: the entry point of its distribution, or the path of the next genv on PATH, or None."""
    return _installed_distribution() or _next_on_path()


def _installed_distribution() -> EntryPoint | None:
    if not any(map(_has_genv, sys.path)):
        return None
    from importlib import metadata  # takes longer than all the rest of this

    try:
        entry_points = metadata.distribution("genv").entry_points
    except metadata.PackageNotFoundError:
        return None
    return next((one for one in entry_points if one.group == "console_scripts" and one.name == "genv"), None)


def _has_genv(directory: str) -> bool:
    try:
        status = os.stat(directory or ".")
        if abs(time.time() - status.st_mtime) < _SETTLED_SECONDS:
            return _holds_genv.__wrapped__(directory, ())
        return _holds_genv(directory, (status.st_dev, status.st_ino, status.st_mtime_ns))
    except OSError:
        return False


@lru_cache(maxsize=64)
def _holds_genv(directory: str, state: tuple[int, ...]) -> bool:
    """Tell whether genv is installed in a directory; asked again when its state, of which the time is, has changed."""
    names = os.listdir(directory or ".")
    return any(name.startswith("genv-") and name.endswith(("-info", ".egg")) for name in names)


def _next_on_path() -> str | None:
    tried = tried_commands()
    return next((one for one in _on_path("genv") if one not in tried and not _is_ours(one)), None)


def tried_commands() -> list[str]:
    """Return the commands that led back to this package, such as shims that execute the next genv on PATH."""
    pid, *commands = os.environ.get(TRIED_VARIABLE, "").split(os.pathsep)
    return commands if pid == str(os.getpid()) else []


def _on_path(command: str) -> Iterator[str]:
    for directory in os.environ.get("PATH", os.defpath).split(os.pathsep):
        candidate = os.path.join(directory or ".", command)
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):  # unlike Path, these never raise
            yield candidate


def _is_ours(command: str) -> bool:
    """Two copies of this package, such as the Debian one and one in a virtual environment, must not ping-pong."""
    try:
        with open(command, "rb") as file:
            return _OUR_MARK.search(file.read(4096)) is not None
    except OSError:
        return False


class GenvCommandCollector:
    """The genv command that is not this package's own.

    A collector of its own: it does not depend on genv's state files, which any user can break, and a directory of PATH
    can hang.
    """

    name = "genv_command"

    def collect(self, request: None = None) -> bool:
        """Tell whether there is one."""
        return find_genv() is not None
