"""The process collector, with real processes."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

from genvd.collectors.base import CollectorError
from genvd.collectors.host import procfs
from genvd.collectors.host.cgroups import parse_cgroup
from genvd.collectors.host.process_environment import environment_variable, read_claim
from genvd.collectors.host.process_table import LiveProcess, ProcessTable, has_ended
from genvd.collectors.host.processes import ProcessCollector, _kernel_ids
from genvd.collectors.host.procfs import in_initial_pid_namespace, memory_layout
from genvd.common.text import MAX_TEXT, decode
from genvd.model.facts import ProcessRequest
from tests.support.needs import need, need_command, need_root
from tests.support.scarcity import no_descriptors
from tests.support.waiting import wait_for

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts processes, which end with the test."""
    with ExitStack() as stack:

        def start_one(*command: str, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
            process = stack.enter_context(subprocess.Popen(command or ("sleep", "600"), env=environment))
            stack.callback(process.kill)
            wait_for(
                lambda: 0 not in (memory_layout(process.pid) or (0,)), "executed: it has arguments and environment"
            )
            return process

        yield start_one


def gpu(*processes: subprocess.Popen[bytes]) -> ProcessRequest:
    return ProcessRequest(gpu_pids=frozenset(process.pid for process in processes))


def command_of(collector: ProcessCollector, process: subprocess.Popen[bytes]) -> str | None:
    """Return its name; None while it executes another program, because the values may belong to neither."""
    owner = collector.collect(gpu(process)).owners.get(process.pid)
    return owner.command if owner else None


def test_owner_and_environment(start: Start) -> None:
    process = start(environment={"A": "1", "GENV_ENVIRONMENT_ID": "42"})
    owner = ProcessCollector().collect(gpu(process)).owners[process.pid]
    assert owner.eid == "42"
    assert owner.uid == os.getuid()
    group = parse_cgroup(Path(f"/proc/{process.pid}/cgroup").read_bytes())
    assert (owner.cgroup_kind, owner.cgroup) == (group or (None, None))


@pytest.mark.parametrize("environment", [{}, {"GENV_ENVIRONMENT_ID": ""}, {"MY_GENV_ENVIRONMENT_ID": "1"}])
def test_outside_genv(start: Start, environment: dict[str, str]) -> None:
    process = start(environment=environment)
    assert ProcessCollector().collect(gpu(process)).owners[process.pid].eid is None


def test_unchanged_values_are_read_once(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    process = start(environment={"GENV_ENVIRONMENT_ID": "42"})
    collector = ProcessCollector()
    first = collector.collect(gpu(process)).owners[process.pid]
    monkeypatch.setattr(
        "genvd.collectors.host.processes.ProcessCollector._read_process", lambda *_: pytest.fail("read again")
    )
    assert collector.collect(gpu(process)).owners[process.pid] is first


def test_a_reused_pid_is_read_again(start: Start) -> None:
    need(can_choose_pids(), f"needs root: chooses the next pid, and the kernel has to let it ({LAST_PID})")
    first = start(environment={"GENV_ENVIRONMENT_ID": "1"})
    collector = ProcessCollector()
    assert collector.collect(gpu(first)).owners[first.pid].eid == "1"
    started = psutil.Process(first.pid).create_time()
    first.kill()
    first.wait()
    # The start time counts in hundredths of a second; pids do not come round within one.
    second = wait_for(lambda: later_process(start, first.pid, started), "a later process with that pid")
    assert collector.collect(gpu(second)).owners[second.pid].eid == "2"


def can_choose_pids() -> bool:
    """Return whether the next pid can be chosen. Every user can open the file, but not write to it."""
    try:
        LAST_PID.write_text(LAST_PID.read_text())
    except OSError:
        return False
    return True


def later_process(start: Start, pid: int, started: float) -> subprocess.Popen[bytes] | None:
    LAST_PID.write_text(str(pid - 1))
    process = start(environment={"GENV_ENVIRONMENT_ID": "2"})
    if process.pid == pid and psutil.Process(pid).create_time() != started:
        return process
    process.kill()
    process.wait()
    return None


def test_a_missing_process_is_absent(start: Start) -> None:
    process, other = start(), start()
    process.kill()
    process.wait()
    assert set(ProcessCollector().collect(gpu(process, other)).owners) == {other.pid}


def test_a_zombie_has_no_environment(start: Start) -> None:
    process = start(environment={"GENV_ENVIRONMENT_ID": "42"})
    process.kill()
    wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE, "a zombie")
    assert ProcessCollector().collect(gpu(process)).owners[process.pid].eid is None


def test_a_process_that_ends_after_it_was_read_is_gone(start: Start) -> None:
    need(in_initial_pid_namespace(), "needs to see all processes of the machine", optional=True)
    collector, process, other = ProcessCollector(), start(), start()
    assert not collector.collect(gpu(process, other)).gone
    process.kill()
    wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE, "a zombie")
    assert collector.collect(gpu(process, other)).gone == {process.pid}


