"""The Python of the tests, for other users."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.support.needs import need, need_command

NOBODY = 65534
"""A user who owns nothing."""

_LIBRARIES = ("yaml", "psutil", "prometheus_client", "pynvml", "sdnotify", "h11")


def program_for_nobody(directory: Path) -> list[str | Path]:
    """Return what begins a command of another user than root, to be followed by the arguments of Python.

    It is the Python of the tests, and has this project and its libraries. Tests that do not run as root stay who they
    are. If that Python is in a directory of root, as pyenv has it, a copy is made.

    Args:
        directory: one that every user can enter.
    """
    code = directory / "code"
    if not code.exists():
        _copy_modules(code)
    own = Path(sys.executable)
    python = own if _runs(own) else directory / "python" / own.name
    if not python.exists():
        _copy_interpreter(python)
    need(_runs(python), f"needs a Python that every user can run: neither {own} is one, nor a copy of it")
    # -E is not for here: PYTHONPATH is what makes it find the program.
    variables = [f"PYTHONPATH={code}", "PYTHONDONTWRITEBYTECODE=1"]
    return [*_become_nobody(), "env", "-C", "/", *variables, python]


def _become_nobody() -> list[str | Path]:
    if os.geteuid() != 0:
        return []
    setpriv = need_command("setpriv", "util-linux")
    return [setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


def _copy_modules(code: Path) -> None:
    for name in ("genvd", *_LIBRARIES):
        spec = importlib.util.find_spec(name)
        assert spec and spec.origin
        origin = Path(spec.origin)
        if origin.name == "__init__.py":
            shutil.copytree(origin.parent, code / name)
        else:
            shutil.copy(origin, code)
    subprocess.run(["chmod", "-R", "a+rX", code], check=True)


def _runs(python: Path) -> bool:
    # By env: setpriv itself still has the capabilities of root when it executes something.
    command = [*_become_nobody(), "env", "-C", "/", python, "-c", "import ctypes, ssl"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _copy_interpreter(command: Path) -> None:
    """Copy the interpreter, its shared library and its modules next to the command that starts it."""
    home, prefix = command.with_name("home"), Path(sys.base_prefix)
    program, modules = Path(sys.executable).resolve(), Path(sysconfig.get_path("stdlib"))
    for library in prefix.glob("lib/libpython*.so*"):
        _copy_file(library, home / "lib" / library.name)
    leave_out = shutil.ignore_patterns("site-packages", "test", "idlelib", "__pycache__", "config-*")
    shutil.copytree(modules, home / modules.relative_to(prefix), symlinks=True, ignore=leave_out)
    _copy_file(program, home / "bin" / program.name)
    # An interpreter that was built with a shared library looks for it where it was installed.
    command.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH="{home}/lib" exec "{home}/bin/{program.name}" "$@"\n')
    command.chmod(0o755)
    subprocess.run(["chmod", "-R", "a+rX", command.parent], check=True)


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
