"""Whatever is in genv's state directory, everything else goes on."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from genvd.collectors.genv.state_files import MAX_BYTES
from tests.standin import Gpu, Process, Scenario
from tests.support.monitor import Monitor, Series, named, series
from tests.support.needs import need_root
from tests.support.parity import device_entry, environment_entry
from tests.support.waiting import wait_for

MANY = 10_000


@pytest.fixture
def monitor(
    scenario: Scenario, nvml_library: Path, state_directory: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Monitor]:
    scenario.gpus = [Gpu(f"GPU-{index}", temperature=40 + index) for index in range(2)]
    scenario.write()
    write(state_directory, [environment_entry("1", [os.getpid()], None)], [device_entry(0, "1")])
    interval = getattr(request, "param", "0.2")
    arguments: list[str | Path] = ["--config-dir", tmp_path / "out", "--interval", interval]
    with Monitor(arguments, environment=scenario.environment(nvml_library)) as running:
        yield running


def write(directory: Path, environments: Any, devices: Any) -> None:
    (directory / "envs.json").write_text(json.dumps({"envs": environments}))
    (directory / "devices.json").write_text(json.dumps({"devices": devices}))


def file(content: str | bytes) -> Callable[[Path], None]:
    raw = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")

    def make(directory: Path) -> None:
        (directory / "envs.json").write_bytes(raw)

    return make


def entry(**changes: Any) -> Callable[[Path], None]:
    return file(json.dumps({"envs": [{**environment_entry("1", [os.getpid()], "x"), **changes}]}))


def of_another_kind(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def replace(directory: Path) -> None:
        (directory / "envs.json").unlink()
        make(directory / "envs.json")

    return replace


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 4 * 2**30)


def endless_device(path: Path) -> None:
    need_root("makes a device")
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero


def no_directory(directory: Path) -> None:
    shutil.rmtree(directory)
    directory.write_text("")


def directory_to_itself(directory: Path) -> None:
    shutil.rmtree(directory)
    directory.symlink_to(directory)


def directory_elsewhere(directory: Path) -> None:
    shutil.rmtree(directory)
    directory.symlink_to("/proc/self/task")


SECRET = "correct-horse-battery"


def private(directory: Path, content: str) -> Path:
    """Make a directory that nobody but its owner may enter, with files named as genv's."""
    place = directory.with_name("private")
    place.mkdir(mode=0o700)
    for name in ("envs.json", "devices.json"):
        (place / name).write_text(content)
    return place


def directory_of_somebody_else(directory: Path) -> None:
    need_root("makes a link of another user")
    place = private(directory, f'{{"envs": [{{"eid": "{SECRET}"}}], "devices": []}}')
    shutil.rmtree(directory)
    directory.symlink_to(place)
    os.lchown(directory, 60001, 60001)


def directory_of_a_process(directory: Path) -> None:
    """A link to where a process of somebody else works, which the service may look at."""
    need_root("makes a link of another user")
    place = private(directory, f"password={SECRET}")
    shutil.rmtree(directory)
    child = os.fork()
    if not child:
        os.chdir(place)
        time.sleep(30)  # longer than the test
        os._exit(0)
    wait_for(lambda: Path(f"/proc/{child}/cwd").readlink() == place, "it works there")
    directory.symlink_to(f"/proc/{child}/cwd")
    os.lchown(directory, 60001, 60001)


