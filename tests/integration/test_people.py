"""Who does what, who is idle and what is wrong: real processes of real users on the stand-in's devices."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from genvd.collectors.host.process_table import has_ended
from genvd.collectors.host.procfs import MAX_PID, in_initial_pid_namespace
from tests.standin import Gpu, Mig, Process, Sample, Scenario, build
from tests.support.gpus import MIB, Start, gpu
from tests.support.monitor import Monitor, Series, all_in_time, named, parse, series
from tests.support.needs import need, need_root, published_host
from tests.support.parity import device_entry, environment_entry
from tests.support.prometheus import Prometheus, each_second
from tests.support.users import User, temporary_users
from tests.support.waiting import wait_for

RATIO = "genv_process_utilization_ratio"
IDLE = "genv_environment_idle_seconds"
SINCE = ("genv_environment_created_timestamp_seconds", "genv_environment_device_attached_timestamp_seconds")
ORPHAN = "genv_device_orphan_memory_bytes"
TOTAL = 500 * MIB
HERE, FIRST = os.getpid(), 1
"""Processes that there are."""


@pytest.fixture(scope="module")
def users() -> Iterator[tuple[User, ...]]:
    need_root("runs processes of several users")
    with temporary_users(2) as made:
        yield made


@dataclass
class Place:
    """A machine of two devices and two users, which a monitor watches once it is started."""

    scenario: Scenario
    state: Path
    start: Start
    alice: User
    bob: User
    directory: Path
    stack: ExitStack = field(default_factory=ExitStack)
    age: float = 3600.0
    """Seconds by which the times in genv's files are in the past."""

    def process(self, user: User | None, eid: str | None = None, name: str = "sleep") -> int:
        """Start a process of a user, or of root, and return its pid."""
        program = self.directory / name
        if not program.exists():
            program.write_bytes(Path("/usr/bin/sleep").read_bytes())
            program.chmod(0o755)
        process = self.stack.enter_context(
            subprocess.Popen(
                [str(program), "infinity"],
                env={"GENV_ENVIRONMENT_ID": eid} if eid else {},
                user=user.uid if user else None,
                cwd="/",
            )
        )
        self.stack.callback(process.kill)
        short = program.name.encode()[:15].decode("utf-8", "ignore")
        wait_for(lambda: Path(f"/proc/{process.pid}/comm").read_text()[:-1] == short, "the process runs")
        return process.pid

    def environment(
        self, eid: str, user: User, *devices: int, gpus: int | None = None, memory: str | None = None
    ) -> None:
        """Activate one more environment, in a shell of the user."""
        entry = environment_entry(eid, [self.process(user)], user.name, uid=user.uid)
        entry["config"] = {"name": f"of {eid}", "gpus": gpus, "gpu_memory": memory}
        entry["creation"] = self.moment
        self.write("envs", lambda entries: [*entries, entry])
        for index in devices:
            self.attach(eid, index, memory)

    @property
    def moment(self) -> str:
        """What genv's files say to be now."""
        return time.strftime("%d/%m/%Y %H:%M:%S", time.localtime(time.time() - self.age))

    def attach(self, eid: str, index: int, memory: str | None = None) -> None:
        def attached(devices: list[dict[str, Any]]) -> list[dict[str, Any]]:
            held = {device["index"]: device for device in devices}
            device = held.setdefault(index, device_entry(index))
            device["attachments"].append({"eid": eid, "gpu_memory": memory, "time": self.moment})
            return list(held.values())

        self.write("devices", attached)

    def write(self, what: str, change: Any) -> None:
        path = self.state / f"{what}.json"
        content = json.loads(path.read_text())[what] if path.exists() else []
        path.write_text(json.dumps({what: change(content)}))


@pytest.fixture
def place(
    scenario: Scenario, state_directory: Path, public_directory: Path, start: Start, users: tuple[User, ...]
) -> Iterator[Place]:
    scenario.gpus = [gpu(0), gpu(1)]
    scenario.write()
    place = Place(scenario, state_directory, start, users[0], users[1], public_directory)
    with place.stack:
        yield place


def watch(place: Place, *arguments: str) -> Monitor:
    place.scenario.write()
    return complete(place.start(*arguments))


def complete(monitor: Monitor) -> Monitor:
    """Return the monitor once every collector has answered in time."""
    wait_for(lambda: all_in_time(monitor.metrics()), "every collector has answered")
    return monitor


def labels(seen: Series, name: str) -> list[dict[str, str]]:
    return [dict(of) for series_name, of in seen if series_name == name]