def test_a_process_whose_first_thread_has_ended_is_alive() -> None:
    program = (
        "import ctypes, threading, time\n"
        "threading.Thread(target=time.sleep, args=(600,)).start()\n"
        "ctypes.CDLL(None).pthread_exit(None)"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        try:
            status = psutil.Process(process.pid).status
            wait_for(lambda: status() == psutil.STATUS_ZOMBIE, "its first thread has ended")
            assert not has_ended(process.pid)
        finally:
            process.kill()
        wait_for(lambda: has_ended(process.pid), "all of it has ended")


@pytest.mark.parametrize("name", ["sleep ) R 1 1", "x" * 40, "a\nb"])
def test_a_command_name_that_looks_like_stat_fields(start: Start, tmp_path: Path, name: str) -> None:
    program = tmp_path / name
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    process = start(str(program), "600")
    found = memory_layout(process.pid)
    assert found
    assert found.variables_end - found.variables_start == len(Path(f"/proc/{process.pid}/environ").read_bytes())
    assert found.arguments_end - found.arguments_start == len(Path(f"/proc/{process.pid}/cmdline").read_bytes())


@pytest.mark.parametrize("name", ["sleep ) R 1 1", "x" * 40, "a\\nb\\\\n", "a\nb", "\x1b[2J\u202e", "\\"])
def test_the_command_is_the_cleaned_short_name(start: Start, tmp_path: Path, name: str) -> None:
    program = tmp_path / name
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    process = start(str(program), "600")
    command = ProcessCollector().collect(gpu(process)).owners[process.pid].command
    assert command == decode(Path(f"/proc/{process.pid}/comm").read_bytes()[:-1])
    assert command.isprintable()


def test_a_process_may_change_its_name(start: Start) -> None:
    collector = ProcessCollector()
    script = "read _; printf other >/proc/$$/comm; echo done; read _"
    with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as shell:
        assert shell.stdin
        assert shell.stdout
        wait_for(lambda: command_of(collector, shell) == "sh", "the shell runs")
        shell.stdin.write(b"go\n")
        assert shell.stdout.readline() == b"done\n"
        assert collector.collect(gpu(shell)).owners[shell.pid].command == "other"
        shell.kill()


def test_start_time(start: Start) -> None:
    process = start()
    started = ProcessCollector().collect(gpu(process)).owners[process.pid].started
    assert started == pytest.approx(time.time(), abs=30)
    assert started == pytest.approx(psutil.Process(process.pid).create_time(), abs=1.1)
    assert ProcessCollector().collect(gpu(process)).owners[process.pid].started == pytest.approx(started, abs=0.1)


def test_a_process_that_executes_another_program_is_read_again(start: Start) -> None:
    script = "read _; exec env GENV_ENVIRONMENT_ID=2 sleep 600"
    with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, env={"GENV_ENVIRONMENT_ID": "1"}) as process:
        try:
            collector = ProcessCollector()

            def eid() -> str | None:
                owner = collector.collect(gpu(process)).owners.get(process.pid)  # missing while it executes
                return owner.eid if owner else None

            wait_for(lambda: eid() == "1", "the first environment")
            assert process.stdin
            process.stdin.write(b"\n")
            process.stdin.close()
            wait_for(lambda: eid() == "2", "the new environment")
        finally:
            process.kill()