FAILING = {
    "private file": file(f"password={SECRET}"),
    "private file that is not UTF-8": file(f"\udcff password={SECRET}".encode("utf-8", "surrogateescape")),
    "private directory": directory_of_somebody_else,
    "directory of a process": directory_of_a_process,
    "fifo": of_another_kind(os.mkfifo),
    "device": of_another_kind(endless_device),
    "socket": of_another_kind(unix_socket),
    "directory": of_another_kind(Path.mkdir),
    "link to /etc/shadow": of_another_kind(lambda path: path.symlink_to("/etc/shadow")),
    "link to itself": of_another_kind(lambda path: path.symlink_to(path)),
    "4 GB sparse": of_another_kind(sparse),
    "empty": file(""),
    "half": file('{"envs": [{"eid'),
    "nested": file('{"envs": ' + "[" * 200_000 + "]" * 200_000 + "}"),
    "nested a million deep": file('{"envs": ' + "[" * 1_000_000 + "]" * 1_000_000 + "}"),
    "not UTF-8": file(b'{"envs": ["\xff"]}'),
    "5000 digits": file('{"envs": [' + "9" * 5000 + "]}"),
    "a million environments": file('{"envs": [' + ",".join(f'{{"eid":{n}}}' for n in range(1_000_000)) + "]}"),
    "a million lists": file('{"envs": [' + "[]," * 1_000_000 + "0]}"),
    "no directory": no_directory,
    "directory to itself": directory_to_itself,
}
ODD = {
    "1e999 and NaN": entry(uid=1e999, pids=[float("nan"), float("inf"), -1, 10**30]),
    "negative": entry(uid=-1, pids=[-1, 0], config={"gpus": -1, "gpu_memory": "-4g"}),
    "200,000 pids": entry(pids=list(range(1, 4_000_000, 20))),
    "texts of megabytes": entry(eid="e" * (MAX_BYTES // 3), username="u" * (MAX_BYTES // 3)),
    "control characters": entry(eid="\x00\x1b[2J\r\n\u202e", username='"}\n# TYPE x gauge\nx 1\n'),
    "lone surrogates": entry(eid="\ud800\udfff", username="\udc80"),
    "names of others": entry(username="root", uid=0, pids=[1]),
    "no text": entry(eid=["1"], username={"a": 1}, kernel_ids="x", config=[], creation=3),
    "same key": file('{"envs": 3, "envs": [], "envs": {"a": {"eid": "b", "eid": "c"}}}'),
    "same eid": file(json.dumps({"envs": [environment_entry("1", [os.getpid()], None)] * 5_000})),
    "16 bit": file('{"envs": []}'.encode("utf-16")),
    "directory elsewhere": directory_elsewhere,
}


@pytest.mark.parametrize("name", [*FAILING, *ODD])
def test_everything_else_goes_on(monitor: Monitor, state_directory: Path, name: str) -> None:
    {**FAILING, **ODD}[name](state_directory)
    monitor.next_metrics(6)  # more than the ticks of grace

    def answered() -> Series | None:
        """Return the metrics of a collection in which the processes were read: on a busy machine not each has them."""
        seen = monitor.metrics()
        return seen if series("genv_processes_total") in seen else None

    seen = wait_for(answered, "the processes are read")
    assert named(seen, "genv_device_temperature") == {
        series("genv_device_temperature", index=index): 40 + index for index in range(2)
    }
    assert seen[series("genv_processes_total")] == 0
    assert seen[series("genv_monitor_collector_success", collector="genv")] == (name in ODD)
    assert (series("genv_environments_total") in seen) == (name in ODD)
    assert all(len(value) <= 256 for _, labels in seen for _, value in labels)
    assert psutil.Process(monitor.process.pid).memory_info().rss < 200 * 2**20
    assert not [line for line in monitor.output if "Traceback" in line or "report this" in line]
    for shown in (monitor.log, json.dumps(monitor.snapshot()), monitor.get("/page/data.json").body.decode()):
        assert SECRET not in shown
        assert not re.search(r"\(char |line 1 column|byte 0x|in position", shown)


def test_the_lock_held_for_ever_keeps_nothing_away(monitor: Monitor, state_directory: Path) -> None:
    with open(state_directory / "genv.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        write(state_directory, [environment_entry("2", [os.getpid()], None)], [])
        seen = monitor.next_metrics()
    assert series("genv_environment_processes_total", eid="2") in seen


def test_it_goes_away_and_comes_back(monitor: Monitor, state_directory: Path) -> None:
    shutil.rmtree(state_directory)
    assert monitor.next_metrics()[series("genv_environments_total")] == 0
    state_directory.mkdir()
    write(state_directory, [environment_entry("2", [os.getpid()], None)], [])
    assert monitor.next_metrics()[series("genv_environments_total")] == 1


@pytest.mark.parametrize("monitor", ["1"], indirect=True)  # less is too short for so many on a busy machine
def test_ten_thousand_processes_at_once(monitor: Monitor, scenario: Scenario) -> None:
    """None of them is in /proc, as with those of another pid namespace."""
    pids = range(2**22 - MANY, 2**22)
    scenario.gpus[0].processes = [Process(pid, 1) for pid in pids]
    scenario.gpus[1].processes = [Process(pid, 2) for pid in pids]
    scenario.write()

    def all_are_seen() -> Series | None:
        seen = monitor.metrics()
        complete = all(named(seen, "genv_monitor_collector_success").values())
        return seen if complete and sum(named(seen, "genv_process_devices_total").values()) == 2 * MANY else None

    seen = wait_for(all_are_seen, "all are seen on both devices")
    assert seen[series("genv_processes_total")] == MANY
    assert len(named(seen, "genv_process_devices_total")) == 2001
    assert sum(named(seen, "genv_process_used_gpu_memory_bytes").values()) == 3 * MANY
    assert seen[series("genv_monitor_series_dropped", kind="process")] == 5 * (MANY - 2000)

    scenario.gpus[0].processes = scenario.gpus[1].processes = []
    scenario.write()
    assert monitor.next_metrics()[series("genv_monitor_series_dropped", kind="process")] == 0
