"""What a command returns to its caller: standard output and the exit status."""

from __future__ import annotations

import os
import sys


class CommandError(Exception):
    """A command could not run. The text is one line for the user: what failed, why, and what to do."""


class OutputError(CommandError):
    """Standard output is closed, full, or has no reader."""


def open_closed_standard_streams() -> None:
    """Open /dev/null for each closed standard stream, so that no other file or socket gets its descriptor."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor, which is this one


def write_output(content: bytes) -> None:
    """Write to standard output.

    Raises:
        OutputError: the output could not be written completely.
    """
    if sys.stdout is None:
        raise OutputError("cannot write the output: standard output is closed; send it to a file or a pipe")
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    except OSError as error:
        # Otherwise the interpreter writes the rest of the buffer when it exits, fails again, and prints a message.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(f"cannot write the output: {error.strerror}; send it elsewhere") from None


EXIT_OK = 0
"""The command is done, or was asked to stop."""

EXIT_FAILED = 1
"""The command could not run."""

EXIT_USAGE = 2
"""The command line or the configuration is invalid."""

EXIT_NOT_KNOWN = 3
"""Of ``free``: it is not known whether a GPU is free. That none is free is :data:`EXIT_FAILED`."""

EXIT_RESTART = 75
"""A new process is needed (EX_TEMPFAIL of sysexits.h). The systemd units start one."""
