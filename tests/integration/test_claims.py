"""What people cannot make the monitor say of others: real users, real processes, files that lie."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.standin import Gpu, Process, Scenario
from tests.support.monitor import Monitor, Series, all_in_time, series
from tests.support.needs import need_root
from tests.support.parity import device_entry, environment_entry
from tests.support.users import User, temporary_users
from tests.support.waiting import wait_for

REJECTED = "genv_monitor_rejected_claims_total"


@pytest.fixture(scope="module")
def users() -> Iterator[tuple[User, ...]]:
    need_root("runs processes of several users")
    with temporary_users(2) as made:
        yield made


@dataclass
class Place:
    """A machine that the monitor watches, and what people do on it."""

    scenario: Scenario
    state: Path
    monitor: Monitor
    alice: User
    bob: User
    _stack: ExitStack = field(default_factory=ExitStack)

    def process(self, user: User | None, eid: str | None = None, *, gpu: bool = False) -> int:
        """Start a process of a user, or of root."""
        process = self._stack.enter_context(
            subprocess.Popen(
                ["/usr/bin/sleep", "infinity"],
                env={"GENV_ENVIRONMENT_ID": eid} if eid else {},
                user=user.uid if user else None,
                cwd="/",
            )
        )
        self._stack.callback(process.kill)
        wait_for(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n", "the process runs")
        if gpu:
            self.scenario.gpus[0].processes.append(Process(process.pid, 1 << 20))
            self.scenario.write()
        return process.pid

    def write(self, *environments: dict[str, Any], devices: tuple[dict[str, Any], ...] = ()) -> None:
        (self.state / "envs.json").write_text(json.dumps({"envs": environments}))
        (self.state / "devices.json").write_text(json.dumps({"devices": devices}))

    def seen(self) -> Series:
        """Return the series once every collector has answered in time twice: the second time to a later question.

        On a busy machine one may be late, and tells afterwards of what was before.
        """
        for _ in range(2):
            seen = wait_for(self._answered_in_time, "every collector has answered in time")
        return seen

    def _answered_in_time(self) -> Series | None:
        seen = self.monitor.next_metrics(1)
        return seen if all_in_time(seen) else None

    def rejected(self, seen: Series) -> dict[str, float]:
        """Return the claims rejected so far by reason, without the reasons that were not met."""
        return {
            dict(labels)["reason"]: number for (name, labels), number in seen.items() if name == REJECTED and number
        }

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def place(
    scenario: Scenario, nvml_library: Path, state_directory: Path, tmp_path: Path, users: tuple[User, ...]
) -> Iterator[Place]:
    scenario.gpus = [Gpu(f"GPU-{index}", temperature=40 + index) for index in range(2)]
    scenario.write()
    arguments: list[str | Path] = ["--config-dir", tmp_path / "out", "--interval", "0.2"]
    with Monitor(arguments, environment=scenario.environment(nvml_library)) as monitor:
        place = Place(scenario, state_directory, monitor, users[0], users[1])
        try:
            yield place
        finally:
            place.close()


def environment(eid: str, user: User | None, pids: list[int], **changes: Any) -> dict[str, Any]:
    uid, name = (user.uid, user.name) if user else (0, "root")
    return {**environment_entry(eid, pids, name, uid=uid), **changes}


def labels_of(seen: Series, name: str, label: str) -> set[str]:
    return {dict(labels)[label] for series_name, labels in seen if series_name == name}


def test_an_honest_machine_has_nothing_rejected(place: Place) -> None:
    place.process(place.alice, "a", gpu=True)
    place.process(None, "a", gpu=True)
    place.write(
        environment("a", place.alice, [place.process(place.alice), place.process(place.bob)]),
        environment("gone", place.bob, [2**22]),
        devices=(device_entry(0, "a", "gone"), device_entry(1)),
    )
    seen = place.seen()

    assert seen[series("genv_user_processes_total", username=place.alice.name)] == 2
    assert place.rejected(seen) == {}


@pytest.mark.parametrize("of", ["bob", "root"])
def test_an_environment_that_says_to_be_of_somebody_else(place: Place, of: str) -> None:
    pid = place.process(place.bob) if of == "bob" else 1
    place.write(environment("x", place.alice, [pid]), devices=(device_entry(0, "x"),))
    seen = place.seen()

    assert labels_of(seen, "genv_user_attached_devices_total", "username") == {
        place.bob.name if of == "bob" else "root"
    }
    assert place.rejected(seen) == {"environment_owner": 1}
    assert place.rejected(place.seen()) == {"environment_owner": 1}, "counted once, not each time"


def test_who_does_nothing_in_an_environment_does_not_become_its_owner(place: Place) -> None:
    """A pid such as a container has may be in the record, and her processes run; none of hers names it."""
    place.process(place.alice, "another", gpu=True)
    his = place.process(place.bob, "x", gpu=True)
    place.write(environment("x", place.alice, [1]), devices=(device_entry(0, "x"),))
    seen = place.seen()

    assert labels_of(seen, "genv_user_attached_devices_total", "username") == {"root"}
    assert seen[series("genv_process_devices_total", pid=his, eid="")] == 1
    assert place.rejected(seen) == {"environment_owner": 1, "process_environment": 1}


@pytest.mark.parametrize("name", ["{alice}", "root", "made-up", "(other)", "x" * 100_000, 'a"\n\\\u202e\ud800'])
def test_an_environment_that_names_somebody_else(place: Place, name: str) -> None:
    name = name.format(alice=place.alice.name) if name.startswith("{") else name
    place.write(environment("x", place.bob, [place.process(place.bob)], username=name))
    seen = place.seen()

    assert labels_of(seen, "genv_user_environments_total", "username") == {place.bob.name}
    assert place.rejected(seen) == {"reserved" if name == "(other)" else "username": 1}


def test_an_environment_of_several_people_who_are_not_whom_it_names(place: Place) -> None:
    pids = [place.process(place.alice), place.process(place.bob)]
    place.write(environment("x", User("daemon", 1, 1), pids))
    seen = place.seen()

    assert seen[series("genv_environments_total")] == 1
    assert seen[series("genv_users_total")] == 0
    assert place.rejected(seen) == {"environment_owner": 1}


def test_a_process_that_names_the_environment_of_somebody_else(place: Place) -> None:
    place.write(environment("x", place.alice, [place.process(place.alice)]))
    pid = place.process(place.bob, "x", gpu=True)
    nowhere = place.process(place.bob, "not active", gpu=True)
    reserved = place.process(place.bob, "(other)", gpu=True)
    seen = place.seen()

    assert seen[series("genv_process_devices_total", pid=pid, eid="")] == 1
    assert seen[series("genv_process_devices_total", pid=nowhere, eid="not active")] == 1
    assert seen[series("genv_process_devices_total", pid=reserved, eid="")] == 1
    assert seen[series("genv_user_processes_total", username=place.alice.name)] == 0
    assert seen[series("genv_environment_processes_total", eid="x")] == 0
    assert seen[series("genv_processes_total")] == 3
    assert place.rejected(seen) == {"process_environment": 1, "reserved": 1}


@pytest.mark.parametrize("first", [True, False])
def test_an_environment_with_the_identifier_of_one_that_is_there(place: Place, first: bool) -> None:
    hers = environment("x", place.alice, [place.process(place.alice)])
    pid = place.process(place.alice, "x", gpu=True)
    place.write(hers)
    place.seen()
    his = environment("x", place.bob, [place.process(place.bob)])
    place.write(*((his, hers) if first else (hers, his)))
    seen = place.seen()

    assert seen[series("genv_process_devices_total", pid=pid, eid="x")] == 1
    assert labels_of(seen, "genv_user_environments_total", "username") == {place.alice.name}
    assert place.rejected(seen) == {"duplicate": 1}


def test_a_kernel_is_not_taken_over_by_who_has_its_file_among_the_arguments(place: Place) -> None:
    with ExitStack() as stack:

        def hold(user: User) -> None:
            process = stack.enter_context(
                subprocess.Popen(
                    ["/bin/sh", "-c", "read _", "sh", "/run/kernel-k1.json"],
                    stdin=subprocess.PIPE,
                    user=user.uid,
                    cwd="/",
                )
            )
            stack.callback(process.kill)

        hold(place.bob)
        hold(place.alice)
        hold(place.bob)
        place.write(environment("x", place.alice, [], kernel_ids=["k1"]))
        wait_for(
            lambda: place.monitor.metrics().get(series("genv_user_environments_total", username=place.alice.name)) == 1,
            "the environment is hers",
        )


def test_what_makes_no_sense_is_counted(place: Place) -> None:
    pid = place.process(place.alice)
    place.write(
        environment("x", place.alice, [pid, -7]),
        {"no": "eid"},
        devices=(device_entry(0, "x"), device_entry(-1, "x"), device_entry(10**12, "x")),
    )
    seen = place.seen()

    assert seen[series("genv_environment_attached_devices_total", eid="x")] == 1
    assert place.rejected(seen) == {"malformed": 2, "device": 2}


def when_only_these_are_known(monitor: Monitor, *indices: int) -> Series | None:
    """Return the next series if of these GPUs, and no other, it is known whether they are free."""
    seen = monitor.next_metrics()
    known = {key for key in seen if key[0] == "genv_device_free"}
    return seen if known == {series("genv_device_free", index=index) for index in indices} else None


def test_what_cannot_be_read_of_an_environment_is_neither_free_nor_outside(place: Place) -> None:
    place.scenario.gpus += [Gpu(f"GPU-{number}") for number in range(2, 5)]
    pid = place.process(place.alice, "x", gpu=True)
    invalid: tuple[Any, ...] = (str(pid), {"pid": pid}, [str(pid)])
    for number, pids in enumerate(invalid):
        place.write(
            {**environment(f"x{number or ''}", place.alice, []), "pids": pids},
            {**environment("y", place.alice, []), "kernel_ids": "k"},
            devices=(
                device_entry(1, f"x{number or ''}"),
                {"index": 2, "attachments": "x"},
                device_entry(3, "y"),
                device_entry(4, "left"),
            ),
        )
        seen = wait_for(partial(when_only_these_are_known, place.monitor, 0, 4), "only these are known")
        assert seen[series("genv_device_free", index=4)] == 1, "an environment that is over holds nothing"
        unmanaged = series("genv_unmanaged_processes", username=place.alice.name)
        assert seen.get(unmanaged) == (1 if number else None), "only what names no such environment is outside"
    summaries = [problem["summary"] for problem in json.loads(place.monitor.get("/page/data.json").body)["problems"]]
    assert "It is unknown which environments have GPUs 1, 2 and 3 attached." in summaries


def test_the_journal_is_not_flooded(place: Place) -> None:
    pid = place.process(place.bob)
    for number in range(30):
        place.write(*(environment(f"{number}-{other}", place.alice, [pid]) for other in range(50)))
        place.monitor.next_metrics(1)

    assert place.rejected(place.monitor.metrics())["environment_owner"] > 500
    # Once, or again if on a busy machine nothing new was written for so long that it counts as over.
    assert 1 <= len([line for line in place.monitor.output if "WARNING an environment names" in line]) <= 30


def test_the_limits_hold_and_can_be_reloaded(
    scenario: Scenario, nvml_library: Path, state_directory: Path, tmp_path: Path
) -> None:
    config = tmp_path / "monitor.yaml"
    off = "metrics: {processes: false, environments: false, users: false, policy: false}\n"
    config.write_text(off + "limits:\n  environments: 3\n  processes: 2\n")
    scenario.gpus = [Gpu("GPU-0", processes=[Process(2**22 - number, 10) for number in range(5)])]
    scenario.write()
    entries = [environment_entry(str(number), [os.getpid()], None) for number in range(10)]
    (state_directory / "envs.json").write_text(json.dumps({"envs": entries}))
    arguments: list[str | Path] = ["--config", config, "--config-dir", tmp_path / "out", "--interval", "0.2"]
    with Monitor(arguments, environment=scenario.environment(nvml_library)) as monitor:
        seen = monitor.metrics()
        assert labels_of(seen, "genv_environment_processes_total", "eid") == {"0", "1", "2", "(other)"}
        assert seen[series("genv_process_used_gpu_memory_bytes", pid="(other)", eid="(other)", device=0)] == 30
        assert seen[series("genv_environments_total")] == 10
        assert seen[series("genv_monitor_series_dropped", kind="environment")] == 2 * 7
        assert seen[series("genv_monitor_series_dropped", kind="process")] == 2 * 3
        assert seen[series("genv_monitor_series_dropped", kind="user")] == 0
        assert len(monitor.snapshot()["environments"]) == 10

        config.write_text("limits:\n  environments: 10\n")
        os.kill(monitor.process.pid, 1)
        wait_for(
            lambda: not any(monitor.metrics()[key] for key in seen if key[0] == "genv_monitor_series_dropped"),
            "nothing is kept out",
        )
        assert len(labels_of(monitor.metrics(), "genv_environment_processes_total", "eid")) == 10
