"""Runs the helper in a terminal in child processes, one after the other, as systemd does for the service.

The supervisor reads nothing and speaks to nobody. It ends the helper when the monitor has ended.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1
"""From prctl(2)."""

_RESTART_SECONDS = 0.1


def supervise(monitor: int) -> None:
    """Return in a child process. In this process, start another one whenever it ends, until the monitor has ended.

    Args:
        monitor: the pid of the monitor, the parent of this process.
    """
    try:
        watched = os.pidfd_open(monitor)
    except ProcessLookupError:
        sys.exit()
    if os.getppid() != monitor:  # it has ended already, and another process may have its pid
        sys.exit()
    while True:
        supervisor = os.getpid()
        child = os.fork()
        if child == 0:
            _end_with(supervisor)
            os.close(watched)
            return
        ended = os.pidfd_open(child)
        if watched in _wait_for(watched, ended):
            os.kill(child, signal.SIGKILL)  # it may be stopped, or blocked
            sys.exit()
        os.close(ended)
        os.waitpid(child, 0)
        time.sleep(_RESTART_SECONDS)


def _wait_for(*processes: int) -> set[int]:
    """Wait until one of these processes (pidfd_open(2)) has ended; return those that have."""
    poll = select.poll()
    for process in processes:
        poll.register(process, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll()}


def _end_with(supervisor: int) -> None:
    """Have the kernel end this process when the supervisor ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != supervisor:
        sys.exit()
