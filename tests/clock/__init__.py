"""Clocks that a test sets for one program; the machine's own go on as they are."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

from tests.support.needs import need_command

_SOURCE = Path(__file__).resolve().parent / "clock.c"
_FLAGS = ("-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
_OFFSETS = struct.Struct("=qq")
_NANOSECONDS = 10**9


def build(directory: Path) -> Path:
    """Compile the library into the directory, and return its path."""
    compiler = need_command(os.environ.get("CC", "cc"), "gcc")
    library = directory / "clock.so"
    subprocess.run([compiler, *_FLAGS, "-o", library, _SOURCE, "-ldl"], check=True)
    return library


class Clock:
    """The clocks of a program."""

    def __init__(self, directory: Path) -> None:
        """Make them, going right, with their files in an empty directory."""
        self._library = build(directory)
        self._file = directory / "offsets"
        self.set()

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs in its environment to have these clocks."""
        return {"LD_PRELOAD": str(self._library), "CLOCK_SHIM": str(self._file)}

    def set(self, *, wall: float = 0.0, monotonic: float = 0.0) -> None:
        """Put the clocks so many seconds ahead of the machine's."""
        offsets = _OFFSETS.pack(int(wall * _NANOSECONDS), int(monotonic * _NANOSECONDS))
        with open(self._file, "r+b" if self._file.exists() else "wb", buffering=0) as file:
            file.write(offsets)  # in place: the program has it mapped
