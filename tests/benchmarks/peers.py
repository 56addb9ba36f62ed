"""The other exporters, each installed into an environment of its own below build/bench."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.subject import Subject, port_that_is_free
from tests.support.debian import BUILD, program
from tests.support.genv import REQUIREMENTS
from tests.support.virtualenvs import pip_install

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.benchmarks.machine import Machine

GENV, NVITOP, NODE_EXPORTER = "existing genv monitor", "nvitop-exporter", "node_exporter"
CLIENT = "prometheus-client"

_FAILURES = (OSError, RuntimeError, subprocess.CalledProcessError)
_STEPPED = Path(__file__).with_name("stepped.py")


@dataclass(frozen=True)
class Peer:
    """An exporter in Python that is installed from PyPI."""

    name: str
    requirements: tuple[str, ...]
    program: str
    function: str
    """In which it sleeps between two collections."""

    def installed(self) -> Path:
        """Install it if it is not; return the directory of its programs."""
        return _install(self.name.replace(" ", "-"), self.requirements)

    def arguments(self, port: int, interval: float, directory: Path) -> list[str]:
        """Return how to tell it the port, the seconds between collections, and where its files go."""
        if self.name == GENV:
            return ["monitor", "-i", str(int(interval)), "-p", str(port), "--config-dir", str(directory)]
        return ["--port", str(port), "--interval", str(max(0.25, interval))]

    def stepped(self, machine: Machine, directory: Path, more: Mapping[str, str] | None = None) -> Subject:
        """Start it as a subject that makes a collection when it is told to.

        Args:
            machine: on which it is.
            directory: an empty one of its own.
            more: added to its environment.
        """
        programs, port = self.installed(), port_that_is_free()
        directory.mkdir(parents=True)
        command = [programs / "python", _STEPPED, self.function, str(port), programs / self.program]
        environment = {**machine.environment(directory.name), **(more or {})}
        environment.pop("PYTHONPATH", None)
        return Subject(
            self.name, [*map(str, command), *self.arguments(port, 0, directory)], environment, directory / "log"
        )


EXISTING = Peer(GENV, REQUIREMENTS, "genv", "run")
NVITOP_EXPORTER = Peer(NVITOP, ("nvitop-exporter==1.7.2",), "nvitop-exporter", "collect")


def node_exporter() -> str:
    """Return the path of Debian's prometheus-node-exporter, of the system's or out of the package."""
    return program("prometheus-node-exporter", "prometheus-node-exporter")


@cache
def why_missing(name: str) -> str:
    """Return in one line why an exporter is not on this machine and cannot be installed; empty if it is there."""
    try:
        if name == NODE_EXPORTER:
            node_exporter()
        else:
            next(peer for peer in (EXISTING, NVITOP_EXPORTER) if peer.name == name).installed()
    except (
        OSError,
        RuntimeError,
        subprocess.CalledProcessError,
        pytest.skip.Exception,
        pytest.fail.Exception,
    ) as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        return lines[-1].strip() if lines else type(error).__name__
    return ""


def as_it_comes(command: list[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a program that is not told when to do what."""
    with log.open("wb") as file:
        return subprocess.Popen(command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=file, stderr=file)


@cache
def _install(name: str, requirements: tuple[str, ...]) -> Path:
    """Make a virtual environment of the interpreter of the bench, so that all are measured on the same one."""
    directory = BUILD / "bench" / name
    ready = directory / ".ready"
    if not ready.exists() or ready.read_text() != repr(requirements):
        command = (sys.executable, "-m", "virtualenv", "--quiet", "--clear", "--no-pip", "--no-setuptools", directory)
        subprocess.run(command, check=True)
        pip_install(directory / "bin", *requirements)
        ready.write_text(repr(requirements))
    return directory / "bin"