# --- Processes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("train", "train"),
        ("a\nb", "a\\x0ab"),
        ("a\\nb\\x1b", "a\\nb\\x5cx1b"),
        ('"}\\', '"}\\'),
        ("\x1b[2J\u202e", "\\x1b[2J\\u202e"),
        ("x" * 99, "x" * 15),
    ],
)
def test_what_a_process_is(place: Place, name: str, command: str) -> None:
    place.environment("a", place.alice, 0)
    pid = place.process(place.alice, "a", name)
    place.scenario.gpus[0].processes = [Process(pid, MIB)]
    started = time.time()
    seen = watch(place).metrics()

    (info,) = labels(seen, "genv_process_info")
    assert info.pop("cgroup_kind") in {"", "container", "slurm", "session", "service"}
    info.pop("cgroup")
    assert info == {
        "pid": str(pid),
        "eid": "a",
        "username": place.alice.name,
        "command": command,
        "type": "compute",
    }
    assert seen[series("genv_process_start_time_seconds", pid=pid, eid="a")] == pytest.approx(started, abs=10)


def test_only_compute_contexts_count_in_the_sixteen(place: Place) -> None:
    place.environment("a", place.alice, 0)
    computes, draws, client, both = (place.process(place.alice, "a") for _ in range(4))
    device = place.scenario.gpus[0]
    device.processes = [Process(computes, MIB), Process(both, 5 * MIB)]
    device.graphics_processes = [Process(draws, 2 * MIB), Process(both, 5 * MIB)]
    device.mps_processes = [Process(client, 3 * MIB)]
    seen = watch(place).metrics()

    assert {of["pid"]: of["type"] for of in labels(seen, "genv_process_info")} == {
        str(computes): "compute",
        str(draws): "graphics",
        str(client): "mps",
        str(both): "compute",
    }
    assert seen[series("genv_processes_total")] == 2
    assert seen[series("genv_environment_processes_total", eid="a")] == 2
    assert seen[series("genv_user_processes_total", username=place.alice.name)] == 2
    counted = {str(computes), str(both)}
    assert {of["pid"] for of in labels(seen, "genv_process_devices_total")} == counted
    assert {of["pid"] for of in labels(seen, "genv_process_used_gpu_memory_bytes")} == counted
    assert seen[series("genv_environment_used_gpu_memory_bytes", eid="a", device=0)] == 11 * MIB
    assert seen[series("genv_user_used_gpu_memory_bytes", username=place.alice.name)] == 11 * MIB
    assert seen[series(ORPHAN, index=0)] == TOTAL - 11 * MIB


def test_who_names_nobody_is_known_by_their_account_beyond_the_sixteen(place: Place) -> None:
    """Or else everybody could take their name out of the record and pay for nothing."""
    place.environment("a", place.alice, 0)
    place.write("envs", lambda entries: [{**entry, "username": None} for entry in entries])
    place.environment("b", place.bob, 1)
    monitor = watch(place)
    account, ledger = {"username": place.alice.name}, "genv_user_allocated_device_seconds_total"
    wait_for(lambda: monitor.metrics().get(series(ledger, **account)), "the ledger counts")
    seen = monitor.metrics()

    assert {of["eid"]: of["username"] for of in labels(seen, "genv_environment_info")} == {
        "a": place.alice.name,
        "b": place.bob.name,
    }
    assert seen[series("genv_user_used_gpu_memory_bytes", **account)] == 0
    assert seen[series("genv_unmanaged_processes", **account)] == 0
    assert seen[series("genv_environments_total")] == 2
    assert seen[series("genv_users_total")] == 1
    for name in ("environments", "processes", "attached_devices"):
        assert {of["username"] for of in labels(seen, f"genv_user_{name}_total")} == {place.bob.name}
    assert all(of["username"] for of in labels(seen, ledger))


def test_a_device_that_is_lost_goes_on_counting_as_held(place: Place) -> None:
    """But neither as active nor as idle, as nobody knows what goes on there."""
    place.scenario.gpus[0].processes = []
    place.environment("a", place.alice, 0)
    monitor = watch(place)

    def counted(seen: Series, kind: str) -> float:
        return seen.get(series(f"genv_user_{kind}_device_seconds_total", username=place.alice.name), 0)

    wait_for(lambda: counted(monitor.metrics(), "idle"), "it is idle")
    place.scenario.gpus[0].errors = {"*": 15}  # NVML_ERROR_GPU_IS_LOST
    place.scenario.write()
    wait_for(lambda: monitor.metrics()[series("genv_device_up", index=0)] == 0, "it is lost")
    before = monitor.metrics()

    def held_on() -> Series | None:
        seen = monitor.metrics()
        return seen if counted(seen, "allocated") > counted(before, "allocated") else None

    after = wait_for(held_on, "it is still held")
    for kind in ("active", "idle"):
        assert counted(after, kind) == counted(before, kind)


