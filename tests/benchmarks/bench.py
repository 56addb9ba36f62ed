"""What the measurements have in common: how much is measured, on which machine, and where files go."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.benchmarks.machine import LARGE, SMALL, Machine, Shape
from tests.benchmarks.programs import compiled
from tests.benchmarks.subject import Cost, Subject, module
from tests.standin import build
from tests.support.helper import Helper


@dataclass(frozen=True)
class Effort:
    """How much is measured: more is more exact."""

    rounds: int
    """In which all subjects have their turns."""
    times: int
    """That something short is done in one turn."""
    load_seconds: float
    large_seconds: float
    ticks: int
    """After which resident memory is looked at."""
    starts: int
    idle_seconds: float
    small: Shape = SMALL
    large: Shape = LARGE
    devices_of_process: int = 10
    """For the scenario with 100,000 series."""


FULL = Effort(9, 20, 3, 20, 1000, 9, 10)
QUICK = Effort(3, 5, 1, 4, 50, 3, 3)
TINY = Effort(
    1, 1, 0.05, 0.2, 2, 1, 0.1, Shape(2, 4, 2, 2), Shape(2, 8, 4, 2, mig=True), devices_of_process=2
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
    stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.library = build(self.directory / "lib")
        self._load = compiled("load", self.directory)
        self._names = 0

    @contextmanager
    def machine(self, shape: Shape) -> Iterator[Machine]:
        """Return a machine of this shape."""
        with Machine(self.new_directory("machine"), shape, self.library) as machine:
            yield machine

    def new_directory(self, name: str) -> Path:
        """Return the path of a directory that is not there yet."""
        self._names += 1
        return self.directory / f"{name}-{self._names}"

    def own(self, machine: Machine, helper: Helper | None = None, /, **settings: object) -> Subject:
        """Start the monitor as a subject, with this helper and these values of its configuration."""
        directory = self.new_directory("own")
        directory.mkdir()
        values = [f"{key}={value!r}" for key, value in settings.items()]
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

    def say(self, text: str) -> None:
        """Tell whoever waits how far it is."""
        print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Load:
    """What came of scraping."""

    scrapes: int
    seconds: float
    p50: float
    p99: float
    longest: float
    cpu: float
    """Seconds that the one who scrapes took."""
    bytes: int

    @classmethod
    def of(cls, text: str) -> Load:
        """Read what load.c prints."""
        import json

        values = json.loads(text)
        return cls(**{name: values[name] for name in cls.__dataclass_fields__})

    @property
    def per_second(self) -> float:
        """Scrapes per second of wall time."""
        return self.scrapes / self.seconds


def in_turns(rounds: int, tasks: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Measure all of them in each round, after one that does not count; return the medians."""
    found: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(rounds + 1):
        for name, task in tasks.items():
            value = task()
            if number:
                found[name].append(value)
    return {name: median(values) for name, values in found.items()}


def each(subject: Subject, what: str, times: int) -> Callable[[], float]:
    """Return what measures the CPU time that a subject takes to do something once."""

    def task() -> float:
        cost: Cost = subject.cost(what, times)
        return cost.each

    return task


def least(values: Sequence[tuple[str, float | None]]) -> tuple[str, float | None]:
    """Return the name and the value of the smallest one that is known."""
    known = [(value, name) for name, value in values if value is not None]
    if not known:
        return values[0]
    value, name = min(known)
    return name, value
