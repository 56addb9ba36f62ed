"""A monitor that runs as another process of this machine: how it was started, and having it reload."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from pathlib import Path

_PROGRAMS = frozenset({"genv-monitor", "genv", "genvd"})
_WITH_VALUE = frozenset({"-W", "-X", "--check-hash-based-pycs"})
"""Options of Python whose value is the next word (python --help)."""


class NotRunningError(Exception):
    """There is no such monitor. The text is one line: the thing, the reason, the way out."""


def arguments_of(pid: int) -> list[str]:
    """Return the arguments with which a monitor was started, and go to its working directory, which they may refer to.

    Raises:
        NotRunningError: the process is no monitor, or there is none.
    """
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    except OSError as error:
        raise NotRunningError(f"process {pid}: {error.strerror}; expected the number of a genv-monitor") from None
    program, arguments = split_command([os.fsdecode(word) for word in words])
    name = Path(program).name
    if name not in _PROGRAMS or (name == "genv" and arguments[:1] != ["monitor"]):
        raise NotRunningError(f"process {pid}: is no genv-monitor; expected the number of one")
    with suppress(OSError):  # then a relative path does not lead anywhere, and that is told
        os.chdir(f"/proc/{pid}/cwd")
    return arguments[1:] if name == "genv" else arguments


def split_command(words: list[str]) -> tuple[str, list[str]]:
    """Return the program that a Python runs, and its arguments; of another process its own name."""
    at = 1
    while at < len(words) and words[at].startswith("-"):
        option = words[at]
        at += 2 if option in _WITH_VALUE else 1
        if re.fullmatch("-[A-Za-z]*m", option):  # the module comes next, and ends the options
            break
    return (words[at], words[at + 1 :]) if at < len(words) else (words[0] if words else "", [])


def reload(pid: int) -> None:
    """Have a monitor read its configuration again.

    Raises:
        NotRunningError: it has ended, or belongs to somebody else.
    """
    try:
        os.kill(pid, signal.SIGHUP)
    except OSError as error:
        raise NotRunningError(f"process {pid}: {error.strerror}; run this as its user, or as root") from None
