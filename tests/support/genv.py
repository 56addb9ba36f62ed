"""The real genv of PyPI: installed, used by people in their shells, and its own ``genv monitor``.

genv is run as its users run it, as a program. Nothing of it is imported.
"""

from __future__ import annotations

import codecs
import contextlib
import functools
import http.client
import os
import re
import secrets
import select
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.ports import free_port
from tests.support.virtualenvs import pip_install, virtual_environment
from tests.support.waiting import PATIENCE, wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.support.users import User

REQUIREMENTS = ("genv[monitor]==1.4.3", "setuptools<80")
"""genv 1.4.3 imports pkg_resources, which newer releases of setuptools warn of and the newest do not have."""


@functools.cache
def install_genv(directory: Path) -> Path:
    """Install genv below the directory, once for all tests; return the directory of its command."""
    bin_directory = virtual_environment(directory / "genv-virtualenv")
    pip_install(bin_directory, *REQUIREMENTS)
    return bin_directory


class Shell:
    """A bash that somebody works in. It lives, as it does in a terminal, until it is left or killed.

    A command is answered when bash says so by printing a mark, so nothing waits for a time.
    """

    def __init__(self, environment: Mapping[str, str], user: User | None = None, prefix: Sequence[str] = ()) -> None:
        """Start it.

        Args:
            environment: all that it has as environment variables.
            user: whose it is; None for the user of the tests.
            prefix: a program that starts it, with its arguments, such as ``unshare``.
        """
        self._mark = f"done-{secrets.token_hex(8)}"
        self._text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        # In a session of its own, which its background processes share, so that close() finds them.
        self.process = subprocess.Popen(
            [*prefix, "/bin/bash", "--norc", "--noprofile"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd="/",
            start_new_session=True,
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
        )

    @property
    def pid(self) -> int:
        """Its process; genv takes it as the identifier of the environment as well."""
        return self.process.pid

    @property
    def eid(self) -> str:
        """The environment that it is in; empty if it is in none."""
        return self.run("echo $GENV_ENVIRONMENT_ID").strip()

    @property
    def devices(self) -> list[int]:
        """The devices that the environment holds."""
        visible = self.run("echo $CUDA_VISIBLE_DEVICES").strip()
        return [int(index) for index in visible.split(",") if index not in ("", "-1")]

    def send(self, command: str) -> None:
        """Give a command without waiting for it; :meth:`answer` does."""
        assert self.process.stdin
        self.process.stdin.write(f"{command}\nprintf '%s %d\\n' {self._mark} $?\n".encode())
        self.process.stdin.flush()

    def answer(self) -> str:
        """Return the output of the command that was sent, when it is done; it has to succeed."""
        pattern = re.compile(rf"(.*?){self._mark} (\d+)\n", re.DOTALL)
        deadline = time.monotonic() + PATIENCE
        while (match := pattern.match(self._text)) is None:
            self._text += self._read(deadline)
        self._text = self._text[match.end() :]
        if match[2] != "0":
            raise RuntimeError(f"a command in the shell failed with exit status {match[2]}: {match[1]}")
        return match[1]

    def run(self, command: str) -> str:
        """Give a command, and return its output when it is done; it has to succeed."""
        self.send(command)
        return self.answer()

    def start_process(self, prefix: str = "") -> int:
        """Start a process that lives until it is killed, in the background; return its pid.

        Args:
            prefix: what stands before the command, such as a variable for its environment.
        """
        pid = int(self.run(f"{prefix} sleep infinity </dev/null >/dev/null 2>&1 & echo $!"))
        # Until it becomes the program it has the environment with which its shell was started.
        wait_for(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n", "the background process runs")
        return pid

    def exit(self) -> None:
        """Leave it as with Ctrl+D; its background processes go on."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=PATIENCE)

    def kill(self, *, reap: bool = True) -> None:
        """Kill it, as a lost connection may; its background processes go on.

        Args:
            reap: False leaves it a zombie, as it is until its parent looks after it.
        """
        self.process.kill()
        if reap:
            self.process.wait()
        else:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    def close(self) -> None:
        """End it and all that it started, and give back what it had."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _read(self, deadline: float) -> str:
        assert self.process.stdout
        remaining = max(0.0, deadline - time.monotonic())
        if not select.select([self.process.stdout], [], [], remaining)[0]:
            raise RuntimeError(f"a command in the shell does not end; so far it said: {self._text}")
        chunk = os.read(self.process.stdout.fileno(), 65536)
        if not chunk:
            raise RuntimeError(f"the shell ended; it said: {self._text}")
        return self._decoder.decode(chunk)  # which keeps a character whose other half is still to come


class ExistingMonitor:
    """The ``genv monitor`` of genv itself, running."""

    def __init__(self, program: Path, directory: Path, environment: Mapping[str, str]) -> None:
        """Describe it; :meth:`start` starts it.

        Args:
            program: the genv command.
            directory: an existing one, where it writes its files and its log.
            environment: all that it has as environment variables.
        """
        self._program, self._directory, self._environment = program, directory, dict(environment)
        self._log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def start(self) -> None:
        """Start it unless it runs; wait for its first collection."""
        if self._process and self._process.poll() is None:
            return
        self._port = free_port()
        command = [str(self._program), "monitor", "-i", "1", "-p", str(self._port)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--config-dir", str(self._directory / "config")],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for(lambda: "genv_device_temperature{" in self.exposition(), "the first collection of genv's own monitor")

    def stop(self) -> None:
        """End it if it runs."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def exposition(self) -> str:
        """Scrape it.

        Raises:
            RuntimeError: it has ended.
            OSError: it does not answer, or ends while it answers.
        """
        assert self._process
        if self._process.poll() is not None:
            raise RuntimeError(f"genv's own monitor ended; the end of its log:\n{self._log.read_text()[-3000:]}")
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=20) as reply:
            try:
                text: bytes = reply.read()
            except http.client.IncompleteRead as error:
                raise ConnectionAbortedError(f"genv's own monitor ended its reply early: {error}") from error
        return text.decode()