EXECUTES_ITSELF = """
import os, sys
print(flush=True)
input()
os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {"GENV_ENVIRONMENT_ID": "2"})
"""


def test_a_program_at_the_same_addresses_as_the_one_before_is_noticed() -> None:
    """Without address randomisation, a program that executes itself has the same addresses and name."""
    fixed = [need_command("setarch", "util-linux"), "-R", sys.executable, "-c", EXECUTES_ITSELF]
    environment, pipe = {"GENV_ENVIRONMENT_ID": "1"}, subprocess.PIPE
    with subprocess.Popen(fixed, stdin=pipe, stdout=pipe, env=environment, bufsize=0) as process:
        try:
            assert process.stdin and process.stdout
            process.stdout.readline()
            collector, before = ProcessCollector(), memory_layout(process.pid)
            assert collector.collect(gpu(process)).owners[process.pid].eid == "1"
            process.stdin.write(b"\n")
            process.stdout.readline()
            assert memory_layout(process.pid) == before
            assert collector.collect(gpu(process)).owners[process.pid].eid == "2"
        finally:
            process.kill()


def test_very_large_variables_are_not_read_in_each_collection(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    process = start(environment={"X": "x" * 100_000, "GENV_ENVIRONMENT_ID": "7"})
    collector, tries = ProcessCollector(), itertools.count()
    monkeypatch.setattr("genvd.collectors.host.processes.read_claim", lambda pid: (next(tries), read_claim(pid))[1])
    assert {collector.collect(gpu(process)).owners[process.pid].eid for _ in range(20)} == {"7"}
    assert next(tries) == 2


def test_setting_the_clock_does_not_change_start_times(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, boot, table = start(), int(psutil.boot_time()), ProcessTable()
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))

    def look(process: subprocess.Popen[bytes], boot: int) -> LiveProcess:
        (tmp_path / "stat").write_text(f"btime {boot}\n")
        with suppress(FileExistsError):
            (tmp_path / str(process.pid)).symlink_to(f"/proc/{process.pid}")
        table.refresh()
        found = table.get(process.pid)
        assert found
        return found

    before = look(first, boot)
    assert look(first, boot + 3600) == before
    monkeypatch.setattr(
        "genvd.collectors.host.process_table.procfs.stat_directory", lambda pid: Path(f"/proc/{pid}/comm").stat()
    )
    again = look(first, boot - 1)  # as if the kernel had dropped the inode for lack of memory
    assert (again.since_boot, again.started) == (before.since_boot, before.started)
    later = look(start(), boot + 3600)
    assert 0 <= later.since_boot - before.since_boot < 60
    assert 3600 <= later.started - before.started < 3660


