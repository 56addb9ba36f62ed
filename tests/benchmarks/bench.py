"""What the measurements have in common: how much is measured, on which machine, and where files go."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TypeVar

from tests.benchmarks.machine import LARGE, SMALL, Machine, Shape
from tests.benchmarks.peers import why_missing
from tests.benchmarks.programs import compiled
from tests.benchmarks.subject import Cost, Subject, cpu_seconds, module
from tests.standin import build
from tests.support.helper import Helper

Key = TypeVar("Key")

_INTERVAL = 300.0
_GROUPS = ("device_details", "memory_health", "nvlink")
_PATIENT = {
    "collect_interval": _INTERVAL,
    "collect_timeout": _INTERVAL,
    **{f"collect_{group}_interval": 6 * _INTERVAL for group in _GROUPS},
}
"""Every tick waits for all collectors: on a busy machine it would cost less without their facts. What hardly changes is
read once in six ticks, as by default."""


@dataclass(frozen=True)
class Effort:
    """How much is measured: more is more exact."""

    rounds: int
    """In which all subjects have their turns."""
    times: int
    """Repetitions of something short in one turn."""
    load_seconds: float
    """Length of each load of scrapes."""
    ticks: int
    """Ticks after which resident memory is measured."""
    idle_seconds: float
    small: Shape = SMALL
    large: Shape = LARGE
    served: tuple[Shape, ...] = (
        Shape(devices=4, processes=22, environments=8, users=4),
        Shape(processes=1536, environments=432, users=64),
        Shape(devices=16, processes=4352, environments=1024, users=256, mig=True, devices_of_process=4),
    )
    """Machines with about 1,500, 28,000 and 100,000 series."""


FULL = Effort(rounds=7, times=20, load_seconds=4, ticks=1000, idle_seconds=10)
QUICK = Effort(rounds=3, times=5, load_seconds=1, ticks=50, idle_seconds=3)
TINY = Effort(
    1, 1, 0.05, 2, 0.1, Shape(2, 4, 2, 2), Shape(2, 8, 4, 2, mig=True), (Shape(1, 1, 1, 1), Shape(2, 4, 2, 2))
)  # fmt: skip


@dataclass
class Bench:
    """One run."""

    directory: Path
    effort: Effort
    peers: bool
    """Whether the other exporters are measured too."""
    nvidia_smi_ms: int = 30
    """CPU time that the realistic nvidia-smi takes."""
    missing: dict[str, str] = field(default_factory=dict)
    """The exporters that are not there, and why."""

    def __post_init__(self) -> None:
        self.library = build(self.directory / "lib")
        self._load = compiled("load", self.directory)
        self._names = 0

    def has(self, peer: str) -> bool:
        """Return whether an exporter is to be measured and is there; say so once if it is not."""
        if not self.peers:
            return False
        if peer not in self.missing:
            why = why_missing(peer)
            if not why:
                return True
            self.missing[peer] = why
            self.say(f"{peer} is not measured: {why}")
        return False

    @contextmanager
    def machine(self, shape: Shape) -> Iterator[Machine]:
        """Return a machine of this shape."""
        with Machine(self.new_directory("machine"), shape, self.library) as machine:
            yield machine

    def new_directory(self, name: str) -> Path:
        """Return the path of a directory that does not exist yet."""
        self._names += 1
        return self.directory / f"{name}-{self._names}"

    def own(self, machine: Machine, helper: Helper | None = None, /, **settings: object) -> Subject:
        """Start the monitor as a subject, with this helper and these values of its configuration."""
        directory = self.new_directory("own")
        directory.mkdir()
        values = [f"{key}={value!r}" for key, value in {**_PATIENT, **settings}.items()]
        command = module("own", str(directory / "ledger"), *values)
        environment = {**machine.environment(directory.name), **(helper.variables if helper else {})}
        return Subject("genv-monitor", command, environment, directory / "log")

    def subject(self, machine: Machine, name: str, *arguments: str) -> Subject:
        """Start another subject of the bench."""
        log = self.new_directory(name)
        return Subject(name, module(name, *arguments), machine.environment(log.name), log)

    def load(self, port: int, seconds: float, connections: int = 4, interval: float = 0, same: bool = False) -> Load:
        """Scrape a server; see load.c."""
        numbers = (str(port), "/metrics", str(connections), str(seconds), str(interval * 1000))
        command = [str(self._load), "127.0.0.1", *numbers, *(("same",) if same else ())]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0 or '"bad": 0' not in done.stdout:
            raise RuntimeError(f"a scrape went wrong: {done.stdout}{done.stderr}")
        return Load.of(done.stdout)

    def exposition(self, port: int) -> Path:
        """Return a file with the metrics that this server has now."""
        path = self.new_directory("exposition")
        path.write_bytes(scraped(port))
        return path

    def say(self, text: str) -> None:
        """Tell whoever waits how far it is."""
        print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Load:
    """The result of a load of scrapes."""

    scrapes: int
    seconds: float
    p50: float
    p99: float
    cpu: float
    """CPU seconds of the client."""

    @classmethod
    def of(cls, text: str) -> Load:
        """Read what load.c prints."""
        values = json.loads(text)
        return cls(**{name: values[name] for name in cls.__dataclass_fields__})

    @property
    def per_second(self) -> float:
        """Scrapes per second of wall time."""
        return self.scrapes / self.seconds


def scraped(port: int) -> bytes:
    """Return the metrics of a server."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
        body: bytes = response.read()
    return body


def series_in(exposition: bytes) -> int:
    """Return the number of series in a text format."""
    return sum(1 for line in exposition.splitlines() if line and not line.startswith(b"#"))


def in_turns(rounds: int, tasks: Mapping[Key, Callable[[], float]]) -> dict[Key, float]:
    """Measure all of them in each round, after one that does not count; return the medians."""
    found: dict[Key, list[float]] = {name: [] for name in tasks}
    for number in range(rounds + 1):
        for name, task in tasks.items():
            value = task()
            if number:
                found[name].append(value)
    return {name: median(values) for name, values in found.items()}


def each(subject: Subject, what: str, times: int, helper: Helper | None = None) -> Callable[[], float]:
    """Return what measures the CPU time of doing something once, of a subject and of its helper."""

    def task() -> float:
        before = cpu_seconds(helper.process.pid) if helper else 0.0
        cost: Cost = subject.cost(what, times)
        return cost.each + ((cpu_seconds(helper.process.pid) - before) / times if helper else 0.0)

    return task
