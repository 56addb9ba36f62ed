"""The compiled programs of the bench."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.standin import BuildError

SOURCES = Path(__file__).resolve().parent

_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror")


def compiled(name: str, directory: Path) -> Path:
    """Compile a program into the directory, for everybody to run; return its path.

    Raises:
        BuildError: it cannot be compiled here.
    """
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise BuildError("the bench needs a C compiler (cc, or the environment variable CC)")
    program = directory / name
    command = [compiler, *_FLAGS, "-o", str(program), str(SOURCES / f"{name}.c")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise BuildError(f"{' '.join(command)}:\n{result.stderr}")
    program.chmod(0o755)
    return program
