"""Where the real genv is: not the command ``genv`` of this package, which may be installed under the same name.

The command ``genv`` hands its arguments to what is found here, so nothing heavy is imported.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from functools import lru_cache

from genvd.common.output import WRONG

_SETTLED_SECONDS = 2.0
"""After which a directory that changes again has another time."""

_OUR_MARK = re.compile(rb"^\s*(?:from|import) genvd\b", re.MULTILINE)
"""Stands in every launcher of this package: a pip script imports genvd, and so does the Debian one."""

_TRIED = "GENVD_HANDED_OVER"
"""This variable holds the pid of a process that was handed over, and to which commands it was."""

Start = Callable[[list[str]], int]


def find_genv() -> Start | None:
    """Return what starts the real genv: its installed distribution, else the next genv on PATH; else None."""
    return _installed_distribution() or _next_on_path()


def _installed_distribution() -> Start | None:
    if not any(map(_has_genv, sys.path)):
        return None
    from importlib import metadata  # takes longer than all the rest of this

    try:
        entry_points = metadata.distribution("genv").entry_points
    except metadata.PackageNotFoundError:
        return None
    for entry_point in entry_points:
        if entry_point.group == "console_scripts" and entry_point.name == "genv":

            def start(arguments: list[str], entry_point: metadata.EntryPoint = entry_point) -> int:
                sys.argv[1:] = arguments
                return int(entry_point.load()() or 0)

            return start
    return None


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


def _next_on_path() -> Start | None:
    tried = _tried()
    for candidate in _on_path("genv"):
        if candidate not in tried and not _is_ours(candidate):
            return lambda arguments: _execute(candidate, arguments, tried)
    return None


def _tried() -> list[str]:
    """Return the commands that led back to us: wrappers and shims that execute whatever genv is next on PATH."""
    pid, *commands = os.environ.get(_TRIED, "").split(os.pathsep)
    return commands if pid == str(os.getpid()) else []


def _execute(command: str, arguments: list[str], tried: list[str]) -> int:
    os.environ[_TRIED] = os.pathsep.join((str(os.getpid()), *tried, command))
    try:
        os.execv(command, [command, *arguments])
    except OSError as error:
        if error.errno == errno.ENOEXEC:  # a script without its first line: shells run it all the same
            os.execv("/bin/sh", ["/bin/sh", command, *arguments])
        print(f"genv: cannot run {command}: {error.strerror}; reinstall genv or remove that file", file=sys.stderr)
        return WRONG


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

    def read(self, question: None = None) -> bool:
        """Tell whether there is one."""
        return find_genv() is not None