def test_the_share_of_each_process(start: Start, scenario: Scenario) -> None:
    now = int(time.time() * 1e6)
    impossible = [Sample(107, 101), Sample(108, 2**32 - 1)]
    garbage = [Sample(0, 40), Sample(2**32 - 1, 50), Sample(109, 60, 0), Sample(110, 70, now + 3600 * 10**6)]
    mean = [Sample(103, 10), Sample(103, 50), Sample(103, 200)]
    scenario.gpus = [
        gpu(
            0,
            processes=[Process(pid, MIB) for pid in range(101, 111)],
            mps_processes=[Process(111, MIB), Process(112, MIB)],
            samples=[Sample(101, 100), Sample(102, 1), *mean, *impossible, *garbage, Sample(111, 30), Sample(999, 99)],
        ),
        gpu(1, processes=[Process(101, MIB)], samples=[]),
        gpu(2, processes=[Process(101, MIB)]),
        gpu(3, processes=[Process(101, MIB)], samples=[], errors={"nvmlDeviceGetProcessUtilization": 999}),
        gpu(4, processes=[Process(101, MIB)], samples=[Sample(101, 80)], migs={0: Mig("MIG-0")}),
    ]
    scenario.list_grows = 3
    scenario.write()
    monitor = start()
    expected = {101: 1, 102: 0.01, 103: 0.3, 104: 0, 105: 0, 106: 0, 109: 0, 110: 0, 111: 0.3}
    for _ in range(2):
        seen = monitor.next_metrics()
        assert named(seen, RATIO) == {
            **{series(RATIO, pid=pid, eid="", device=0): pytest.approx(share) for pid, share in expected.items()},
            series(RATIO, pid=101, eid="", device=1): 0,
        }
    assert "Traceback" not in monitor.log


def test_the_shares_of_memory_and_video_engines_of_each_process(start: Start, scenario: Scenario) -> None:
    mean = [Sample(102, 0, memory=10, encoder=200), Sample(102, 0, memory=50, encoder=2**32 - 1)]
    scenario.gpus = [
        gpu(
            0,
            processes=[Process(pid, MIB) for pid in (101, 102, 103)],
            mps_processes=[Process(104, MIB)],
            samples=[Sample(101, 5, memory=40, encoder=30, decoder=100), *mean],
        ),
        gpu(1, processes=[Process(101, MIB)]),
        gpu(2, processes=[Process(101, MIB)], samples=[Sample(101, 80)], migs={0: Mig("MIG-0")}),
    ]
    scenario.write()
    seen = start().next_metrics()
    shares: dict[str, dict[int, float]] = {
        "genv_process_memory_bandwidth_utilization_ratio": {101: 0.4, 102: 0.3, 103: 0},
        "genv_process_encoder_utilization_ratio": {101: 0.3, 103: 0},
        "genv_process_decoder_utilization_ratio": {101: 1, 102: 0, 103: 0},
    }
    for name, expected in shares.items():
        assert named(seen, name) == {
            series(name, pid=pid, eid="", device=0): pytest.approx(share) for pid, share in expected.items()
        }


def test_the_highest_memory_stays_until_who_had_it_ends(place: Place) -> None:
    pid = place.process(place.alice, "a")
    place.environment("a", place.alice, 0)
    of_process = series("genv_process_peak_gpu_memory_bytes", pid=pid, eid="a", device=0)
    of_environment = series("genv_environment_peak_gpu_memory_bytes", eid="a", device=0)
    used = series("genv_process_used_gpu_memory_bytes", pid=pid, eid="a", device=0)

    def hold(memory: int | None) -> None:
        place.scenario.gpus[0] = gpu(0, processes=[Process(pid, memory)])
        place.scenario.write()

    def has(memory: int) -> bool:
        return monitor.metrics().get(used) == memory

    hold(9 * MIB)
    monitor = place.start()
    for memory in (9 * MIB, 2 * MIB):
        hold(memory)
        wait_for(partial(has, memory), "the memory is seen")
        seen = monitor.next_metrics()
        assert (seen[of_process], seen[of_environment]) == (9 * MIB, 9 * MIB)
    hold(None)
    wait_for(lambda: of_process not in monitor.metrics(), "how much it has is not known")
    assert of_environment not in monitor.next_metrics()


def test_hundreds_of_samples(start: Start, scenario: Scenario) -> None:
    pids = range(1000, 1400)
    scenario.gpus = [
        gpu(
            0, processes=[Process(pid, MIB) for pid in pids], samples=[Sample(pid, 1) for pid in pids for _ in range(4)]
        )
    ]
    scenario.write()
    assert list(named(start().metrics(), RATIO).values()) == [0.01] * len(pids)


def test_a_sample_counts_once(start: Start, scenario: Scenario) -> None:
    scenario.gpus = [gpu(0, processes=[Process(101, MIB)], samples=[])]
    scenario.write()
    monitor = start()
    key = series(RATIO, pid=101, eid="", device=0)

    def has(value: float) -> bool:
        return monitor.metrics()[key] == value

    for share in (40, 60):
        scenario.gpus[0].samples = [Sample(101, share, int(time.time() * 1e6))]
        scenario.write()
        wait_for(partial(has, share / 100), "the sample is seen")
        wait_for(partial(has, 0), "it is seen once")
    scenario.gpus[0].samples = [Sample(101, 50, int((time.time() - 60) * 1e6))]
    scenario.write()
    assert monitor.next_metrics()[key] == 0, "it was there before"


