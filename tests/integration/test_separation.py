"""Root starts a monitor in a terminal: who may do what afterwards."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from genvd.collectors.host.helper_client import ADDRESS_VARIABLE
from genvd.service.separation import can_use
from tests.standin import Process, Scenario
from tests.support.genv_state import write_state
from tests.support.gpus import MIB, Start, gpu
from tests.support.monitor import PROGRAM, Monitor, series
from tests.support.needs import need_command, need_root
from tests.support.users import User, temporary_users
from tests.support.waiting import wait_for

CAP_DAC_READ_SEARCH, CAP_NET_BIND_SERVICE, CAP_SYS_PTRACE = 2, 10, 19
MISMATCH = 18
"""NVML_ERROR_LIB_RM_VERSION_MISMATCH."""
NONE = f"{0:016x}"
READING = f"{1 << CAP_DAC_READ_SEARCH | 1 << CAP_SYS_PTRACE:016x}"


@pytest.fixture(autouse=True)
def separated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets monitors start their helper, unlike in other tests."""
    monkeypatch.delenv(ADDRESS_VARIABLE)


@pytest.fixture
def alice() -> Iterator[User]:
    with temporary_users(1) as (user,):
        yield user


def capabilities(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, value in (line.split(":", 1) for line in lines) if name.startswith("Cap")}


def supervisor_of(monitor: Monitor) -> psutil.Process:
    (supervisor,) = psutil.Process(monitor.process.pid).children()
    return supervisor


def helper_of(monitor: Monitor) -> psutil.Process:
    (helper,) = supervisor_of(monitor).children()
    return helper


def run_in(alice: User, scenario: Scenario, state: Path) -> psutil.Popen:
    """Start a process of another user in an environment, on a GPU."""
    process = psutil.Popen(["sleep", "600"], env={"GENV_ENVIRONMENT_ID": "7"}, user=alice.uid, cwd="/")
    write_state(state, {"7": (process.pid, alice.name)}, {0: ["7"]})
    scenario.gpus = [gpu(0, processes=[Process(process.pid, 100 * MIB)])]
    scenario.write()
    return process


def test_only_the_helper_may_read_processes(
    start: Start, scenario: Scenario, state_directory: Path, alice: User
) -> None:
    process = run_in(alice, scenario, state_directory)
    monitor = start()
    helper = helper_of(monitor)
    assert capabilities(monitor.process.pid) == dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), NONE)
    assert capabilities(helper.pid) == {
        "CapInh": NONE,
        "CapAmb": NONE,
        **dict.fromkeys(("CapPrm", "CapEff", "CapBnd"), READING),
    }
    for pid in (monitor.process.pid, helper.pid):
        assert "NoNewPrivs:\t1\n" in Path(f"/proc/{pid}/status").read_text()
    (shown,) = monitor.snapshot()["processes"]
    assert (shown["pid"], shown["eid"]) == (process.pid, "7")

    assert monitor.stop(signal.SIGINT) in (0, -signal.SIGINT)
    wait_for(lambda: not helper.is_running(), "the helper has ended")
    process.kill()
    process.wait()


@pytest.mark.parametrize("stopped", [False, True], ids=["", "stopped"])
def test_the_helper_outlives_ctrl_c_and_not_the_monitor(start: Start, scenario: Scenario, stopped: bool) -> None:
    need_root("separates privileges")
    scenario.gpus = [gpu(0)]
    scenario.write()
    monitor = start()
    supervisor, helper = supervisor_of(monitor), helper_of(monitor)
    for process in (supervisor, helper):
        process.send_signal(signal.SIGINT)  # as the terminal does, which the monitor may still use to stop in order
    assert monitor.next_metrics(3)[series("genv_monitor_collector_success", collector="processes")] == 1
    if stopped:
        helper.suspend()
    monitor.process.kill()
    wait_for(lambda: not helper.is_running() and not supervisor.is_running(), "both have ended")


def test_no_helper_stays_if_the_monitor_has_ended_before_it_runs() -> None:
    """As 'once' does on a slow machine. The helper then has another parent, which does not end."""
    need_root("a helper keeps capabilities")
    ended = subprocess.Popen(["true"])
    ended.wait()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("")
        listening.listen()
        number = listening.fileno()
        helper = [sys.executable, "-I", "-m", "genvd.helper", str(number), str(ended.pid)]
        assert subprocess.run(helper, pass_fds=[number], timeout=30, check=False).returncode == 0


