"""The service manager: receives notifications, and keeps file descriptors until the next start of the service."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.support.waiting import wait_for

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


# As systemd does: descriptors from 3 on, and the pid of the process that is to take them.
_PASS = """
import os, sys
names, numbers, command = sys.argv[1], [int(one) for one in sys.argv[2].split(",")], sys.argv[3:]
high = [os.dup2(number, 100 + index) for index, number in enumerate(numbers)]
for number in numbers:
    os.close(number)
for index, number in enumerate(high):
    os.dup2(number, 3 + index)
    os.close(number)
os.environ |= {"LISTEN_FDS": str(len(high)), "LISTEN_FDNAMES": names, "LISTEN_PID": str(os.getpid())}
os.execv(command[0], command)
"""


class Manager:
    """Receives what a service tells its manager (sd_notify(3)), with its file descriptor store."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "notify"
        self.messages: list[tuple[float, str]] = []
        self.stored: list[tuple[str, int]] = []
        """Name and number of the descriptors that the service has stored."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        threading.Thread(target=self._receive, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """What a service needs in its environment to tell."""
        return {"NOTIFY_SOCKET": str(self.path)}

    def _receive(self) -> None:
        with suppress(OSError):  # closed
            while True:
                message, descriptors, _, _ = socket.recv_fds(self._socket, 4096, 16)
                if not message:
                    return
                self.store(message.decode(), descriptors)
                self.messages.append((time.monotonic(), message.decode()))

    def store(self, message: str, descriptors: list[int]) -> None:
        """Do what a message asks with the descriptors that came with it."""
        state = dict(line.split("=", 1) for line in message.splitlines())
        name = state.get("FDNAME", "stored")
        if state.get("FDSTORE") == "1":
            self.stored += [(name, descriptor) for descriptor in descriptors]
        if state.get("FDSTOREREMOVE") == "1":
            for removed in [one for one in self.stored if one[0] == name]:
                self.stored.remove(removed)
                os.close(removed[1])

    def passing(self, program: str | Path) -> list[str | Path]:
        """Return the command that starts a program with what is stored, or the program alone if nothing is."""
        if not self.stored:
            return [program]
        names = ":".join(name for name, _ in self.stored)
        numbers = ",".join(str(number) for _, number in self.stored)
        return [sys.executable, "-c", _PASS, names, numbers, program]

    def said(self, pattern: str) -> list[float]:
        """Return when it said something of the kind."""
        return [moment for moment, message in list(self.messages) if re.search(pattern, message)]

    def reload(self, service: subprocess.Popen[str]) -> None:
        """Have a service read its configuration again, and wait until it has."""
        wait_for(lambda: self.said("READY=1"), "started")  # else that of the start may count as that of the reload
        before = len(self.said("READY=1"))
        service.send_signal(signal.SIGHUP)
        wait_for(lambda: len(self.said("READY=1")) > before, "reloaded")

    def close(self) -> None:
        """Receive no more, and close what is stored."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for _, descriptor in self.stored:
            os.close(descriptor)