def test_a_driver_without_these_calls(place: Place, public_directory: Path) -> None:
    without = {
        "nvmlDeviceGetProcessUtilization",
        *(f"nvmlDeviceGet{kind}RunningProcesses{v}" for kind in ("Graphics", "MPSCompute") for v in ("", "_v2", "_v3")),
    }
    library = build(public_directory / "older", without=without)
    place.environment("a", place.alice, 0)
    pid = place.process(place.alice, "a")
    place.scenario.gpus[0].processes = [Process(pid, 499 * MIB)]
    place.scenario.write()
    seen = place.start(library=library).metrics()
    assert not named(seen, RATIO)
    assert series("genv_environment_utilization_ratio", eid="a", device=0) not in seen
    assert seen[series(IDLE, eid="a")] == 0, "its process is on a device that is busy"
    assert seen[series(ORPHAN, index=0)] == MIB


# --- Environments -------------------------------------------------------------------------------------------


def test_what_an_environment_is(place: Place) -> None:
    place.environment("a", place.alice, 0, 1, gpus=2, memory="4g")
    place.environment("b", place.bob)
    place.attach("b", 7)
    pids = [place.process(place.alice, "a") for _ in range(2)]
    place.scenario.gpus[0] = gpu(
        0, processes=[Process(pid, 3 * MIB) for pid in pids], samples=[Sample(pids[0], 25), Sample(pids[1], 50)]
    )
    place.scenario.gpus[1] = gpu(1, samples=[])
    seen = watch(place).next_metrics()

    assert labels(seen, "genv_environment_info") == [
        {"eid": "a", "name": "of a", "username": place.alice.name},
        {"eid": "b", "name": "of b", "username": place.bob.name},
    ]
    found = {key: value for key, value in named(seen, "genv_environment_").items() if ("eid", "a") in key[1]}
    expected = {
        ("device_limit", frozenset[tuple[str, str]]()): 2,
        ("memory_limit_bytes", frozenset[tuple[str, str]]()): 4e9,
        ("used_gpu_memory_bytes", frozenset({("device", "0")})): 6 * MIB,
        ("used_gpu_memory_bytes", frozenset({("device", "1")})): 0,
        ("utilization_ratio", frozenset({("device", "0")})): 0.75,
        ("utilization_ratio", frozenset({("device", "1")})): 0,
        ("device_attached", frozenset({("index", "0")})): 1,
        ("device_attached", frozenset({("index", "1")})): 1,
    }
    for (name, of), value in expected.items():
        assert found[f"genv_environment_{name}", of | {("eid", "a")}] == value, (name, of)
    of_b = {key[0] for key in named(seen, "genv_environment_") if ("eid", "b") in key[1]}
    assert of_b == {
        "genv_environment_info",
        "genv_environment_created_timestamp_seconds",
        "genv_environment_processes_total",
        "genv_environment_attached_devices_total",
        "genv_environment_violation",
    }, "it asked for nothing, and the device that it is attached to does not exist"


def test_what_an_environment_has_is_not_known_while_its_processes_are_not(place: Place) -> None:
    place.environment("a", place.alice, 0, memory="4g")
    place.scenario.gpus = [gpu(0, errors={"nvmlDeviceGetComputeRunningProcesses*": 999})]
    seen = watch(place).metrics()
    names = {key[0] for key in named(seen, "genv_environment_", "genv_unmanaged", ORPHAN, "genv_user_used")}
    assert names.isdisjoint(
        {
            "genv_environment_used_gpu_memory_bytes",
            "genv_environment_utilization_ratio",
            IDLE,
            ORPHAN,
            "genv_unmanaged_processes",
            "genv_user_used_gpu_memory_bytes",
        }
    )
    assert seen[series("genv_environment_device_attached", eid="a", index=0)] == 1


def test_for_how_long_an_environment_is_idle(place: Place) -> None:
    place.environment("a", place.alice, 0)
    pid = place.process(place.alice, "a")
    other = place.process(place.bob)
    place.scenario.gpus[0] = gpu(0, processes=[Process(pid, MIB), Process(other, MIB)], samples=[Sample(other, 90)])
    place.scenario.gpus[1] = gpu(1, processes=[Process(pid, MIB)], samples=[Sample(pid, 90)])
    monitor = watch(place)
    key = series(IDLE, eid="a")
    idle = monitor.metrics()[key]
    assert 0 < idle < 60, "it works on what it does not hold only, and its files say more than its process is old"

    place.scenario.gpus[0].samples = [Sample(pid, 1), Sample(other, 90)]
    place.scenario.write()
    wait_for(lambda: monitor.metrics()[key] == 0, "it works")
    place.scenario.gpus[0].samples = [Sample(other, 90)]
    place.scenario.write()
    wait_for(lambda: 0.4 < monitor.metrics()[key] < 60, "it is idle since then")

    place.scenario.gpus[0].errors = {"nvmlDeviceGetComputeRunningProcesses*": 999}
    place.scenario.write()
    wait_for(lambda: key not in monitor.metrics(), "nothing is known")
    place.scenario.gpus[0].errors = {}
    place.scenario.write()
    wait_for(lambda: 0.4 < monitor.metrics().get(key, 0) < 60, "it is idle since it last worked")


