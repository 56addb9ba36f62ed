"""Virtual environments, and this project as others install it."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

from tests.support.needs import need

REPOSITORY = Path(__file__).resolve().parents[2]

SYSTEM_PYTHON = Path("/usr/bin/python3")
"""An interpreter that every user may run; that of the tests can lie in somebody's home."""


def virtual_environment(directory: Path) -> Path:
    """Make a virtual environment with nothing in it; return its bin directory.

    Every user can run what is in it, if every user can enter the directory.
    """
    need(SYSTEM_PYTHON.exists(), f"needs {SYSTEM_PYTHON}: apt install python3")
    command = (sys.executable, "-m", "virtualenv", "--quiet", "--no-pip", "--no-setuptools", "--python")
    _run(*command, str(SYSTEM_PYTHON), str(directory))
    directory.chmod(0o755)
    return directory / "bin"


def pip_install(bin_directory: Path, *packages: str | Path) -> None:
    """Install packages into a virtual environment, all at once."""
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(bin_directory / "python"))
    _run(*pip, "install", "--quiet", *map(str, packages))


@functools.cache
def own_wheel(directory: Path) -> Path:
    """Build this project into the directory, once for all tests; return the wheel."""
    _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(directory), str(REPOSITORY))
    (wheel,) = directory.glob("*.whl")
    return wheel


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit status {result.returncode}\n{result.stdout}{result.stderr}")
