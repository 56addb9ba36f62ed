"""The monitor as its users run it, to be measured from outside."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from genvd.service.separation import HELPER_MEMORY
from tests.benchmarks.peers import as_it_comes
from tests.benchmarks.subject import cpu_seconds
from tests.support.helper import Helper
from tests.support.monitor import Monitor, named, parse
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.benchmarks.bench import Bench
    from tests.benchmarks.machine import Machine

DEPENDENCIES = ("prometheus_client", "pynvml", "psutil", "sdnotify", "yaml", "h11")
"""What every monitor imports."""

_END = b"END"
_PROGRAM = Path(sys.executable).with_name("genv-monitor")


@dataclass(frozen=True)
class Service:
    """The two processes of the service."""

    monitor: Monitor
    helper: Helper

    @property
    def port(self) -> int:
        """The port of its metrics."""
        return self.monitor.port

    @property
    def pids(self) -> tuple[int, int]:
        """Its processes."""
        return self.monitor.process.pid, self.helper.process.pid


@contextmanager
def running(
    bench: Bench, machine: Machine, *arguments: str, headers: Mapping[str, str] | None = None
) -> Iterator[Service]:
    """Run the service as systemd does; return it when there is a first collection."""
    directory = bench.new_directory("service")
    directory.mkdir()
    with _service_manager(directory / "notify") as variables, Helper(directory, HELPER_MEMORY) as helper:
        variables |= {"STATE_DIRECTORY": str(directory), **helper.variables, **machine.environment(directory.name)}
        options = [*arguments, "--config-dir", str(directory / "published")]
        with Monitor(options, variables, headers=headers or {}) as monitor:
            wait_for(lambda: _succeeded(monitor), "a collection in which nothing is missing")
            yield Service(monitor, helper)


def _succeeded(monitor: Monitor) -> bool:
    reply = monitor.get("/metrics")
    return reply.status == 200 and all(named(parse(reply.body.decode()), "genv_monitor_collector_success").values())


@contextmanager
def _service_manager(address: Path) -> Iterator[dict[str, str]]:
    """Take notifications as systemd does, and ignore them; return the variables that say where."""

    def receive() -> None:
        while manager.recv(4096) != _END:
            pass

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        receiver = Thread(target=receive)
        receiver.start()
        try:
            yield {"NOTIFY_SOCKET": str(address)}
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto(_END, str(address))
            receiver.join()


def cpu_to_ready(bench: Bench, machine: Machine) -> float:
    """Return the CPU seconds of a start from exec to READY=1."""
    directory = bench.new_directory("start")
    directory.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(directory / "notify"))
        manager.settimeout(60)
        variables = {"STATE_DIRECTORY": str(directory), "NOTIFY_SOCKET": str(directory / "notify")}
        environment = {**machine.environment("start"), **variables}
        process = as_it_comes([str(_PROGRAM), "--port", "0"], environment, directory / "log")
        try:
            while b"READY=1" not in manager.recv(4096):
                pass
            return cpu_seconds(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def bare_imports(modules: tuple[str, ...] = DEPENDENCIES) -> tuple[float, int]:
    """Return the CPU seconds and the resident bytes of an interpreter that only imports these."""
    code = (
        f"import {', '.join(modules)}, time;"
        "print(time.process_time(), *(line.split()[1] for line in open('/proc/self/status') if line[:6] == 'VmRSS:'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, kibibytes = done.stdout.split()
    return float(seconds), int(kibibytes) * 1024
