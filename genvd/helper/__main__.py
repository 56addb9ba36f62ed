"""``genv-monitor-processes [DESCRIPTOR]``: reads the processes of all users for a monitor that may not.

It serves on the socket that systemd passes (sd_listen_fds(3)), or on a connected one with this number.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import time
from typing import NoReturn

from genvd.collectors.host import procfs
from genvd.collectors.host.processes import ProcessCollector
from genvd.helper.reading import BlockGuard, LeftOut, Reading, StuckError
from genvd.helper.server import Server

_LEFT_OUT = "GENV_MONITOR_LEFT_OUT"
"""The variable with which this program tells its successor which processes block."""

_MAX_LEFT_OUT = 2000
"""As many fit into a variable (execve(2))."""

_GC_THRESHOLD = 50_000
"""Messages are thousands of objects without cycles. By default the garbage collector would scan all of them."""

_FIRST_DESCRIPTOR = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""


def main() -> None:
    """Answer questions until there is nobody left who could ask."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a monitor blocks signals before it starts this program
    guard = BlockGuard(_left_out_before())
    procfs.set_guard(guard)
    server = Server(Reading(ProcessCollector(), guard), guard)
    if len(sys.argv) == 2 and sys.argv[1].isdigit():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the monitor, whose end ends this program
        _limit_capabilities()
        server.connect(socket.socket(fileno=int(sys.argv[1])))
    elif os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS") == "1":
        server.listen(socket.socket(fileno=_FIRST_DESCRIPTOR))
    else:
        sys.exit("genv-monitor-processes: has no socket; systemd starts it: systemctl start genv-monitor")
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)
    try:
        server.serve()
    except StuckError:
        _start_anew(guard)


def _limit_capabilities() -> None:
    from genvd.common.capabilities import READ_PROCESSES, give_up

    give_up(keep=READ_PROCESSES)


def _start_anew(guard: BlockGuard) -> NoReturn:
    """Execute this program again. That ends its threads, even those that wait for the memory of a process."""
    latest = sorted(guard.left_out.items(), key=lambda item: item[1].until)[-_MAX_LEFT_OUT:]
    os.environ[_LEFT_OUT] = json.dumps([[pid, one.until, one.seconds] for pid, one in latest])
    os.execv(sys.executable, sys.orig_argv)


def _left_out_before() -> dict[int, LeftOut]:
    """Return the processes that blocked this program before it started anew."""
    try:
        listed = json.loads(os.environ.pop(_LEFT_OUT, "[]"))
        return {int(pid): LeftOut(min(float(until), time.monotonic() + 960), float(s)) for pid, until, s in listed}
    except (ValueError, TypeError):
        return {}


if __name__ == "__main__":
    main()
