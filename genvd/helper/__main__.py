"""``genv-monitor-processes [DESCRIPTOR PID]``: reads the processes of all users for a monitor that may not.

It serves on the socket that systemd passes (sd_listen_fds(3)), or on the listening socket with this number for the
process with this PID, which has started it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, NoReturn

from sdnotify import SystemdNotifier

from genvd.collectors.host import procfs
from genvd.collectors.host.processes import ProcessCollector
from genvd.common import system_calls
from genvd.common.descriptors import passed_descriptors
from genvd.helper.reading import BlockGuard, Reading, StuckError
from genvd.helper.remembered import STORE_NAME, Remembered
from genvd.helper.server import Server, owns

if TYPE_CHECKING:
    from collections.abc import Callable

    from genvd.helper.server import Peer

STUCK_STATUS = 75
"""Exit status if all threads are stuck: EX_TEMPFAIL of sysexits.h. The unit starts the helper again."""


def main() -> None:
    """Answer questions until there is nobody left who could ask."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a monitor blocks signals before it starts this program
    if len(sys.argv) == 3:
        _serve_monitor(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
    passed = passed_descriptors()
    sockets = [number for name, number in passed if name != STORE_NAME]
    if len(sockets) != 1:
        sys.exit("genv-monitor-processes: has no socket; systemd starts it: systemctl start genv-monitor")
    notifier, listening = SystemdNotifier(), socket.socket(fileno=sockets[0])
    remembered = Remembered.found([number for name, number in passed if name == STORE_NAME], notifier)
    _serve(listening, lambda peer: owns(listening, peer), notifier, remembered)


def _serve_monitor(listening: socket.socket, monitor: int) -> NoReturn:
    """Serve the monitor in a terminal that has started this process."""
    from genvd.common.capabilities import READ_PROCESSES, give_up
    from genvd.helper.supervisor import supervise

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the monitor, whose end ends this program
    remembered = Remembered(os.pipe())
    give_up(keep=READ_PROCESSES)
    supervise(monitor)
    _serve(listening, lambda peer: peer.pid == monitor, SystemdNotifier(), remembered)


def _serve(
    listening: socket.socket, accepts: Callable[[Peer], bool], notifier: SystemdNotifier, remembered: Remembered
) -> NoReturn:
    guard = BlockGuard(remembered.take())
    procfs.set_guard(guard)
    server = Server(Reading(ProcessCollector(), guard), guard, notifier, listening, accepts)
    _forbid_all_but_reading()
    try:
        server.serve()
    except StuckError:
        remembered.leave(guard.left_out)
        os._exit(STUCK_STATUS)  # ends threads that wait for the memory of a process
    sys.exit()


def _forbid_all_but_reading() -> None:
    """Restrict this program further than a unit can: /proc/PID/root leads past the mounts of a sandbox."""
    try:
        system_calls.forbid_writing()
        system_calls.forbid_connections()
        system_calls.forbid_execution()
    except OSError as error:  # a kernel without seccomp: what the unit forbids still holds
        sys.stderr.write(f"genv-monitor-processes: system calls cannot be restricted: {error.strerror}\n")


if __name__ == "__main__":
    main()