def test_a_gpu_is_held_idle_by_an_environment_that_works_on_another(place: Place, tmp_path: Path) -> None:
    place.environment("a", place.alice, 0, 1)
    pid = place.process(place.alice, "a")
    place.scenario.gpus = [gpu(index, processes=[Process(pid, MIB)], samples=[Sample(pid, 90)]) for index in (0, 1)]
    file = tmp_path / "monitor.yaml"
    file.write_text(json.dumps({"idle": {"grace": "1s"}, "ledger": {"directory": str(tmp_path / "ledger")}}))
    monitor = watch(place, "--config", str(file))
    whole = series(IDLE, eid="a")
    first, second = (series("genv_environment_device_idle_seconds", eid="a", index=index) for index in (0, 1))
    wait_for(lambda: monitor.metrics().get(second) == 0, "it works on both")

    def shown() -> tuple[list[str], list[tuple[str, str]], list[int]]:
        page = json.loads(monitor.get("/page/data.json").body)
        talks = [(talk["text"], talk["also"]) for talk in page["talks"] if talk["kind"] == "idle"]
        return [device["state"] for device in page["devices"]], talks, page["summary"]["idle"]

    place.scenario.gpus[1].samples = []
    place.scenario.write()
    expected = ["in_use", "idle"], [("holds GPU 1 idle", "works on GPU 0")], [1]
    wait_for(lambda: shown() == expected, "GPU 1 is held idle")
    wait_for(lambda: monitor.metrics().get(second, 0) > 4, "it has been for some seconds")
    seen = monitor.metrics()
    assert seen[whole] == seen[first] == 0
    assert monitor.stop() == 0
    monitor = watch(place, "--config", str(file))
    again = wait_for(lambda: monitor.metrics().get(second), "it is known again")
    assert seen[second] < again < 60
    assert shown() == expected

    place.scenario.gpus[1].errors = {"*": 15}  # NVML_ERROR_GPU_IS_LOST
    place.scenario.write()
    wait_for(lambda: shown() == (["in_use", "down"], [], []), "nobody knows what goes on there")
    assert second not in monitor.next_metrics()


@pytest.mark.parametrize(
    ("work", "idle"),
    [
        ({"encoder": 30}, False),
        ({"decoder": 1}, False),
        ({"memory": 5}, False),
        ({}, True),
        ({"encoder": 101, "memory": 2**32 - 1}, True),
    ],
)
def test_who_encodes_decodes_or_copies_works(place: Place, work: dict[str, int], idle: bool) -> None:
    place.environment("a", place.alice, 0)
    pid = place.process(place.alice, "a")
    place.scenario.gpus[0] = gpu(0, processes=[Process(pid, MIB)], samples=[Sample(pid, 0, **work)])
    seen = watch(place).next_metrics()
    assert seen[series(RATIO, pid=pid, eid="a", device=0)] == 0
    assert (seen[series(IDLE, eid="a")] > 0) is idle
    counted = "genv_user_idle_device_seconds_total" if idle else "genv_user_active_device_seconds_total"
    assert seen[series(counted, username=place.alice.name)] > 0


