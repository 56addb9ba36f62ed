"""The monitor as a process of its own, the way its users run it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client.parser import text_string_to_metric_families

from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Labels = frozenset[tuple[str, str]]
Series = dict[tuple[str, Labels], float]

PROGRAM = Path(sys.executable).parent / "genv-monitor"
_SERVING = re.compile(r"serving metrics at https?://(\S+):(\d+)/metrics")


@dataclass
class Reply:
    """An HTTP response."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass
class Monitor:
    """A running ``genv-monitor``. Ports are free ones, and the output is kept."""

    arguments: Sequence[str | Path] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to that of the tests."""
    command: Sequence[str | Path] = (PROGRAM,)
    host: str = "127.0.0.1"
    output: list[str] = field(default_factory=list)
    port: int = 0
    any_port: bool = True
    """Whether it is told to take a free port, unless the arguments say which."""
    pass_descriptors: tuple[int, ...] = ()
    tls: ssl.SSLContext | None = None
    """How to ask it, where it speaks HTTPS."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with every request."""

    def __enter__(self) -> Monitor:
        given = {"--port", "-p"} & set(map(str, self.arguments)) or not self.any_port
        options = () if given else ("--port", "0")
        self.process = subprocess.Popen(
            [*self.command, *self.arguments, *options],
            env={**os.environ, **self.environment},
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=self.pass_descriptors,
        )
        self._reader = threading.Thread(target=self._keep_output, daemon=True)
        self._reader.start()
        wait_for(lambda: self.port or self.process.poll() is not None, "serving, or ended")
        if not self.port:
            self.__exit__()
            raise AssertionError("the monitor ended: " + "".join(self.output))
        wait_for(lambda: self.get("/-/ready").status == 200, "ready")
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        if self.process.stderr:
            self.process.stderr.close()

    def _keep_output(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.output.append(line)
            if match := _SERVING.search(line):
                self.port = int(match[2])

    @property
    def log(self) -> str:
        """All that it wrote to standard error."""
        return "".join(self.output)

    @property
    def complaints(self) -> list[str]:
        """What it warned of, but that something took long: that may be the machine of the tests."""
        lines = (line for line in self.output if "WARNING" in line or "ERROR" in line)
        return [line for line in lines if "does not answer in time" not in line]

    @property
    def threads(self) -> int:
        """How many threads it has."""
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/task").iterdir())

    def get(self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> Reply:
        """Ask for a path over a connection of its own."""
        if self.tls:
            secure = http.client.HTTPSConnection(self.host, self.port, timeout=20, context=self.tls)
            connection: http.client.HTTPConnection = secure
        else:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=20)
        try:
            connection.request(method, path, headers={**self.headers, **(headers or {})})
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        finally:
            connection.close()

    def metrics(self) -> Series:
        """Scrape, and return the series by name and labels."""
        reply = self.get("/metrics")
        assert reply.status == 200, reply.body  # a new process may not have collected anything yet
        return parse(reply.body.decode())

    def snapshot(self) -> Any:
        """Return the Snapshot as JSON."""
        return json.loads(self.get("/api/v1/snapshot").body)

    def next_metrics(self, ticks: int = 2) -> Series:
        """Return the series once so many further collections are done: by then all that was is seen."""
        done = ("genv_monitor_collections_total", frozenset[tuple[str, str]]())
        target = self.metrics()[done] + ticks

        def later() -> Series | None:
            series = self.metrics()
            return series if series[done] >= target else None

        return wait_for(later, f"{ticks} further collections")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=20)


def parse(text: str) -> Series:
    """Return the series of an exposition in text format without timestamps.

    Who waits for a value parses the same names and labels at each try, so these are kept.
    """
    lines = (line.rpartition(" ") for line in text.split("\n") if line and not line.startswith("#"))
    return {_key(name): float(value) for name, _, value in lines}


@lru_cache(100_000)
def _key(text: str) -> tuple[str, Labels]:
    """Return the key of a series, from the line without its value."""
    ((sample,),) = (family.samples for family in text_string_to_metric_families(f"{text} 0"))
    return sample.name, frozenset(sample.labels.items())


def series(name: str, /, **labels: object) -> tuple[str, Labels]:
    """Return the key of a series in :data:`Series`."""
    return name, frozenset((key, str(value)) for key, value in labels.items())


def all_in_time(all_series: Series) -> bool:
    """Return whether every collector has answered in time, which one may not on a busy machine."""
    return all(named(all_series, "genv_monitor_collector_success").values())


def named(all_series: Series, *prefixes: str) -> Series:
    """Return the series whose names begin with one of the prefixes."""
    return {key: value for key, value in all_series.items() if key[0].startswith(prefixes)}
