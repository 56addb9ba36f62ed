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
from typing import NoReturn

from sdnotify import SystemdNotifier

from genvd.collectors.host import procfs
from genvd.collectors.host.processes import ProcessCollector
from genvd.common import system_calls
from genvd.helper.reading import BlockGuard, LeftOut, Reading, StuckError
from genvd.helper.server import Server

_SUCCESSOR = "GENV_MONITOR_SUCCESSOR"
"""The variable in which this program, when it executes itself again, passes on a socket and which processes block."""

_MAX_LEFT_OUT = 2000
"""As many fit into a variable (execve(2))."""

_GC_THRESHOLD = 50_000
"""Messages are thousands of objects without cycles. By default the garbage collector would scan all of them."""

_FIRST_DESCRIPTOR = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""


def main() -> None:
    """Answer questions until there is nobody left who could ask."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a monitor blocks signals before it starts this program
    notifier, left_out = _predecessor()
    guard = BlockGuard(left_out)
    procfs.set_guard(guard)
    server = Server(Reading(ProcessCollector(), guard), guard, notifier or SystemdNotifier())
    if len(sys.argv) == 2 and sys.argv[1].isdigit():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the monitor, whose end ends this program
        _limit_capabilities()
        server.connect(socket.socket(fileno=int(sys.argv[1])))
    elif os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS") == "1":
        server.listen(socket.socket(fileno=_FIRST_DESCRIPTOR))
    else:
        sys.exit("genv-monitor-processes: has no socket; systemd starts it: systemctl start genv-monitor")
    if notifier is None:  # else the predecessor has done it
        _forbid_all_but_reading()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)
    try:
        server.serve()
    except StuckError:
        _execute_again(server.notifier, guard)


def _limit_capabilities() -> None:
    from genvd.common.capabilities import READ_PROCESSES, give_up

    give_up(keep=READ_PROCESSES)


def _forbid_all_but_reading() -> None:
    """Restrict this program further than a unit can: /proc/PID/root leads past the mounts of a sandbox."""
    try:
        system_calls.forbid_writing()
        system_calls.forbid_connections()
    except OSError as error:  # a kernel without seccomp: what the unit forbids still holds
        sys.stderr.write(f"genv-monitor-processes: system calls cannot be restricted: {error.strerror}\n")


def _execute_again(notifier: SystemdNotifier, guard: BlockGuard) -> NoReturn:
    """Execute this program again. That ends its threads, even those that wait for the memory of a process."""
    latest = sorted(guard.left_out.items(), key=lambda item: item[1].until)[-_MAX_LEFT_OUT:]
    number = notifier.socket.fileno() if notifier.socket else None  # a new socket is forbidden
    if number is not None:
        os.set_inheritable(number, True)
    os.environ[_SUCCESSOR] = json.dumps([number, [[pid, one.until, one.seconds] for pid, one in latest]])
    os.execv(sys.executable, sys.orig_argv)


def _predecessor() -> tuple[SystemdNotifier | None, dict[int, LeftOut]]:
    """Return what this program had when it executed itself again; None and nothing if it has just been started."""
    if (passed := os.environ.pop(_SUCCESSOR, None)) is None:
        return None, {}
    number, listed = json.loads(passed)
    notifier = SystemdNotifier()
    if number is not None:
        notifier.socket = socket.socket(fileno=number)
    return notifier, {pid: LeftOut(until, seconds) for pid, until, seconds in listed}


if __name__ == "__main__":
    main()
