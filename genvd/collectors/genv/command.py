"""Finds the real genv, not the ``genv`` command of this package, and collects whether it is installed.

The ``genv`` command of this package imports this module at each start, so nothing slow is imported here.
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

_MTIME_RESOLUTION_SECONDS = 2.0
"""A directory that was modified longer ago than this gets a new mtime when it is modified again."""

_OWN_LAUNCHER = re.compile(rb"^\s*(?:from|import) genvd\b", re.MULTILINE)
"""Matches every launcher script of this package, from pip and from the Debian package."""

TRIED_VARIABLE = "GENVD_HANDED_OVER"
"""Environment variable with the pid of a process that this package replaced by genv, and the commands it tried."""


def find_genv() -> EntryPoint | str | None:
    """Return the real genv: the entry point of its distribution, or the path of the next genv on PATH, or None."""
    return _installed_distribution() or _next_on_path()


def _installed_distribution() -> EntryPoint | None:
    if not any(map(_has_genv, sys.path)):
        return None
    from importlib import metadata  # slower than everything else here

    try:
        entry_points = metadata.distribution("genv").entry_points
    except metadata.PackageNotFoundError:
        return None
    return next((one for one in entry_points if one.group == "console_scripts" and one.name == "genv"), None)


def _has_genv(directory: str) -> bool:
    try:
        status = os.stat(directory or ".")
        # Not cached then, because the directory may change again without getting another mtime.
        if abs(time.time() - status.st_mtime) < _MTIME_RESOLUTION_SECONDS:
            return _lists_genv.__wrapped__(directory, ())
        return _lists_genv(directory, (status.st_dev, status.st_ino, status.st_mtime_ns))
    except OSError:
        return False


@lru_cache(maxsize=64)
def _lists_genv(directory: str, state: tuple[int, ...]) -> bool:
    """Return whether genv is installed in a directory. ``state`` is the cache key: it changes with the directory."""
    names = os.listdir(directory or ".")
    return any(name.startswith("genv-") and name.endswith(("-info", ".egg")) for name in names)


def _next_on_path() -> str | None:
    tried = tried_commands()
    return next((one for one in _on_path("genv") if one not in tried and not _is_own_launcher(one)), None)


def tried_commands() -> list[str]:
    """Return the commands that led back to this package, such as shims that execute the next genv on PATH."""
    pid, *commands = os.environ.get(TRIED_VARIABLE, "").split(os.pathsep)
    return commands if pid == str(os.getpid()) else []


def _on_path(command: str) -> Iterator[str]:
    for directory in os.environ.get("PATH", os.defpath).split(os.pathsep):
        candidate = os.path.join(directory or ".", command)
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):  # unlike Path, these never raise
            yield candidate


def _is_own_launcher(command: str) -> bool:
    """Return whether a command belongs to this package. Two installed copies must not start each other forever."""
    try:
        with open(command, "rb") as file:
            return _OWN_LAUNCHER.search(file.read(4096)) is not None
    except OSError:
        return False


class GenvCommandCollector:
    """Collects whether the real genv is installed.

    It is separate from the state collector because any user can break the state files, and a directory on PATH can
    hang.
    """

    name = "genv_command"

    def collect(self, request: None = None) -> bool:
        """Return whether the genv command was found."""
        return find_genv() is not None
