"""Another running monitor on this machine: its command line, and sending it a reload."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from pathlib import Path

from genvd.common.output import CommandError

_PROGRAMS = frozenset({"genv-monitor", "genv", "genvd"})
_WITH_VALUE = frozenset({"-W", "-X", "--check-hash-based-pycs"})
"""Options of Python that take the next word as their value (python --help)."""


class NotRunningError(CommandError):
    """The process is not a running monitor."""


def read_arguments(pid: int) -> list[str]:
    """Return the command line arguments of a running monitor, and change to its working directory.

    Raises:
        NotRunningError: the process does not exist or is not a monitor.
    """
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    except OSError as error:
        raise NotRunningError(f"process {pid}: {error.strerror}; expected the PID of a genv-monitor") from None
    program, arguments = split_command([os.fsdecode(word) for word in words])
    name = Path(program).name
    if name not in _PROGRAMS or (name == "genv" and arguments[:1] != ["monitor"]):
        raise NotRunningError(f"process {pid}: is not a genv-monitor; expected the PID of one")
    with suppress(OSError):  # then a relative path in the arguments leads to an error of its own
        os.chdir(f"/proc/{pid}/cwd")
    return arguments[1:] if name == "genv" else arguments


def split_command(words: list[str]) -> tuple[str, list[str]]:
    """Return the program that a Python process runs and its arguments; for another process, its own name."""
    position = 1
    while position < len(words) and words[position].startswith("-"):
        option = words[position]
        position += 2 if option in _WITH_VALUE else 1
        if re.fullmatch("-[A-Za-z]*m", option):  # the module comes next, and ends the options
            break
    return (words[position], words[position + 1 :]) if position < len(words) else (words[0] if words else "", [])


def reload(pid: int) -> None:
    """Send a reload to a monitor.

    Raises:
        NotRunningError: the process has ended, or belongs to another user.
    """
    try:
        os.kill(pid, signal.SIGHUP)
    except OSError as error:
        raise NotRunningError(f"process {pid}: {error.strerror}; run this as its user, or as root") from None