@pytest.mark.parametrize("whole", [False, True], ids=["helper", "supervisor"])
def test_killed_it_comes_back_or_is_named_with_the_way_out(start: Start, scenario: Scenario, whole: bool) -> None:
    need_root("separates privileges")
    scenario.gpus = [gpu(0)]
    scenario.write()
    monitor = start()
    helper = helper_of(monitor)
    (supervisor_of(monitor) if whole else helper).kill()
    wait_for(lambda: not helper.is_running(), "it has ended")
    successful = series("genv_monitor_collector_success", collector="processes")
    if whole:
        assert wait_for(lambda: "start genv-monitor again" in monitor.log, "the log says so")
        assert monitor.next_metrics()[successful] == 0
    else:
        wait_for(lambda: monitor.next_metrics()[successful] == 1, "another helper answers")
        assert helper_of(monitor) != helper


def test_a_new_process_keeps_the_helper(start: Start, scenario: Scenario, state_directory: Path, alice: User) -> None:
    """The monitor executes itself again after an upgrade of the driver, and has no privileges to start a helper."""
    process = run_in(alice, scenario, state_directory)
    monitor = start()
    helper = helper_of(monitor)
    scenario.errors = {"*": MISMATCH}
    scenario.write()
    wait_for(lambda: monitor.log.count("serving metrics at") == 2, "a new process serves")
    scenario.errors.clear()
    scenario.write()
    wait_for(lambda: monitor.get("/-/ready").status == 200, "the new process has collected")
    (shown,) = wait_for(lambda: monitor.snapshot()["processes"], "its processes")
    assert shown["eid"] == "7"
    assert helper_of(monitor) == helper
    process.kill()
    process.wait()


def test_a_low_port_can_still_be_taken(start: Start, scenario: Scenario) -> None:
    need_root("takes a low port")
    scenario.gpus = [gpu(0)]
    scenario.write()
    monitor = start("--port", "959")
    only = f"{1 << CAP_NET_BIND_SERVICE:016x}"
    assert capabilities(monitor.process.pid)["CapEff"] == only


def test_without_the_capabilities_it_reads_itself(nvml_library: Path, scenario: Scenario) -> None:
    """As root in a container."""
    need_root("gives up capabilities")
    setpriv = need_command("setpriv", "util-linux")
    scenario.gpus = [gpu(0)]
    scenario.write()
    code = f"import os; os.execv({str(PROGRAM)!r}, {[str(PROGRAM)]!r} + os.sys.argv[1:])"
    with Monitor(
        ["--interval", "0.2"],
        scenario.environment(nvml_library),
        command=[setpriv, "--bounding-set=-sys_ptrace", sys.executable, "-c", code],
    ) as monitor:
        assert not psutil.Process(monitor.process.pid).children()
        assert monitor.metrics()[series("genv_monitor_collector_success", collector="processes")] == 1


def test_who_changes_the_user_cannot_go_back(alice: User) -> None:
    code = (
        "import os, pwd, sys; from genvd.common.capabilities import give_up\n"
        f"give_up(account=pwd.getpwuid({alice.uid}))\n"
        "try: os.setuid(0)\n"
        "except PermissionError: print(os.getresuid(), os.getresgid(), os.getgroups(), *open('/proc/self/status'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{(alice.uid,) * 3} {(alice.gid,) * 3} {[alice.gid]} ")
    for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb"):
        assert f"{name}:\t{NONE}\n" in done.stdout


def test_the_user_is_changed_only_if_the_files_can_be_used(alice: User, public_directory: Path) -> None:
    account = pwd.getpwuid(alice.uid)
    own, private = public_directory / f"own-{os.getpid()}", public_directory / f"private-{os.getpid()}"
    for directory in (own, private):
        directory.mkdir(mode=0o700)
    os.chown(own, alice.uid, alice.gid)
    assert can_use(account, [Path("/etc/passwd")], [own])
    assert not can_use(account, [Path("/etc/shadow")], [])
    assert not can_use(account, [private / "file"], [])
    assert not can_use(account, [], [private])
    assert (os.geteuid(), os.getegid()) == (0, 0)