@pytest.mark.parametrize(
    "error", [psutil.AccessDenied(1), psutil.NoSuchProcess(1), psutil.ZombieProcess(1), OSError(errno.EIO, "odd")]
)
def test_an_error_of_psutil_costs_one_process(start: Start, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    odd, other = start(), start()
    started = psutil.Process.create_time
    monkeypatch.setattr(
        psutil.Process, "create_time", lambda self: fail(error) if self.pid == odd.pid else started(self)
    )
    request = ProcessRequest(gpu_pids=frozenset({odd.pid, other.pid}), environment_pids=frozenset({odd.pid, other.pid}))
    facts = ProcessCollector().collect(request)
    assert facts.uids == {other.pid: os.getuid()}
    assert {pid: owner.uid for pid, owner in facts.owners.items()} == {odd.pid: None, other.pid: os.getuid()}


def fail(error: Exception) -> NoReturn:
    raise error


def test_live_processes(start: Start) -> None:
    alive, dead = start(), start()
    dead.kill()
    dead.wait()
    request = ProcessRequest(environment_pids=frozenset({alive.pid, dead.pid, 2**22}))
    assert ProcessCollector().collect(request).live_pids == {alive.pid}


CHANGES_ITS_USER = """
import os
for change in (lambda: os.setuid(60001), lambda: os.execvp("sleep", ["sleep", "600"])):
    print(flush=True)
    input()
    change()
"""


def test_a_process_that_changes_its_user_is_read_again() -> None:
    need_root("a process can change its user")
    collector, pipe = ProcessCollector(), subprocess.PIPE
    with subprocess.Popen(["/usr/bin/python3", "-c", CHANGES_ITS_USER], stdin=pipe, stdout=pipe) as process:
        request = ProcessRequest(gpu_pids=frozenset({process.pid}), environment_pids=frozenset({process.pid}))
        assert process.stdin and process.stdout
        for uid in (0, 60001):
            process.stdout.readline()
            facts = collector.collect(request)
            assert facts.uids == {process.pid: uid}
            assert facts.owners[process.pid].uid == uid
            process.stdin.write(b"\n")
            process.stdin.flush()
        wait_for(lambda: command_of(collector, process) == "sleep", "execution of another program")
        assert collector.collect(request).uids == {process.pid: 60001}
        process.kill()


def test_live_kernels(start: Start) -> None:
    collector = ProcessCollector()
    request = ProcessRequest(kernel_ids=frozenset({"1-a", "2-b", "3", "4"}))
    program = [sys.executable, "-c", "import time; time.sleep(600)", "-f"]
    process = start(*program, "/home/x/.local/share/jupyter/runtime/kernel-1-a.json")
    start(*program, "/run/kernel-22-b.json", "kernel-3.json.bak")
    start(*program, "run('/x/kernel-4.json')")
    assert collector.collect(request).kernel_uids.keys() == {"1-a", "4"}
    assert collector.collect(request).kernel_uids.keys() == {"1-a", "4"}
    process.kill()
    process.wait()
    assert collector.collect(request).kernel_uids.keys() == {"4"}


@pytest.mark.parametrize(
    "argument",
    [
        "kernel-" * 2_300,
        "kernel-.json" * 1_300,
        "kernel-1.json) " * 1_000,
        "kernel-x " * 1_700,
        "kernel-" + ".json" * 3_000,
    ],
)
def test_no_arguments_are_slow_to_search_for_kernels(start: Start, argument: str) -> None:
    """12 to 25 ms for each process of which a user starts hundreds is more than a collection has."""
    process = start(sys.executable, "-c", "import time; time.sleep(600)", "/x/kernel-early.json", argument)
    started = time.thread_time()
    for _ in range(50):
        assert "early" in _kernel_ids(procfs.read(process.pid, "cmdline", 16 * 1024) or b"")
    assert time.thread_time() - started < 50 * 0.002


@pytest.mark.parametrize(
    ("arguments", "kernels"),
    [
        (b"python\0-f\0/run/kernel-1-a.json\0", {"1-a"}),
        (b"kernel-1.json", {"1"}),
        (b"--f=/run/kernel-1.json /run/kernel-2.json", {"1", "2"}),
        (b"run('/x/kernel-4.json')", {"4"}),
        (b"run(kernel-4.json), 5)", {"4"}),
        (b"kernel-kernel-1.json", {"kernel-1"}),
        (b"kernel-1.json/x\0kernel-2.json.bak\0kernel-3.jsonl\0kernel-.json", set()),
        (b"kernel-a.b.json\0kernel-c.json.json", {"a.b", "c.json"}),
        (b"kernel-\xff.json", {decode(b"\xff")}),
        (b"kernel-" + b"x" * 256 + b".json\0kernel-" + b"y" * 257 + b".json", {"x" * 256}),
    ],
)
def test_kernel_connection_files(arguments: bytes, kernels: set[str]) -> None:
    assert _kernel_ids(arguments) == kernels


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
def test_environment_variable(block: bytes, expected: bytes | None) -> None:
    assert environment_variable(block, NAME) == expected


def test_a_thread_is_no_process(start: Start) -> None:
    script = "import sys, threading; threading.Thread(target=sys.stdin.read).start()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as process:
        tasks = Path(f"/proc/{process.pid}/task")
        threads = wait_for(lambda: {int(task.name) for task in tasks.iterdir()} - {process.pid}, "a thread")
        few = ProcessRequest(environment_pids=frozenset({*threads, process.pid}))
        many = ProcessRequest(environment_pids=few.environment_pids | frozenset(range(2**22 - 1000, 2**22)))
        assert ProcessCollector().collect(few).live_pids == {process.pid}
        assert ProcessCollector().collect(many).live_pids == {process.pid}
        process.kill()


def test_a_zombie_counts_as_live_as_in_genv(start: Start) -> None:
    process = start()
    process.kill()
    wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE, "a zombie")
    facts = ProcessCollector().collect(ProcessRequest(environment_pids=frozenset({process.pid})))
    assert facts.uids == {process.pid: os.getuid()}


