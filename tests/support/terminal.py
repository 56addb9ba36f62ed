"""A program in a terminal of its own: a real pseudoterminal, whose screen pyte works out."""

from __future__ import annotations

import codecs
import fcntl
import os
import re
import signal
import struct
import subprocess
import termios
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyte

from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HALF_SEQUENCE = re.compile(r"\x1b(\[[0-9;?]*)?\Z")
ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"


@dataclass
class Terminal:
    """A program that runs in a terminal, which it leads alone."""

    command: Sequence[str | Path]
    columns: int = 120
    lines: int = 40
    environment: Mapping[str, str] = field(default_factory=dict)
    sent: bytes = b""
    """All that the program wrote."""

    def __enter__(self) -> Terminal:
        self._screen = pyte.Screen(self.columns, self.lines)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self._master, slave = os.openpty()
        self.resize(self.columns, self.lines)
        self.settings = termios.tcgetattr(self._master)
        environment = {
            name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")
        }
        self.process = subprocess.Popen(
            list(map(str, self.command)),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**environment, "TERM": "xterm-256color", "LANG": "C.UTF-8", **self.environment},
            start_new_session=True,
            preexec_fn=_control_terminal,
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        os.close(self._master)

    def _read(self) -> None:
        while True:
            try:
                came = os.read(self._master, 65536)
            except OSError:  # nobody has the other end open any more
                return
            with self._lock:
                self.sent += came
                self._stream.feed(came)

    @property
    def display(self) -> list[str]:
        """The lines of the screen, without the spaces behind them."""
        with self._lock:
            return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        """The whole screen."""
        return "\n".join(self.display)

    @property
    def raw(self) -> str:
        """All that the program wrote, as text, up to the last whole character and escape sequence: more may come."""
        return _HALF_SEQUENCE.sub("", codecs.getincrementaldecoder("utf-8")().decode(self.sent))

    @property
    def cell(self) -> Any:
        """Characters with their attributes, by line and column."""
        return self._screen.buffer

    @property
    def state(self) -> str:
        """The letter of proc_pid_stat(5) that says what the process does."""
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2][0]

    def wait_until_shown(self, *texts: str) -> None:
        """Wait until all of these are on the screen."""
        try:
            wait_for(lambda: all(text in self.text for text in texts), f"shown: {texts}")
        except AssertionError as error:
            raise AssertionError(f"{error}, but:\n{self.text}") from None

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Change the size, of which the program is told."""
        with self._lock:
            self._screen.resize(lines, columns)
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def settings_now(self) -> list[Any]:
        """How the terminal is set."""
        return termios.tcgetattr(self._master)

    def end(self) -> int:
        """Wait for the program to end and return its exit status."""
        status = self.process.wait(timeout=20)
        self._reader.join()
        return status


def _control_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGTSTP, signal.SIG_DFL)
