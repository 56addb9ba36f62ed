"""The helper that reads processes, as systemd starts it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from genvd.collectors.host.helper_client import ADDRESS_VARIABLE
from genvd.helper.__main__ import STUCK_STATUS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ACTIVATE = """
import fcntl, os, sys
high = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 100) for number in sys.argv[1:]]
for number, descriptor in enumerate(high, 3):
    os.dup2(descriptor, number)
names = "processes.socket:left-out:left-out"
os.environ.update(LISTEN_FDS="3", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=names)
os.execv(sys.executable, [sys.executable, "-I", "-m", "genvd.helper"])
"""


class Helper:
    """A listening socket, and the process that serves on it. The socket stays when the process ends.

    As its unit says, a process that ends because it is stuck is followed by another one.
    """

    def __init__(self, directory: Path, environment: dict[str, str] | None = None, command: Sequence[str] = ()) -> None:
        """Listen and start.

        Args:
            directory: of the socket.
            environment: added to that of the tests.
            command: a program that executes the helper, such as setpriv.
        """
        self._command = command
        self.path = directory / "processes.sock"
        self._log = directory / "helper.log"
        self._environment = environment or {}
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.path))
        self._listening.listen(16)
        self.path.chmod(0o600)
        self._pipe = os.pipe()
        self._ended = False
        self.start()

    def __enter__(self) -> Helper:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self.kill()
        self._listening.close()
        for descriptor in self._pipe:
            os.close(descriptor)

    @property
    def variables(self) -> dict[str, str]:
        """The variables with which a monitor uses it."""
        return {ADDRESS_VARIABLE: str(self.path)}

    def start(self) -> None:
        """Start the process."""
        descriptors = (self._listening.fileno(), *self._pipe)
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                [*self._command, sys.executable, "-c", _ACTIVATE, *map(str, descriptors)],
                pass_fds=descriptors,
                env={**os.environ, **self._environment},
                stderr=log,
            )
        threading.Thread(target=self._follow, args=(self.process,)).start()

    def _follow(self, process: subprocess.Popen[bytes]) -> None:
        if process.wait() == STUCK_STATUS and not self._ended:
            self.start()

    @property
    def log(self) -> str:
        """What it has written to standard error."""
        return self._log.read_text()

    def kill(self) -> None:
        """End the process as nothing can prevent it."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def connect(self) -> socket.socket:
        """Return a connection."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(20)
        connection.connect(str(self.path))
        return connection
