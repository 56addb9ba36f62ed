"""Another exporter as a subject: ``python stepped.py FUNCTION PORT PROGRAM [ARGUMENT ...]``.

It is run as it is, by its own interpreter, but where FUNCTION sleeps until its next collection it waits for an order
instead. This file is run in the peer's virtual environment, so it imports the standard library only.
"""

from __future__ import annotations

import resource
import runpy
import sys
import time
from pathlib import Path
from typing import Any, SupportsIndex

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks import orders


def main(function: str, port: int, program: str, *arguments: str) -> None:
    """Run the program."""
    sleep = time.sleep
    steps = _steps(port)
    next(steps, None)

    def stepped(seconds: float | SupportsIndex) -> None:
        if sys._getframe(1).f_code.co_name == function:
            next(steps)
        else:
            sleep(seconds)

    time.sleep = stepped
    sys.argv = [program, *arguments]
    runpy.run_path(program, run_name="__main__")


def _steps(port: int) -> Any:
    """Return at each step only when there is an order for it."""
    yield
    orders.tell(port=port)
    for line in sys.stdin:
        _, times = line.split()
        before = _of_children()
        for _ in range(int(times)):
            yield
        orders.tell(children=_of_children() - before)
    raise SystemExit


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
