"""A program that is measured, as the bench sees it: it does so many of something when it is told to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of all threads of a process so far, also of those that have ended, but of no children.

    The clock is that of clock_getcpuclockid(3), whose number Linux makes of the pid.
    """
    return time.clock_gettime((~pid << 3) | 2)


@dataclass
class Cost:
    """What something took."""

    cpu: float
    """Seconds, of the process and of the children that it waited for."""
    times: int

    @property
    def each(self) -> float:
        """Seconds for one."""
        return self.cpu / self.times


class Subject:
    """A process that takes orders, a line each, and answers each with a line of JSON."""

    def __init__(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str], log: Path) -> None:
        """Start it, and wait until it is ready.

        Args:
            name: of what it is, for people.
            command: the program.
            environment: all that it has as environment variables.
            log: where what it says goes.
        """
        self.name = name
        self.log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
            )
        self.hello: dict[str, Any] = self._answer()
        """What it says when it is ready; ``port`` is the one on which it serves."""

    def __enter__(self) -> Subject:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    @property
    def port(self) -> int:
        """The port on which it serves."""
        return int(self.hello["port"])

    def do(self, what: str, times: int = 1) -> dict[str, Any]:
        """Have it do something so many times; return what it answers."""
        assert self.process.stdin
        self.process.stdin.write(f"{what} {times}\n")
        self.process.stdin.flush()
        return self._answer()

    def cost(self, what: str, times: int) -> Cost:
        """Have it do something so many times; return what that took."""
        before = cpu_seconds(self.process.pid)
        answer = self.do(what, times)
        return Cost(cpu_seconds(self.process.pid) - before + float(answer.get("children", 0)), times)

    @property
    def resident_bytes(self) -> int:
        """The memory that it has of the machine's."""
        return resident_bytes(self.process.pid)

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        for line in iter(self.process.stdout.readline, ""):
            if line.startswith("{"):  # programs of others may say this and that
                answer: dict[str, Any] = json.loads(line)
                return answer
        said = self.log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{self.name} ended with status {self.process.wait()}; it said:\n{said}")


def resident_bytes(pid: int) -> int:
    """Return the memory that a process has of the machine's: VmRSS of proc_pid_status(5)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has ended")


def waits(pid: int) -> int:
    """Return how often the threads of a process began to wait for something, so far."""
    found = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                found += int(line.split()[1])
    return found


def module(name: str, *arguments: str) -> list[str]:
    """Return the command that runs a subject of the bench."""
    return [sys.executable, "-m", f"tests.benchmarks.{name}", *arguments]


def port_that_is_free() -> int:
    """Return one that a program can be told to take."""
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


BARE = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
