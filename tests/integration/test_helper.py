"""The helper as a process of its own: who may ask, what it answers, and what happens when it is away or blocked."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from genvd.collectors.base import CollectorError
from genvd.collectors.host import procfs
from genvd.collectors.host.helper_client import HelperClient
from genvd.collectors.host.processes import ProcessCollector
from genvd.helper.__main__ import STUCK_STATUS
from genvd.helper.reading import MAX_STUCK
from genvd.model.facts import EnvironmentRecord, ProcessRequest
from genvd.service.separation import HELPER_MEMORY
from tests.benchmarks.subject import resident_bytes
from tests.standin import Process, Scenario
from tests.support.fuse import silent_file_system
from tests.support.genv_state import write_state
from tests.support.gpus import MIB, gpu
from tests.support.helper import Helper
from tests.support.manager import Manager
from tests.support.monitor import Monitor, Series, named, series
from tests.support.needs import need_command, need_root
from tests.support.users import temporary_users
from tests.support.waiting import PATIENCE, wait_for

_EXECUTE = """
import os, sys
os.open(sys.argv[1], os.O_RDONLY | os.O_CLOEXEC)  # execve(2) closes it, which waits for the file system
if len(sys.argv) > 2:
    os.setuid(int(sys.argv[2]))
print("executes", flush=True)
os.execv("/bin/sleep", ["sleep", "600"])
"""

_MAP = """
import ctypes, mmap, os, struct, sys
memory = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 4096, mmap.MAP_PRIVATE)
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
start = libc.mmap(None, ctypes.c_size_t(4096), 1, 2, os.open(sys.argv[1], os.O_RDONLY), ctypes.c_long(0))
stat = open("/proc/self/stat").read().rpartition(")")[2].split()
fields = [int(stat[index - 3]) for index in (26, 27, 45, 46, 47)]  # code and data, and the heap
heap = libc.sbrk
heap.restype = ctypes.c_void_p
auxv = open("/proc/self/auxv", "rb").read()
vector = ctypes.create_string_buffer(auxv)
numbers = [*fields, heap(0), int(stat[28 - 3]), start, start + 2048, start + 2048, start + 4096]
table = struct.pack("=11Q", *numbers) + struct.pack("=QIi", ctypes.addressof(vector), len(auxv), -1)
if libc.prctl(35, 14, ctypes.c_char_p(table), len(table), 0) != 0:  # PR_SET_MM, PR_SET_MM_MAP
    libc.perror(b"prctl")
    sys.exit(1)
if len(sys.argv) > 2:
    os.setuid(int(sys.argv[2]))
print("mapped", flush=True)
while True:
    libc.pause()