@pytest.mark.parametrize(("graphics", "idle"), [(40, False), (0, True), (None, None)])
def test_who_works_on_a_mig_device(place: Place, graphics: int | None, idle: bool | None) -> None:
    """By the counters of its GPU instance, whatever the others do; without them nothing is known."""
    place.environment("a", place.alice, 0)
    pid, other = place.process(place.alice, "a"), place.process(place.bob)
    counters: dict[int, float | str] = {} if graphics is None else {1: graphics, 10: 0}
    place.scenario.gpus[0] = gpu(
        0,
        processes=[Process(pid, MIB, 1, 0), Process(other, MIB, 2, 0)],
        migs={
            0: Mig("MIG-0", gpu_instance=1, compute_instance=0, gpm=counters),
            1: Mig("MIG-1", gpu_instance=2, compute_instance=0, gpm={1: 90, 10: 90}),
        },
        extra={"gpm_supported": "1"},
    )
    seen = watch(place).next_metrics()
    assert seen[series("genv_mig_process_info", index=0, instance=0, pid=pid, eid="a")] == 1
    seconds = seen.get(series(IDLE, eid="a"))
    assert (None if seconds is None else seconds > 0) is idle


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_does_not_make_idle(place: Place, tmp_path: Path, end: signal.Signals) -> None:
    """Who worked a moment ago did not begin to be idle an hour ago, whatever the monitor that saw it died of."""
    config = tmp_path / "monitor.yaml"
    config.write_text(f"ledger: {{directory: {tmp_path / 'ledger'}, write_interval: 100ms}}\n")
    place.environment("a", place.alice, 0)
    place.environment("b", place.bob, 1)
    pid, other = place.process(place.alice, "a"), place.process(place.bob, "b")
    place.scenario.gpus[0] = gpu(0, processes=[Process(pid, MIB)], samples=[Sample(pid, 1)])
    place.scenario.gpus[1] = gpu(1, processes=[Process(other, MIB)], samples=[])
    monitor = watch(place, "--config", str(config))
    key, never = series(IDLE, eid="a"), series(IDLE, eid="b")
    assert monitor.metrics()[key] == 0
    place.scenario.gpus[0].samples = []
    place.scenario.write()
    idle = wait_for(lambda: monitor.metrics()[key], "it is idle")
    since = [named(monitor.metrics(), name) for name in SINCE]
    assert [len(one) for one in since] == [2, 2]
    written = series("genv_monitor_ledger_last_write_timestamp_seconds")
    before = monitor.metrics()[written]
    wait_for(lambda: monitor.metrics()[written] > before, "that is written")
    monitor.stop(end)

    seen = watch(place, "--config", str(config)).metrics()
    assert idle < seen[key] < 600
    assert idle < seen[never] < 600, "it was never seen to work, so it counts from its attachment"
    assert [named(seen, name) for name in SINCE] == since, "which is when the first monitor saw it"


@pytest.mark.parametrize("hours", [-8, 9])
def test_the_time_of_a_shell_elsewhere(place: Place, hours: int) -> None:
    """genv writes the local time of the user's own shell, without a zone."""
    monitor = watch(place)
    place.age = -3600.0 * hours
    place.environment("a", place.alice, 0)
    key = series(IDLE, eid="a")
    assert wait_for(lambda: monitor.metrics().get(key), "it is idle") < 60
    seen = monitor.metrics()
    now = seen[series("genv_monitor_last_collection_timestamp_seconds")]
    for name in SINCE:
        (since,) = named(seen, name).values()
        assert now - 60 < since <= now


# --- Who used how much, as Prometheus has it -------------------------------------------------------------------


def test_rates_of_what_is_used_are_steady_at_constant_use(place: Place, tmp_path: Path) -> None:
    """Over few scrapes as well: the counters move with each collection, and not only when the ledger is written.

    If it were so, most rates would be 0. A busy machine collects late, which the rates show as well.
    """
    config = tmp_path / "monitor.yaml"
    config.write_text(f"ledger: {{directory: {tmp_path / 'ledger'}, write_interval: 10s}}\n")
    place.environment("a", place.alice, 0, 1)
    monitor = watch(place, "--config", str(config), "--config-dir", str(tmp_path))
    published = tmp_path / "prometheus" / "prometheus.yml"
    wait_for(published.exists, "the configuration is published")
    path = each_second(published, (f"{published_host()}:{monitor.port}",))
    kinds = ("allocated", "idle")
    with Prometheus(path, tmp_path / "data") as prometheus:
        counter = "genv_user_{}_device_seconds_total"
        enough = f"count_over_time({counter.format('idle')}[1h]) > 18"
        wait_for(lambda: prometheus.query(enough), "it was scraped often", 60)
        (time_,) = prometheus.query("timestamp(up)").values()
        rates = [prometheus.query_range(f"rate({counter.format(kind)}[4s])", time_ - 10, time_, 1) for kind in kinds]
    for found in rates:
        (values,) = found.values()
        assert values == pytest.approx([2] * 11, rel=0.6)
        assert sum(values) / len(values) == pytest.approx(2, rel=0.15)


# --- What somebody should look after ------------------------------------------------------------------------


def broken(seen: Series) -> dict[str, float]:
    return {
        dict(of)["rule"]: value
        for (name, of), value in seen.items()
        if name == "genv_environment_violation" and ("eid", "a") in of
    }


@pytest.mark.parametrize(
    ("devices", "gpus", "memory", "uses", "expected"),
    [
        ((0,), None, None, {0: 5}, {"unattached_device": 0}),
        ((0,), 1, "5mi", {0: 5}, {"memory_limit": 0, "unattached_device": 0, "device_limit": 0}),
        ((0,), 1, "4mi", {0: 5}, {"memory_limit": 1, "unattached_device": 0, "device_limit": 0}),
        ((0, 1), 1, None, {}, {"unattached_device": 0, "device_limit": 1}),
        ((0,), None, None, {0: 5, 1: 5}, {"unattached_device": 1}),
        ((0,), None, "9mi", {0: None}, {"unattached_device": 0}),
        ((0, 3), 1, None, {}, {"unattached_device": 0, "device_limit": 0}),
    ],
)
def test_rules(
    place: Place,
    devices: tuple[int, ...],
    gpus: int | None,
    memory: str | None,
    uses: dict[int, int | None],
    expected: dict[str, float],
) -> None:
    place.environment("a", place.alice, *devices, gpus=gpus, memory=memory)
    pid = place.process(place.alice, "a")
    for index, amount in uses.items():
        place.scenario.gpus[index].processes = [Process(pid, None if amount is None else amount * MIB)]
    assert broken(watch(place).metrics()) == expected


