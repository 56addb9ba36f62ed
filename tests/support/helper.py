"""The helper that reads processes, as systemd starts it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from genvd.collectors.host.helper_client import ADDRESS_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-I", "-m", "genvd.helper"])
"""


class Helper:
    """A listening socket, and the process that serves on it. The socket stays when the process ends."""

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
        self.start()

    def __enter__(self) -> Helper:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._listening.close()

    @property
    def variables(self) -> dict[str, str]:
        """The variables with which a monitor uses it."""
        return {ADDRESS_VARIABLE: str(self.path)}

    def start(self) -> None:
        """Start the process."""
        descriptor = self._listening.fileno()
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                [*self._command, sys.executable, "-c", _ACTIVATE, str(descriptor)],
                pass_fds=[descriptor],
                env={**os.environ, **self._environment},
                stderr=log,
            )

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