"""

ATTACKER = 2_000_000
"""A uid."""

HELPER_OWN_BYTES = int(9.5 * MIB)
"""What it may take beside its interpreter, which takes more from Python 3.12 on: 18 MiB in all with Python 3.11."""

Start = Iterator[subprocess.Popen[bytes]]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def client(helper: Helper) -> Iterator[HelperClient]:
    with closing(HelperClient(str(helper.path))) as client:
        yield client


@pytest.fixture
def helper(stack: ExitStack, tmp_path: Path) -> Helper:
    return stack.enter_context(Helper(tmp_path))


def run(stack: ExitStack, *command: str, eid: str = "", **options: object) -> subprocess.Popen[bytes]:
    environment = {"GENV_ENVIRONMENT_ID": eid} if eid else {}
    process = subprocess.Popen(command or ("sleep", "600"), env=environment, stdout=subprocess.PIPE, **options)  # type: ignore[call-overload]
    stack.enter_context(process)
    stack.callback(process.kill)
    return process  # type: ignore[no-any-return]


def sleeper(stack: ExitStack, eid: str = "") -> int:
    pid = run(stack, eid=eid).pid
    wait_for(lambda: procfs.command_and_uid(pid)[0] == "sleep", "it runs")
    return pid


def question(*pids: int) -> ProcessRequest:
    record = EnvironmentRecord("5", 1000, pids=(os.getpid(), 1), kernel_ids=("k",))
    return ProcessRequest(
        frozenset(pids), frozenset((1, os.getpid())), frozenset("k"), all_seen=True, environments=(record,)
    )


def test_its_answer_is_what_the_collector_reads(stack: ExitStack, helper: Helper, client: HelperClient) -> None:
    pids = [sleeper(stack, eid) for eid in ("1", "2", "")]
    run(stack, sys.executable, "-c", "import time; time.sleep(600)", "kernel-k.json")
    collector = ProcessCollector()
    for _ in range(3):  # the second answer refers to the first one
        assert client.collect(question(*pids)) == collector.collect(question(*pids))
    assert client.collect(question(*pids)).owners[pids[1]].eid == "2"
    assert wait_for(lambda: client.collect(question()).kernel_uids == {"k": frozenset({os.getuid()})}, "the kernel")


def test_what_has_changed_is_sent_again(stack: ExitStack, helper: Helper, client: HelperClient) -> None:
    pid = sleeper(stack)
    process = run(stack, "/bin/bash", "-c", "read; exec sleep 600", stdin=subprocess.PIPE)
    wait_for(lambda: client.collect(question(pid, process.pid)).owners[process.pid].command == "bash", "the shell")
    assert process.stdin
    process.stdin.write(b"\n")
    process.stdin.flush()
    wait_for(lambda: client.collect(question(pid, process.pid)).owners[process.pid].command == "sleep", "the program")


def test_the_same_answer_to_another_question_is_read_anew(stack: ExitStack, client: HelperClient) -> None:
    asked = question(sleeper(stack))
    for _ in range(3):  # the second answer and the third one have the same bytes
        facts = client.collect(asked)
    assert client.collect(asked) is facts
    (record,) = asked.environments
    other = asked._replace(environments=(record._replace(name="train"),))  # the helper is not sent the name
    assert client.collect(other).environments == other.environments
    assert client.collect(asked) == facts


DEEP = b"[" * 100_000
VALID = b'{"gpu_pids":[1],"more_pids":[],"environments":[],"all_seen":false}'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"null",
        b"\xff",
        DEEP,
        b'{"a":' * 100_000,
        VALID[:-1],
        VALID + b"x",
        VALID.replace(b"false", b"NaN"),
        VALID.replace(b"false", b"1"),
        VALID.replace(b"[1]", b"[true]"),
        VALID.replace(b"[1]", b"[1.0]"),
        VALID.replace(b"[1]", b"[0]"),
        VALID.replace(b"[1]", b"[-1]"),
        VALID.replace(b"[1]", b"[4194305]"),
        VALID.replace(b"[1]", b"[" + b"1" * 100_000 + b"]"),
        VALID.replace(b"[1]", b'["../../etc/shadow"]'),
        VALID.replace(b"[1]", b"{}"),
        VALID.replace(b'"all_seen":false', b'"all_seen":false,"all_seen":false'),
        VALID.replace(b'"all_seen":false', b'"all_seen":false,"path":"/etc/shadow"'),
        VALID.replace(b'"environments":[]', b'"environments":[["\\ud800",1,[],[]]]'),
        VALID.replace(b'"environments":[]', b'"environments":[["\\u0000",1,[],[]]]'),
        VALID.replace(b'"environments":[]', b'"environments":[["' + b"x" * 257 + b'",1,[],[]]]'),
        b"[" + b"[]," * 1_000_000 + b"[]]",
    ],
    ids=range(24),
)
def test_an_invalid_message_ends_the_connection_and_nothing_else(
    helper: Helper, client: HelperClient, content: bytes
) -> None:
    with helper.connect() as connection:
        connection.sendall(struct.pack("!I", len(content)) + content)
        assert connection.recv(1) == b""
    assert client.collect(question(os.getpid())).owners
    assert "a message was" in helper.log


def test_an_announced_length_is_limited(helper: Helper) -> None:
    with helper.connect() as connection:
        began = time.monotonic()
        connection.sendall(struct.pack("!I", 2**32 - 1))
        assert connection.recv(1) == b""
        assert time.monotonic() - began < 4  # it has not waited for the rest


def test_half_a_message_does_not_keep_others_waiting(helper: Helper, client: HelperClient) -> None:
    with helper.connect() as slow, helper.connect() as silent:
        slow.sendall(struct.pack("!I", 1000) + b"[")
        assert client.collect(question(os.getpid())).owners
        assert slow.recv(1) == b""
        del silent


def test_many_connections_push_out_the_oldest(helper: Helper, client: HelperClient, stack: ExitStack) -> None:
    first = stack.enter_context(helper.connect())
    for _ in range(10):
        stack.enter_context(helper.connect())
    assert client.collect(question(os.getpid())).owners
    assert first.recv(1) == b""


def test_another_user_is_refused(helper: Helper, client: HelperClient) -> None:
    need_root("asks as another user")
    with temporary_users(1) as (user,), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        helper.path.chmod(0o666)  # even if the socket lets them in
        own = helper.path.stat().st_uid
        os.chown(helper.path, user.uid, -1)  # the other user is this test
        connection.connect(str(helper.path))
        assert connection.recv(1) == b""
        os.chown(helper.path, own, -1)
    assert client.collect(question(os.getpid())).owners
    assert "refused a connection of the user with the uid 0" in helper.log


def test_a_killed_helper_costs_no_answer_once_it_runs_again(
    stack: ExitStack, helper: Helper, client: HelperClient
) -> None:
    pid = sleeper(stack, "7")
    assert client.collect(question(pid)).owners[pid].eid == "7"
    helper.kill()
    helper.start()
    assert client.collect(question(pid)).owners[pid].eid == "7"


def test_systemd_hears_how_it_is(stack: ExitStack, manager: Manager, tmp_path: Path) -> None:
    helper = stack.enter_context(Helper(tmp_path, {**manager.environment, "WATCHDOG_USEC": "2000000"}))
    wait_for(lambda: manager.said("^READY=1"), "it is ready")
    wait_for(lambda: len(manager.said("^WATCHDOG=1")) >= 2, "it makes progress")
    client = stack.enter_context(closing(HelperClient(str(helper.path))))
    with silent_file_system(tmp_path / "mount") as file:
        pid = blocking(stack, file, _EXECUTE)
        client.collect(question(pid))
        wait_for(lambda: manager.said(rf"^STATUS=left out, .*: {pid} \(1 processes\)$"), "the status names it")


def test_without_a_helper_there_is_one_line_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(
        CollectorError, match=r"processes.sock: .*No such file.*; see 'systemctl status genv-monitor-pro"
    ):
        HelperClient(str(tmp_path / "processes.sock")).collect(question())


def test_a_new_helper_does_not_lose_what_the_old_one_knew(
    stack: ExitStack, helper: Helper, client: HelperClient
) -> None:
    """A program that overwrites its variables with a title: only a helper that has seen it before knows better."""
    process = run(stack, sys.executable, "-c", _OVERWRITE, eid="7", stdin=subprocess.PIPE)
    assert process.stdout and process.stdin
    process.stdout.readline()
    assert client.collect(question(process.pid)).owners[process.pid].eid == "7"
    process.stdin.write(b"\n")
    process.stdin.flush()
    process.stdout.readline()
    assert ProcessCollector().collect(question(process.pid)).owners[process.pid].environment_unknown == "overwritten"
    helper.kill()
    helper.start()
    for _ in range(2):
        assert client.collect(question(process.pid)).owners[process.pid].eid == "7"


_OVERWRITE = """
import ctypes, sys
stat = open("/proc/self/stat").read().rpartition(")")[2].split()
start, end = int(stat[50 - 3]), int(stat[51 - 3])
print("started", flush=True)
sys.stdin.readline()
ctypes.memset(start, 0, end - start)
print("overwritten", flush=True)
sys.stdin.read()
"""


def blocking(stack: ExitStack, file: Path, program: str, uid: int | None = None) -> int:
    """Start a process whose environment cannot be read; return its pid."""
    user = () if uid is None else (str(uid),)
    process = run(stack, sys.executable, "-c", program, str(file), *user, eid="66")
    assert process.stdout
    assert process.stdout.readline() in (b"mapped\n", b"executes\n")
    if program is _EXECUTE:
        wait_for(lambda: executes(process.pid), "it is in execve")
    return process.pid


@pytest.mark.parametrize("program", [_EXECUTE, _MAP], ids=["execute", "map"])
@pytest.mark.parametrize("number", [1, 50])
def test_a_process_that_blocks_costs_only_its_own_facts(
    stack: ExitStack, helper: Helper, client: HelperClient, tmp_path: Path, program: str, number: int
) -> None:
    good, known = sleeper(stack, "7"), sleeper(stack, "8")
    assert client.collect(question(known)).owners[known].eid == "8"
    with silent_file_system(tmp_path / "mount") as file:
        blocked = [blocking(stack, file, program, ATTACKER) for _ in range(number)]
        facts = client.collect(question(good, known, *blocked))
        assert (facts.owners[good].eid, facts.owners[known].eid) == ("7", "8")
        for pid in blocked:
            owner = facts.owners[pid]
            assert (owner.uid, owner.eid, owner.environment_unknown) == (ATTACKER, None, "unreadable")
        assert not facts.gone
        began = time.monotonic()
        for _ in range(5):
            assert client.collect(question(good, *blocked)).owners[good].eid == "7"
        assert time.monotonic() - began < 5
    assert helper.process.poll() is None


def test_when_it_is_stuck_another_one_goes_on_and_knows_what_blocks(
    stack: ExitStack, manager: Manager, tmp_path: Path
) -> None:
    helper = stack.enter_context(Helper(tmp_path, manager.environment))
    client = stack.enter_context(closing(HelperClient(str(helper.path))))
    wait_for(lambda: manager.said("^READY=1"), "it is ready")
    former, good = helper.process, sleeper(stack, "7")
    assert _seccomp(former.pid)["Seccomp"] == "2"
    with silent_file_system(tmp_path / "mount") as file:
        blocked = [blocking(stack, file, _EXECUTE, ATTACKER + number) for number in range(MAX_STUCK)]
        assert client.collect(question(good, *blocked)).owners[good].eid == "7"
        assert former.wait(20) == STUCK_STATUS
        again = time.monotonic()
        for _ in range(3):
            assert client.collect(question(good, *blocked)).owners[good].eid == "7"
        assert time.monotonic() - again < 1  # each of them would block for 0.2 s
        assert helper.process.poll() is None
        assert helper.process is not former


def _seccomp(pid: int) -> dict[str, str]:
    status = Path(f"/proc/{pid}/status").read_text()
    return dict(re.findall(r"^(Seccomp\w*|NoNewPrivs):\t(\d+)$", status, re.MULTILINE))


def test_the_privileges_of_its_unit_are_enough(stack: ExitStack, tmp_path: Path) -> None:
    need_root("becomes another user with two capabilities")
    two = "+sys_ptrace,+dac_read_search"
    command = [
        *(need_command("setpriv", "util-linux"), "--reuid=nobody", "--clear-groups", "--no-new-privs"),
        *(f"--inh-caps=-all,{two}", f"--ambient-caps={two}", f"--bounding-set=-all,{two}"),
    ]
    helper = stack.enter_context(Helper(tmp_path, command=command))
    client = stack.enter_context(closing(HelperClient(str(helper.path))))
    with temporary_users(1) as (user,):
        process = run(stack, eid="7", user=user.uid)
        wait_for(lambda: procfs.command_and_uid(process.pid)[0] == "sleep", "it runs")
        owner = client.collect(question(process.pid)).owners[process.pid]
        assert (owner.uid, owner.eid) == (user.uid, "7")
    assert helper.process.poll() is None
    status = Path(f"/proc/{helper.process.pid}/status").read_text()
    assert re.findall(r"^Cap(?:Prm|Eff|Bnd|Amb):\t(.*)$", status, re.MULTILINE) == [f"{1 << 2 | 1 << 19:016x}"] * 4


def test_the_last_facts_stand_while_a_process_blocks(
    stack: ExitStack, helper: Helper, client: HelperClient, tmp_path: Path
) -> None:
    program = "import os, sys; sys.stdin.readline()" + _EXECUTE
    with silent_file_system(tmp_path / "mount") as file:
        process = run(stack, sys.executable, "-c", program, str(file), eid="9", stdin=subprocess.PIPE)
        wait_for(lambda: client.collect(question(process.pid)).owners[process.pid].eid == "9", "it runs")
        before = client.collect(question(process.pid)).owners[process.pid]
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout and process.stdout.readline() == b"executes\n"
        wait_for(lambda: executes(process.pid), "it is in execve")
        assert client.collect(question(process.pid)).owners[process.pid] == before


def executes(pid: int) -> bool:
    """Return whether the process has got its new memory, and waits in execve(2)."""
    return Path(f"/proc/{pid}/statm").read_text().split()[0] == "1"


@pytest.fixture
def monitor(
    stack: ExitStack, helper: Helper, nvml_library: Path, scenario: Scenario, state_directory: Path, tmp_path: Path
) -> tuple[Monitor, int]:
    """A monitor that uses the helper, with one process in an environment; and its pid."""
    pid = sleeper(stack, "7")
    write_state(state_directory, {"7": (pid, "root")}, {0: ["7"]})
    scenario.gpus = [gpu(0, processes=[Process(pid, 100 * MIB)])]
    scenario.write()
    options = ["--interval", "0.2", "--config-dir", str(tmp_path / "published")]
    environment = {**scenario.environment(nvml_library), **helper.variables}
    return stack.enter_context(Monitor(options, environment=environment)), pid


SUCCESS = series("genv_monitor_collector_success", collector="processes")
UNMANAGED = ("genv_unmanaged_processes", "genv_process_unmanaged")


def of_environments(all_series: Series) -> set[object]:
    """Return the series that say what environments do now; counters keep what was counted."""
    return {key for key in named(all_series, "genv_environment_") if not key[0].endswith("_total")}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_while_it_is_away_nobody_is_accused(
    monitor: tuple[Monitor, int], helper: Helper, number: signal.Signals
) -> None:
    running, _ = monitor
    before = wait_for(lambda: found if (found := running.metrics()).get(SUCCESS) == 1 else None, "it answers")
    accused = named(before, *UNMANAGED)
    assert accused and not any(accused.values())
    environments = of_environments(before)
    assert environments

    os.kill(helper.process.pid, number)
    now, deadline = before, time.monotonic() + PATIENCE
    while now[SUCCESS] or of_environments(now):
        assert time.monotonic() < deadline, "what it last said is still shown"
        now = running.next_metrics(1)
        assert not any(named(now, *UNMANAGED).values())
        assert named(now, "genv_device_temperature")
    assert not named(now, *UNMANAGED)

    if number == signal.SIGKILL:
        helper.kill()
        helper.start()
    else:
        os.kill(helper.process.pid, signal.SIGCONT)
    after = wait_for(lambda: found if of_environments(found := running.metrics()) else None, "it is back")
    assert not any(named(after, *UNMANAGED).values())
    assert of_environments(after) == environments
    assert wait_for(lambda: running.metrics()[SUCCESS] == 1, "success")
    assert running.log.count("processes: ") <= 4


def test_killed_and_stopped_at_any_time_it_accuses_nobody(monitor: tuple[Monitor, int], helper: Helper) -> None:
    running, _ = monitor
    environments = wait_for(lambda: of_environments(running.metrics()), "it answers")
    chance, end = random.Random(14), time.monotonic() + 6
    while time.monotonic() < end:
        if chance.random() < 0.5:
            helper.kill()
            time.sleep(chance.uniform(0, 0.3))
            helper.start()
        else:
            helper.process.send_signal(signal.SIGSTOP)
            time.sleep(chance.uniform(0, 0.8))
            helper.process.send_signal(signal.SIGCONT)
        next_event = time.monotonic() + chance.uniform(0, 0.6)
        while time.monotonic() < next_event:
            now = running.metrics()
            assert not any(named(now, *UNMANAGED).values())
            assert named(now, "genv_device_temperature")
    after = wait_for(lambda: found if (found := running.metrics())[SUCCESS] == 1 else None, "it is back")
    assert of_environments(after) == environments
    assert not any(named(after, *UNMANAGED).values())


def test_its_memory_is_small_and_does_not_keep_what_large_variables_take(stack: ExitStack, tmp_path: Path) -> None:
    helper = stack.enter_context(Helper(tmp_path, HELPER_MEMORY))
    client = stack.enter_context(closing(HelperClient(str(helper.path))))
    small = question(*(sleeper(stack, "1") for _ in range(64)))
    client.collect(small)
    environment = {"GENV_ENVIRONMENT_ID": "1", **{f"LARGE_{number}": "x" * 100_000 for number in range(18)}}
    large = [subprocess.Popen(["sleep", "600"], env=environment) for _ in range(10)]
    for process in large:
        stack.enter_context(process)
        stack.callback(process.kill)
    client.collect(question(*(process.pid for process in large)))
    interpreter = bare_interpreter_bytes()

    def is_small() -> bool:
        client.collect(small)
        return resident_bytes(helper.process.pid) <= interpreter + HELPER_OWN_BYTES

    wait_for(is_small, "it is as small as before")


def bare_interpreter_bytes() -> int:
    """Return what an interpreter takes that does nothing."""
    command = [sys.executable, "-I", "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        process.stdout.readline()
        resident = resident_bytes(process.pid)
        process.stdin.close()
    return resident
