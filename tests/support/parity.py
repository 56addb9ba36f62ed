"""One machine, the existing ``genv monitor`` and ours, both looking at it, and the comparison of what they export."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client.parser import text_string_to_metric_families

from tests.standin import Gpu, Process, Scenario
from tests.support.genv import ExistingMonitor, Shell
from tests.support.monitor import Labels, Monitor, Series, series
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from prometheus_client import Metric as Family

    from tests.support.users import User

MIB = 1 << 20

_EXECUTE = """
import ctypes, sys
def strings(*texts):
    return (ctypes.c_char_p * (len(texts) + 1))(*texts, None)
ctypes.CDLL(None).execve(
    b"/usr/bin/sleep", strings(b"sleep", b"infinity"), strings(*map(bytes.fromhex, sys.argv[1:]))
)
"""

_BEAT = series("genv_device_temperature", index=0)
_PROCESSES_READ = series("genv_monitor_collector_success", collector="processes")
_SETTLED_SECONDS = 5.0


@dataclass(frozen=True)
class Exported:
    """What a monitor exports."""

    types: Mapping[str, str]
    """Of the metrics, also of those that have no series now."""
    series: Series

    def only(self, names: Iterable[str]) -> Exported:
        """Return what it exports under these names."""
        wanted = set(names)
        return Exported(
            {name: kind for name, kind in self.types.items() if name in wanted},
            {key: value for key, value in self.series.items() if key[0] in wanted},
        )


@lru_cache(8)  # who waits reads the same text many times
def exported(text: str) -> Exported:
    """Read an exposition in text format; a series may be there only once."""
    families: list[Family] = list(text_string_to_metric_families(text))
    samples = [sample for family in families for sample in family.samples]
    by_key = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
    assert len(by_key) == len(samples), "a series is exported twice"
    return Exported({family.name: family.type for family in families}, by_key)


def differences(theirs: Exported, ours: Exported) -> list[str]:
    """Return where ours is not what theirs is, a line each; memory may be more exact than whole MiB."""
    lines = [
        f"{name}: a {kind} in theirs, a {ours.types[name]} in ours"
        for name, kind in theirs.types.items()
        if ours.types.get(name, kind) != kind
    ]
    for key in sorted({*theirs.series, *ours.series}, key=show):
        their_value, our_value = theirs.series.get(key), ours.series.get(key)
        if their_value is None:
            lines.append(f"{show(key)}: only in ours, {our_value:.0f}")
        elif our_value is None:
            lines.append(f"{show(key)}: only in theirs, {their_value:.0f}")
        elif their_value != (our_value // MIB * MIB if key[0].endswith("_bytes") else our_value):
            lines.append(f"{show(key)}: {their_value:.0f} in theirs, {our_value:.0f} in ours")
    return lines


def show(key: tuple[str, Labels]) -> str:
    """Write a series as Prometheus does."""
    name, labels = key
    return name + ("{" + ", ".join(f"{label}={value!r}" for label, value in sorted(labels)) + "}" if labels else "")


@dataclass
class Machine:
    """A machine with GPUs on which people use genv while two monitors watch."""

    scenario: Scenario
    state: Path
    """The directory in which genv keeps its state."""
    environment: Mapping[str, str]
    """With this, programs find genv, the GPUs and the state."""
    existing: ExistingMonitor
    ours: Monitor
    _shells: list[Shell] = field(default_factory=list)
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _beats: Iterator[int] = field(default_factory=lambda: itertools.cycle(range(101, 250)))
    """Temperatures that no scenario has."""
    _beat: int = 0

    # --- What people do -------------------------------------------------------------------------------------

    def shell(self, user: User | None = None, prefix: Sequence[str] = ()) -> Shell:
        """Open a shell that is ready for genv; with a prefix, that program starts it, as root."""
        identity = {"USER": user.name, "LOGNAME": user.name} if user else {}
        shell = Shell({**self.environment, **identity}, None if prefix else user, prefix)
        self._shells.append(shell)
        shell.send('eval "$(genv shell --init)"')
        shell.answer()
        return shell

    def activate(self, *wanted: tuple[User, str]) -> list[Shell]:
        """Open a shell for each of these users, and activate an environment with these arguments in each."""
        shells = [self.shell(user) for user, _ in wanted]
        for shell, (_, arguments) in zip(shells, wanted, strict=True):
            shell.send(f'genv activate {arguments}; test -n "$GENV_ENVIRONMENT_ID"')
        for shell in shells:
            shell.answer()
        return shells

    def process(self, environment: Mapping[str, str] | None = None, *command: str) -> int:
        """Start a process outside any shell, with nothing but this environment; return its pid."""
        process = subprocess.Popen(
            command or ("/usr/bin/sleep", "infinity"), env=dict(environment or {}), stdin=subprocess.PIPE
        )
        self._processes.append(process)
        return process.pid

    def process_with(self, *block: bytes) -> int:
        """Start a process with exactly these entries as its environment, whatever they are; return its pid."""
        pid = self.process({}, "/usr/bin/python3", "-c", _EXECUTE, *(entry.hex() for entry in block))
        self.wait_for_program(pid, "sleep")
        return pid

    def tell(self, pid: int, line: str) -> None:
        """Give a line to the standard input of a process that :meth:`process` started."""
        stdin = self._started(pid).stdin
        assert stdin
        stdin.write(f"{line}\n".encode())
        stdin.flush()

    def wait_for_program(self, pid: int, name: str) -> None:
        """Wait until the process runs this program."""
        wait_for(lambda: Path(f"/proc/{pid}/comm").read_text() == f"{name}\n", f"process {pid} runs {name}")

    def end(self, pid: int) -> None:
        """Kill a process that :meth:`process` started."""
        process = self._started(pid)
        process.kill()
        process.wait()
        if process.stdin:
            process.stdin.close()

    def gpu_process(self, pid: int, memory: Mapping[int, int]) -> None:
        """Let the process hold compute contexts: bytes of memory by device."""
        for index, size in memory.items():
            self.scenario.gpus[index].processes.append(Process(pid, size))

    def leave_gpus(self, pid: int, *indices: int) -> None:
        """Let the process give up its contexts, on these devices or on all."""
        for index in indices or range(len(self.scenario.gpus)):
            gpu = self.scenario.gpus[index]
            gpu.processes = [process for process in gpu.processes if process.pid != pid]

    def _started(self, pid: int) -> subprocess.Popen[bytes]:
        return next(process for process in self._processes if process.pid == pid)

    # --- What watches ---------------------------------------------------------------------------------------

    def reset(self, gpus: list[Gpu]) -> None:
        """End all shells and processes, forget what genv knows, and begin with these GPUs."""
        for shell in self._shells:
            shell.close()
        for process in self._processes:
            self.end(process.pid)
        self._shells, self._processes = [], []
        for name in ("envs.json", "devices.json"):
            (self.state / name).unlink(missing_ok=True)
        self.scenario.gpus = gpus
        self.scenario.write()

    def seen_by_ours(self) -> Exported:
        """Return what ours exports once it has seen the machine as it is now."""
        # It looks at one thing after the other, so after the first beat it can still tell of what was before it.
        for _ in range(2):
            self._next_beat()
            seen = wait_for(lambda: self._with_beat(self._ours), "ours has seen the state of the machine")
        return seen

    def compare(self) -> Exported:
        """Wait until both have seen the machine as it is now, and return what ours exports of the sixteen.

        Raises:
            AssertionError: the two do not export the same.
        """
        self._next_beat()
        theirs = wait_for(lambda: self._with_beat(self._theirs), "theirs has seen the state of the machine")
        ours = wait_for(lambda: self._with_beat(self._ours), "ours has seen the state of the machine").only(
            theirs.types
        )
        assert len(theirs.types) == 16

        # Both update while they are scraped and look at one thing after the other, so the beat can be ahead of the
        # rest by one collection.
        def settled() -> bool:
            nonlocal theirs, ours
            theirs = self._theirs()
            ours = self._ours().only(theirs.types)
            return not differences(theirs, ours)

        with contextlib.suppress(AssertionError):
            wait_for(settled, "both are the same", _SETTLED_SECONDS)
        found = differences(theirs, ours)
        assert not found, "the two monitors differ:\n  " + "\n  ".join(found)
        return ours

    def theirs_and_ours(self) -> tuple[Exported, Exported]:
        """Wait until both have seen the machine as it is now, and return what they export of the sixteen."""
        for _ in range(2):  # as for seen_by_ours()
            self._next_beat()
            theirs = wait_for(lambda: self._with_beat(self._theirs), "theirs has seen the state of the machine")
            ours = wait_for(lambda: self._with_beat(self._ours), "ours has seen the state of the machine")
        return theirs, ours.only(theirs.types)

    def _next_beat(self) -> None:
        """Write the scenario, with a temperature that tells who has seen it; all else has to be done before."""
        self._beat = next(self._beats)
        self.scenario.gpus[0].temperature = self._beat
        self.scenario.write()

    def _with_beat(self, look: Callable[[], Exported]) -> Exported | None:
        seen = look()
        return seen if seen.series.get(_BEAT) == self._beat else None

    def _theirs(self) -> Exported:
        self.existing.start()  # it ends when a process ends while it reads it, as those of the test before do
        return exported(self.existing.exposition())

    def _ours(self) -> Exported:
        seen = exported(self.ours.get("/metrics").body.decode())
        assert seen.series[_PROCESSES_READ] == 1, "on a busy machine they may be late"
        return seen


def environment_entry(eid: str, pids: Iterable[int], username: str | None, **changes: Any) -> dict[str, Any]:
    """Return an environment as genv writes it to envs.json, but for the changes."""
    return {
        "eid": eid,
        "uid": os.getuid(),
        "creation": "23/11/2026 17:36:19",
        "username": username,
        "config": {"name": None, "gpu_memory": None, "gpus": None},
        "pids": list(pids),
        "kernel_ids": [],
        **changes,
    }


def device_entry(index: int, *eids: str) -> dict[str, Any]:
    """Return a device as genv writes it to devices.json, with these environments attached."""
    time = "23/11/2026 17:36:19"
    attachments = [{"eid": eid, "gpu_memory": None, "time": time} for eid in eids]
    return {"index": index, "total_memory": "16384mi", "attachments": attachments}


def kill(pid: int) -> None:
    """Kill a background process of a shell."""
    os.kill(pid, signal.SIGKILL)