def test_a_limit_that_only_attachments_have(place: Place) -> None:
    place.environment("a", place.alice)
    place.attach("a", 0, "5mi")
    place.attach("a", 1, "4mi")
    pid = place.process(place.alice, "a")
    place.scenario.gpus[0].processes = [Process(pid, 5 * MIB)]
    monitor = watch(place)
    seen = monitor.metrics()
    assert broken(seen) == {"memory_limit": 0, "unattached_device": 0}
    assert seen[series("genv_environment_memory_limit_bytes", eid="a")] == 4 * MIB, "the least"
    place.scenario.gpus[1].processes = [Process(pid, 5 * MIB)]
    place.scenario.write()
    wait_for(lambda: broken(monitor.metrics())["memory_limit"] == 1, "it breaks the limit of the second")


def test_what_an_attachment_allows_counts_until_it_is_made_anew(place: Place) -> None:
    """As after 'genv config gpu-memory', which leaves the attachments as they are."""
    place.environment("a", place.alice, memory="16mi")
    place.attach("a", 0, "4mi")
    pid = place.process(place.alice, "a")
    place.scenario.gpus[0].processes = [Process(pid, 5 * MIB)]
    seen = watch(place).metrics()
    assert broken(seen) == {"memory_limit": 1, "unattached_device": 0}
    assert seen[series("genv_environment_memory_limit_bytes", eid="a")] == 4 * MIB


def test_processes_outside_any_environment(place: Place) -> None:
    place.environment("a", place.alice, 0)
    inside, liar, outside, draws = (
        place.process(place.alice, "a"),
        place.process(place.bob, "a"),
        place.process(place.bob, "gone"),
        place.process(place.bob),
    )
    place.scenario.gpus[0].processes = [Process(pid, MIB) for pid in (inside, liar, outside)]
    place.scenario.gpus[1].processes = [Process(outside, None), Process(2**22, MIB)]
    place.scenario.gpus[1].graphics_processes = [Process(draws, MIB)]
    seen = watch(place).metrics()
    assert named(seen, "genv_unmanaged_processes") == {
        series("genv_unmanaged_processes", username=place.alice.name): 0,
        series("genv_unmanaged_processes", username=place.bob.name): 2,
    }, "what has ended computes nowhere"
    assert named(seen, "genv_user_used_gpu_memory_bytes") == {
        series("genv_user_used_gpu_memory_bytes", username=place.alice.name): MIB
    }, "of what his second process has on the second device, nothing is known"


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (gpu(0, processes=[]), TOTAL),
        (gpu(0, processes=[Process(HERE, 150 * MIB), Process(FIRST, 250 * MIB)]), 100 * MIB),
        (gpu(0, processes=[Process(HERE, 2 * TOTAL)]), 0),
        (gpu(0, processes=[Process(HERE, None)]), None),
        (gpu(0, memory_used=None), None),
        (gpu(0, errors={"nvmlDeviceGetMemoryInfo_v2": 3}), None),
        (gpu(0, errors={"nvmlDeviceGetGraphicsRunningProcesses*": 999}), None),
        (gpu(0, errors={"nvmlDeviceGetGraphicsRunningProcesses*": 3}), TOTAL),
        (gpu(0, errors={"*": 15}), None),
        (gpu(0, migs={0: Mig("M-0", processes=[Process(HERE, TOTAL)])}), 0),
        (gpu(0, migs={0: Mig("M-0", errors={"nvmlDeviceGetComputeRunningProcesses*": 4})}), None),
    ],
)
def test_memory_of_nobody(start: Start, scenario: Scenario, machine: Gpu, expected: int | None) -> None:
    scenario.gpus = [machine]
    scenario.write()
    assert complete(start()).metrics().get(series(ORPHAN, index=0)) == expected


def test_memory_of_processes_that_have_ended(start: Start, scenario: Scenario) -> None:
    need(in_initial_pid_namespace(), "runs where not all processes of the machine are seen", optional=True)
    with subprocess.Popen(["true"]) as zombie, subprocess.Popen(["true"]) as reaped:
        reaped.wait()
        ended = wait_for(lambda: has_ended(zombie.pid) and has_ended(reaped.pid), "both have ended")
        assert ended
        listed = [Process(pid, 100 * MIB) for pid in (HERE, zombie.pid, reaped.pid)]
        scenario.gpus = [gpu(0, processes=listed), gpu(1, processes=[*listed, Process(zombie.pid, None)])]
        scenario.write()
        seen = complete(start()).metrics()
    assert [seen[series(ORPHAN, index=index)] for index in (0, 1)] == [TOTAL - 100 * MIB] * 2
    assert {dict(key[1])["pid"] for key in named(seen, "genv_process_info")} == {
        str(process.pid) for process in listed
    }, "the driver lists them all the same"