def test_missing_pids_are_not_looked_up_one_by_one() -> None:
    request = ProcessRequest(environment_pids=frozenset(range(1, 2**22, 8)) | {os.getpid()})
    started = time.process_time()
    assert ProcessCollector().collect(request).uids[os.getpid()] == os.getuid()
    assert time.process_time() - started < 1, "one by one it takes about five seconds"


def test_all_users_with_a_kernels_file_are_reported() -> None:
    need_root("runs a process as another user")
    program = ["sh", "-c", "read _", "-f", "/x/kernel-1.json"]
    with (
        subprocess.Popen(program, stdin=subprocess.PIPE) as first,
        subprocess.Popen(program, stdin=subprocess.PIPE, user=65534) as other,
    ):
        try:
            request = ProcessRequest(kernel_ids=frozenset({"1"}))
            collector = ProcessCollector()
            wait_for(lambda: collector.collect(request).kernel_uids == {"1": {0, 65534}}, "both are seen")
        finally:
            first.kill()
            other.kill()


def test_login_uids_are_reported_only_for_root() -> None:
    need_root("logs in")
    login = "echo 4711 >/proc/self/loginuid"
    logged_in = subprocess.run(["sh", "-c", login], stderr=subprocess.DEVNULL, check=False).returncode == 0
    need(logged_in, "needs a kernel with auditing, and CAP_AUDIT_CONTROL")
    script = f"{login} && exec sleep 600"
    with subprocess.Popen(["sh", "-c", script]) as root, subprocess.Popen(["sh", "-c", f"{script}"]) as other:
        request = ProcessRequest(environment_pids=frozenset({root.pid, other.pid, os.getpid()}))
        try:
            collector = ProcessCollector()
            wait_for(
                lambda: collector.collect(request).login_uids == {root.pid: 4711, other.pid: 4711}, "both logged in"
            )
        finally:
            root.kill()
            other.kill()


