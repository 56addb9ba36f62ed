"""The ``genv`` command: ``genv monitor`` is ours, every other subcommand belongs to the real genv.

The users of genv must never notice that this package is there, so nothing heavy is imported before it is
known whose subcommand it is.
"""

from __future__ import annotations

import sys

from genvd.collectors.genv.command import find_genv
from genvd.common.output import WRONG


def main() -> int:
    """Run ``genv`` with the arguments of this process; return its exit status."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["monitor"]:
        from genvd.cli.commands import main as monitor

        return monitor(arguments[1:], program="genv monitor")
    start = find_genv()
    if start is None:
        print(
            "genv: only 'genv monitor' is installed here, genv itself is not; install it with 'pip install genv'",
            file=sys.stderr,
        )
        return WRONG
    return start(arguments)
