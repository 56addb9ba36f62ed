"""What a command gives to its caller: standard output, which may be closed, full or read by nobody, and exit status."""

from __future__ import annotations

import os
import sys


class OutputError(Exception):
    """Standard output does not take what is written. The text is one line: the thing, the reason, the way out."""


def open_closed_ones() -> None:
    """Lead those of the three that are closed to nowhere, so that no file or socket gets their number."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one


def write_output(content: bytes) -> None:
    """Write to standard output.

    Raises:
        OutputError: not all of it could be written.
    """
    if sys.stdout is None:
        raise OutputError("cannot write the output: standard output is closed; send it to a file or a pipe")
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer would be tried again when the interpreter ends, with a message of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(f"cannot write the output: {error.strerror}; send it elsewhere") from None


EXIT_OK = 0
"""Asked to stop, or done."""


EXIT_FAILED = 1
"""Could not run."""


EXIT_USAGE = 2
"""Wrong command line or configuration."""


EXIT_RESTART = 75
"""A new process is needed (EX_TEMPFAIL of sysexits.h); the units have it started."""