def test_all_that_the_driver_lists_is_in_sight_where_not_all_processes_are(
    scenario: Scenario, nvml_library: Path
) -> None:
    need_root("makes a pid namespace")
    scenario.gpus = [gpu(0, processes=[Process(MAX_PID, 100 * MIB)])]
    scenario.write()
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-m", "genvd", "once"]
    environment = {**os.environ, **scenario.environment(nvml_library)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment)
    assert parse(done.stdout)[series(ORPHAN, index=0)] == TOTAL - 100 * MIB


@pytest.mark.parametrize(
    ("limits", "expected"),
    [((None,), 0), (("8000mi", "8000mi"), 0), (("8000mi", "8001mi"), 1), ((None, "1mi"), 1), ((), 0)],
)
def test_a_device_that_is_promised_twice(place: Place, limits: tuple[str | None, ...], expected: int) -> None:
    for number, memory in enumerate(limits):
        place.environment(str(number), place.alice, 0, memory=memory)
    seen = watch(place).metrics()
    assert named(seen, "genv_device_oversubscribed") == {
        series("genv_device_oversubscribed", index=0): expected,
        series("genv_device_oversubscribed", index=1): 0,
    }


# --- Switches -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "prefixes"),
    [
        ("processes", ("genv_process_info", RATIO, "genv_process_start")),
        ("environments", ("genv_environment_info", IDLE, "genv_environment_device_attached")),
        ("users", ("genv_user_used_gpu_memory_bytes",)),
        ("policy", ("genv_environment_violation", "genv_unmanaged", ORPHAN, "genv_device_oversubscribed")),
    ],
)
def test_groups_can_be_switched_off(place: Place, tmp_path: Path, group: str, prefixes: tuple[str, ...]) -> None:
    config = tmp_path / "monitor.yaml"
    config.write_text(f"metrics:\n  {group}: false\n")
    place.environment("a", place.alice, 0)
    place.scenario.gpus[0] = gpu(0, processes=[Process(place.process(place.alice, "a"), MIB)], samples=[])
    monitor = watch(place, "--config", str(config))
    off = monitor.metrics()
    assert not named(off, *prefixes)
    config.write_text("")
    monitor.process.send_signal(1)
    wait_for(lambda: all(named(monitor.metrics(), prefix) for prefix in prefixes), "the group is back")
    assert {key[0] for key in off} < {key[0] for key in monitor.metrics()}


# --- Processes whose environment is not known ----------------------------------------------------------------


WIPES = (
    "import ctypes, time\n"
    "start, end = (int(open('/proc/self/stat').read().rpartition(')')[2].split()[n - 3]) for n in (48, 51))\n"
    "ctypes.memset(start, 0, end - start); print(flush=True); time.sleep(600)"
)


def test_a_process_that_wiped_its_variables_is_accused_of_nothing(place: Place) -> None:
    place.environment("a", place.alice, 0)
    place.environment("b", place.bob, 1)
    process = place.stack.enter_context(
        subprocess.Popen(
            ["/usr/bin/python3", "-c", WIPES], env={"A": "1"}, user=place.alice.uid, stdout=subprocess.PIPE
        )
    )
    place.stack.callback(process.kill)
    assert process.stdout
    process.stdout.readline()
    of_bob = place.process(place.bob, "b")
    place.scenario.gpus[0] = gpu(0, processes=[Process(process.pid, MIB)], samples=[Sample(process.pid, 50)])
    place.scenario.gpus[1] = gpu(1, processes=[Process(of_bob, MIB)], samples=[])
    monitor = watch(place)
    seen = monitor.metrics()

    assert seen[series("genv_monitor_unreadable_processes", reason="overwritten")] == 1
    assert named(seen, "genv_unmanaged_processes") == {series("genv_unmanaged_processes", username=place.bob.name): 0}
    assert {key[1] for key in named(seen, IDLE)} == {frozenset({("eid", "b")})}
    assert series("genv_environment_used_gpu_memory_bytes", eid="a", device=0) not in seen
    assert seen[series("genv_environment_used_gpu_memory_bytes", eid="b", device=1)] == MIB
    assert series("genv_process_devices_total", pid=process.pid, eid="") in seen, "as in genv's own monitor"
    assert seen[series("genv_monitor_collector_success", collector="processes")] == 1
    assert monitor.log.count("It is unknown which environment 1 GPU process belongs to") == 1
