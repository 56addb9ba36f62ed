"""The ``genv`` command: ``genv monitor`` is ours, every other subcommand belongs to the real genv.

Users of genv must not notice this package, so nothing slow is imported before the subcommand is known.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

from genvd.collectors.genv.command import TRIED_VARIABLE, find_genv, tried_commands
from genvd.common.output import EXIT_USAGE

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_GENV = 'genv "setuptools<80"'
"""For pip: genv 1.4.3 imports pkg_resources, which virtual environments of Python 3.12 and later do not have."""


def main() -> int:
    """Run ``genv`` with the arguments of this process; return its exit status."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["monitor"]:
        from genvd.cli.commands import main as monitor

        return monitor(arguments[1:], program="genv monitor")
    genv = find_genv()
    if genv is None:
        print(f"genv: only 'genv monitor' is installed here, genv itself is not; {_advice()}", file=sys.stderr)
        return EXIT_USAGE
    return _execute(genv, arguments) if isinstance(genv, str) else _call(genv)


def _advice() -> str:
    """Return how to install genv: pip refuses to where the system manages its Python (PEP 668), so not into that.

    Debian and Ubuntu have what a virtual environment needs, ensurepip, in a package of its own.
    """
    if sys.prefix != sys.base_prefix:
        return f"install it with '{sys.prefix}/bin/pip install {_GENV}'"
    from importlib.util import find_spec

    venv = "" if find_spec("ensurepip") else "sudo apt install python3-venv && "
    return (
        f"install it with '{venv}sudo python3 -m venv /opt/genv && sudo /opt/genv/bin/pip install {_GENV}"
        " && sudo ln -s /opt/genv/bin/genv /usr/local/bin/genv'"
    )


def _call(entry_point: EntryPoint) -> int:
    """Run genv in this process. It reads its arguments from ``sys.argv``."""
    return int(entry_point.load()() or 0)


def _execute(command: str, arguments: list[str]) -> int:
    """Replace this process with the command; return only if that fails."""
    os.environ[TRIED_VARIABLE] = os.pathsep.join((str(os.getpid()), *tried_commands(), command))
    try:
        os.execv(command, [command, *arguments])
    except OSError as error:
        if error.errno == errno.ENOEXEC:  # a script without a shebang line: shells run it nevertheless
            os.execv("/bin/sh", ["/bin/sh", command, *arguments])
        print(f"genv: cannot run {command}: {error.strerror}; reinstall genv or remove that file", file=sys.stderr)
        return EXIT_USAGE
