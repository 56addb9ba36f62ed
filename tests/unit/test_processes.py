"""What is read of processes: real ones."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from genvd.model import ProcessQuestion
from genvd.sources.processes import Identity, ProcessSource, environment_variable, program_identity
from tests.support.needs import need
from tests.support.waiting import wait_for

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts processes that are ended with the test."""
    with ExitStack() as stack:

        def start_one(*command: str, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
            process = stack.enter_context(subprocess.Popen(command or ("sleep", "600"), env=environment))
            stack.callback(process.kill)
            wait_for(
                lambda: b"0" not in (program_identity(process.pid) or b"0"), "executed: it has code and environment"
            )
            return process

        yield start_one


def gpu(*processes: subprocess.Popen[bytes]) -> ProcessQuestion:
    return ProcessQuestion(gpu_pids=frozenset(process.pid for process in processes))


def test_owner_and_environment(start: Start) -> None:
    process = start(environment={"A": "1", "GENV_ENVIRONMENT_ID": "42"})
    owner = ProcessSource().read(gpu(process)).owners[process.pid]
    assert owner.eid == "42"
    assert owner.uid == os.getuid()


@pytest.mark.parametrize("environment", [{}, {"GENV_ENVIRONMENT_ID": ""}, {"MY_GENV_ENVIRONMENT_ID": "1"}])
def test_outside_any_environment(start: Start, environment: dict[str, str]) -> None:
    process = start(environment=environment)
    assert ProcessSource().read(gpu(process)).owners[process.pid].eid is None


def test_a_process_is_read_once_in_its_life(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    process = start(environment={"GENV_ENVIRONMENT_ID": "42"})
    source = ProcessSource()
    first = source.read(gpu(process)).owners[process.pid]
    monkeypatch.setattr("genvd.sources.processes._read_process", lambda *_: pytest.fail("read again"))
    assert source.read(gpu(process)).owners[process.pid] is first


def test_another_process_with_the_pid_of_one_that_ended_is_read_anew(start: Start) -> None:
    need(os.access(LAST_PID, os.W_OK), f"needs root, and a kernel that lets the next pid be chosen ({LAST_PID})")
    first = start(environment={"GENV_ENVIRONMENT_ID": "1"})
    source = ProcessSource()
    assert source.read(gpu(first)).owners[first.pid].eid == "1"
    started = program_identity(first.pid)
    first.kill()
    first.wait()
    # The start time counts in hundredths of a second; pids do not come round within one.
    second = wait_for(lambda: later_process(start, first.pid, started), "a later process with that pid")
    assert source.read(gpu(second)).owners[second.pid].eid == "2"


def later_process(start: Start, pid: int, started: Identity | None) -> subprocess.Popen[bytes] | None:
    LAST_PID.write_text(str(pid - 1))
    process = start(environment={"GENV_ENVIRONMENT_ID": "2"})
    if process.pid == pid and program_identity(pid) != started:
        return process
    process.kill()
    process.wait()
    return None


def test_a_process_that_is_gone_is_missing(start: Start) -> None:
    process, other = start(), start()
    process.kill()
    process.wait()
    assert set(ProcessSource().read(gpu(process, other)).owners) == {other.pid}
    assert program_identity(process.pid) is None


def test_a_zombie_has_no_environment(start: Start) -> None:
    process = start(environment={"GENV_ENVIRONMENT_ID": "42"})
    process.kill()
    wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE, "a zombie")
    assert ProcessSource().read(gpu(process)).owners[process.pid].eid is None


@pytest.mark.parametrize("name", ["sleep ) R 1 1", "x" * 40, "a\nb"])
def test_a_name_that_looks_like_the_rest_of_the_line(start: Start, tmp_path: Path, name: str) -> None:
    program = tmp_path / name
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    process = start(str(program), "600")
    identity = program_identity(process.pid)
    assert identity is not None
    started = int(identity[0]) / os.sysconf("SC_CLK_TCK")
    assert started == pytest.approx(psutil.Process(process.pid).create_time() - psutil.boot_time(), abs=0.02)


def test_a_process_that_executes_another_program_is_read_anew(start: Start) -> None:
    script = "read _; exec env GENV_ENVIRONMENT_ID=2 sleep 600"
    with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, env={"GENV_ENVIRONMENT_ID": "1"}) as process:
        try:
            source = ProcessSource()

            def eid() -> str | None:
                owner = source.read(gpu(process)).owners.get(process.pid)  # missing while it executes
                return owner.eid if owner else None

            wait_for(lambda: eid() == "1", "the first environment")
            assert process.stdin
            process.stdin.write(b"\n")
            process.stdin.close()
            wait_for(lambda: eid() == "2", "the new environment")
        finally:
            process.kill()


def test_live_processes(start: Start) -> None:
    alive, dead = start(), start()
    dead.kill()
    dead.wait()
    question = ProcessQuestion(environment_pids=frozenset({alive.pid, dead.pid, 2**22}))
    assert ProcessSource().read(question).live_pids == {alive.pid}


def test_live_kernels(start: Start) -> None:
    source = ProcessSource()
    question = ProcessQuestion(kernel_ids=frozenset({"1-a", "2-b", "3", "4"}))
    program = [sys.executable, "-c", "import time; time.sleep(600)", "-f"]
    process = start(*program, "/home/x/.local/share/jupyter/runtime/kernel-1-a.json")
    start(*program, "/run/kernel-22-b.json", "kernel-3.json.bak")
    start(*program, "run('/x/kernel-4.json')")
    assert source.read(question).kernel_uids.keys() == {"1-a", "4"}
    assert source.read(question).kernel_uids.keys() == {"1-a", "4"}
    process.kill()
    process.wait()
    assert source.read(question).kernel_uids.keys() == {"4"}


NAME = b"GENV_ENVIRONMENT_ID"


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (b"", None),
        (b"GENV_ENVIRONMENT_ID=1\0", b"1"),
        (b"A=B\0GENV_ENVIRONMENT_ID=1\0C=D\0", b"1"),
        (b"GENV_ENVIRONMENT_ID=1", b"1"),
        (b"GENV_ENVIRONMENT_ID=\0", b""),
        (b"GENV_ENVIRONMENT_ID\0", None),
        (b"XGENV_ENVIRONMENT_ID=1\0", None),
        (b"A=GENV_ENVIRONMENT_ID=1\0", None),
        (b"GENV_ENVIRONMENT_ID=1\0GENV_ENVIRONMENT_ID=2\0", b"2"),
        (b"GENV_ENVIRONMENT_ID=a=b\0", b"a=b"),
        (b"\xff\xfe\0no equals sign\0GENV_ENVIRONMENT_ID=\xff\0", b"\xff"),
        (b"\0\0\0GENV_ENVIRONMENT_ID=1\0\0", b"1"),
        (b"X=" + b"y" * 3_000_000 + b"\0GENV_ENVIRONMENT_ID=1\0", b"1"),
    ],
)
def test_a_variable_in_a_block(block: bytes, expected: bytes | None) -> None:
    assert environment_variable(block, NAME) == expected