@pytest.mark.parametrize("late", [False, True], ids=["at once", "while processes are read"])
def test_without_descriptors_no_process_seems_gone(start: Start, monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    process = start(environment={"GENV_ENVIRONMENT_ID": "42"})
    collector = ProcessCollector()
    requests = (
        gpu(process),
        ProcessRequest(environment_pids=frozenset({process.pid})),
        ProcessRequest(environment_pids=frozenset(range(1, 1000))),
        ProcessRequest(kernel_ids=frozenset({"1"})),
    )
    if late:
        boot_time, pids = psutil.boot_time(), psutil.pids()
        monkeypatch.setattr(psutil, "boot_time", lambda: boot_time)
        monkeypatch.setattr(psutil, "pids", lambda: pids)
    for request in requests:
        with no_descriptors(), pytest.raises(CollectorError, match=r"^/proc: .*Too many open files; "):
            collector.collect(request)
    assert collector.collect(gpu(process)).owners[process.pid].eid == "42"


EXECUTE = """
import ctypes, sys
strings = lambda texts: (ctypes.c_char_p * (len(texts) + 1))(*texts, None)
libc = ctypes.CDLL(None, use_errno=True)
libc.execve(b"/bin/sleep", strings([b"sleep", b"600"]), strings(eval(sys.argv[1])))
raise OSError(ctypes.get_errno())
"""


@pytest.mark.parametrize(
    ("block", "eid"),
    [
        ("[b'X=' + b'y' * 100000] * 55 + [b'GENV_ENVIRONMENT_ID=7']", "7"),
        ("[b'nothing', b'', b'=', b'=x', b'GENV_ENVIRONMENT_ID', b'GENV_ENVIRONMENT_ID=7']", "7"),
        ("[b'GENV_ENVIRONMENT_ID=1', b'GENV_ENVIRONMENT_ID=7']", "7"),
        ("[b'\\xff=\\xfe', b'GENV_ENVIRONMENT_ID=\\xff7']", "\\udcff7"),
        ("[b'GENV_ENVIRONMENT_ID=a\\n\\x1b[31m\\x7f\"']", 'a\\x0a\\x1b[31m\\x7f"'),
        ("[b'GENV_ENVIRONMENT_ID=' + b'z' * 100000]", None),
    ],
    ids=["5.5 MB", "no equals sign", "twice", "not UTF-8", "control characters", "long"],
)
def test_environment_blocks_that_users_can_create(start: Start, block: str, eid: str | None) -> None:
    resource_limit = 'ulimit -s 65536; exec "$@"'  # arguments and environment may have a quarter of the stack
    process = start("sh", "-c", resource_limit, "sh", sys.executable, "-c", EXECUTE, block)
    wait_for(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n", "the process has it")
    wait_for(lambda: read_claim(process.pid).unknown is None, "the kernel has written its variables")
    found = ProcessCollector().collect(gpu(process)).owners[process.pid].eid
    assert found == eid if eid else found and found.startswith("zzz") and len(found) <= MAX_TEXT


REWRITE = """
import ctypes, os, sys, time
libc = ctypes.CDLL(None)
libc.getenv.restype = ctypes.c_void_p
place = libc.getenv(b"GENV_ENVIRONMENT_ID")
libc.prctl(15, b") R 1 1 (\\n", 0, 0, 0)
print(flush=True)
number = 0
while True:
    number += 1
    ctypes.memset(place, 65 + number % 26, 8)
"""


def test_a_process_that_rewrites_its_environment_and_name() -> None:
    environment = {"GENV_ENVIRONMENT_ID": "........"}
    with subprocess.Popen([sys.executable, "-c", REWRITE], env=environment, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            process.stdout.readline()
            collector = ProcessCollector()
            for owner in [collector.collect(gpu(process)).owners[process.pid] for _ in range(50)]:
                assert owner.uid == os.getuid()
                assert owner.eid is not None
                assert len(owner.eid) == 8
        finally:
            process.kill()


def test_a_process_that_keeps_executing() -> None:
    script = 'export GENV_ENVIRONMENT_ID=x; exec sh -c "$1" sh "$1"'
    with subprocess.Popen(["sh", "-c", script, "sh", script], env={"GENV_ENVIRONMENT_ID": "x"}) as process:
        try:
            collector = ProcessCollector()
            found = [collector.collect(gpu(process)).owners.get(process.pid) for _ in range(300)]
            known = [owner for owner in found if owner]  # it is missing while it executes
            assert {owner.uid for owner in known} <= {os.getuid(), None}
            assert {owner.eid for owner in known} <= {"x", None}
            assert len(collector._cache) <= 1
        finally:
            process.kill()


def test_arguments_of_megabytes_are_read_in_part(start: Start) -> None:
    many = ["x" * 100_000] * 15
    program = (sys.executable, "-c", "import time; time.sleep(600)")
    start(*program, *many, "kernel-late.json")
    start(*program, "kernel-early.json", *many)
    request = ProcessRequest(kernel_ids=frozenset({"late", "early"}))
    assert ProcessCollector().collect(request).kernel_uids == {"early": {os.getuid()}}
