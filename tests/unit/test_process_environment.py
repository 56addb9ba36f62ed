"""The environment of real processes whose own variables are overwritten, unreadable or gone."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from genvd.collectors.host import procfs
from genvd.collectors.host.process_environment import EidClaim, inherited_eid, read_claim
from genvd.collectors.host.processes import ProcessCollector
from genvd.model.facts import EnvironmentRecord, ProcessOwner, ProcessRequest
from tests.support.needs import need_root
from tests.support.users import temporary_users
from tests.support.waiting import wait_for

TITLE = """
import ctypes, sys, time
fields = open("/proc/self/stat").read().rpartition(")")[2].split()
arguments, arguments_end, variables, variables_end = map(int, fields[45:49])
title = {
    "wiped": b"SERVE",
    "long": b"S" * (arguments_end - arguments + 1500),
    "spaces": b"SERVE".ljust(variables_end - arguments - 1),
}[sys.argv[1]]
end = arguments + len(title) if sys.argv[1] == "long" else variables_end
ctypes.memset(arguments, 0, end - arguments)
ctypes.memmove(arguments, title, len(title))
print(flush=True)
time.sleep(600)
"""
"""Sets its title as programs do: it overwrites the arguments and then the variables."""

FIRST_THREAD_ENDS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
print(flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""

LONG = {"PADDING": "x" * 1000, "GENV_ENVIRONMENT_ID": "E1", "REST": "y" * 1000}

Run = Callable[..., int]


@pytest.fixture
def run() -> Iterator[Run]:
    """Runs a Python program, optionally below a shell, and returns its pid once it has printed a line."""
    with ExitStack() as stack:

        def run_one(
            program: str, *arguments: str, variables: dict[str, str], below: str | None = None, uid: int | None = None
        ) -> int:
            command = [sys.executable, "-c", program, *arguments]
            if below is not None:
                command = ["sh", "-c", f'export {below}; "$@" & echo $!; wait', "sh", *command]
            process = stack.enter_context(
                subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, user=uid, start_new_session=True)
            )
            stack.callback(kill_group, process.pid)
            assert process.stdout
            pid = int(process.stdout.readline()) if below is not None else process.pid
            process.stdout.readline()
            return pid

        yield run_one


def kill_group(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, 9)


def record(eid: str, pid: int, uid: int | None = None) -> EnvironmentRecord:
    return EnvironmentRecord(eid, os.getuid() if uid is None else uid, pids=(pid,))


def owner_of(pid: int, *records: EnvironmentRecord) -> ProcessOwner:
    request = ProcessRequest(gpu_pids=frozenset({pid}), environments=records)
    return ProcessCollector().collect(request).owners[pid]


def test_variables_that_execve_is_still_writing_are_not_mistaken_for_none() -> None:
    """For about 1 ms of this execve(2), the addresses in /proc/PID/stat say that there are none."""
    again = 'if [ "$1" -gt 0 ]; then exec sh -c "$0" "$0" $(($1 - 1)); fi; echo; exec sleep 600'
    variables = {f"V{number}": "x" * 100_000 for number in range(16)} | {"GENV_ENVIRONMENT_ID": "E1"}
    with subprocess.Popen(["sh", "-c", again, again, "50"], env=variables, stdout=subprocess.PIPE) as process:
        assert process.stdout
        os.set_blocking(process.stdout.fileno(), False)
        claims = set()
        while process.stdout.read() is None:
            claims.add(read_claim(process.pid))
        process.kill()
    assert {claim.eid for claim in claims if claim.unknown is None} == {"E1"}


def test_variables_of_which_only_a_part_is_read_are_not_mistaken_for_all(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"X": "x" * 1000, "GENV_ENVIRONMENT_ID": "E1"}
    pid = run("import time; print(flush=True); time.sleep(600)", variables=variables)
    whole = procfs.read_or_raise
    monkeypatch.setattr(procfs, "read_or_raise", lambda *arguments: whole(*arguments)[:500])
    assert read_claim(pid) == EidClaim(None, "overwritten")


@pytest.mark.parametrize("how", ["wiped", "long", "spaces"])
def test_overwritten_variables_are_not_mistaken_for_none(run: Run, how: str) -> None:
    pid = run(TITLE, how, variables=LONG)
    assert read_claim(pid) == EidClaim(None, "overwritten")
    owner = owner_of(pid)
    assert (owner.eid, owner.environment_unknown) == (None, "overwritten")


@pytest.mark.parametrize("variables", [{}, {"A": "1"}, {"A": "", "B": "2"}, {"odd": "a=b c"}])
def test_intact_variables_are_trusted(run: Run, variables: dict[str, str]) -> None:
    pid = run("import time; print(flush=True); time.sleep(600)", "x", "", variables=variables)
    assert read_claim(pid) == EidClaim(None)


def test_a_child_of_an_environments_shell_inherits_its_id(run: Run) -> None:
    shell = {**LONG, "GENV_ENVIRONMENT_ID": "E0"}
    pid = run(TITLE, "wiped", variables=shell, below="GENV_ENVIRONMENT_ID=E1")
    assert owner_of(pid).eid == "E0", "what its shell was started with"
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    owner = owner_of(pid, record("E1", parent))
    assert (owner.eid, owner.environment_unknown) == ("E1", None), "what was activated in its shell later"
    ambiguous = owner_of(pid, record("E1", parent), record("E2", parent))
    assert (ambiguous.eid, ambiguous.environment_unknown) == (None, "overwritten")


def test_the_record_of_another_user_is_ignored(run: Run) -> None:
    pid = run(TITLE, "wiped", variables={"A": "1"})
    assert owner_of(pid, record("E1", pid, os.getuid() + 1)).eid is None
    assert owner_of(pid, record("E1", pid)).eid == "E1"


def test_an_ancestor_of_another_user_is_ignored(run: Run) -> None:
    need_root("runs a process of another user")
    with temporary_users(1) as (user,):
        command = ["setpriv", "--reuid", str(user.uid), "--clear-groups", "env", "-i", "sleep", "600"]
        with subprocess.Popen(
            ["sh", "-c", '"$@" & echo $!; wait', "sh", *command],
            env={"PATH": os.environ["PATH"], "GENV_ENVIRONMENT_ID": "E1"},
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as shell:
            try:
                assert shell.stdout
                pid = int(shell.stdout.readline())
                wait_for(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n", "the process runs")
                assert owner_of(pid).eid is None
                assert owner_of(pid).environment_unknown is None
            finally:
                kill_group(shell.pid)


def test_other_threads_are_read_if_the_first_has_ended(run: Run) -> None:
    pid = run(FIRST_THREAD_ENDS, variables={"GENV_ENVIRONMENT_ID": "E1"})
    wait_for(
        lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z", "its first thread ended"
    )
    owner = owner_of(pid)
    assert (owner.eid, owner.environment_unknown) == ("E1", None)


def test_the_last_claim_is_kept_when_the_variables_become_unreadable(run: Run) -> None:
    executes = (
        "import os, sys; print(flush=True); input();"
        "os.execve(sys.executable, [sys.executable, '-c', sys.argv[1], 'wiped'], {'A': 'x' * 1000})"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", executes, TITLE],
        env={"GENV_ENVIRONMENT_ID": "E1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        try:
            assert process.stdin
            assert process.stdout
            process.stdout.readline()
            collector, request = ProcessCollector(), ProcessRequest(gpu_pids=frozenset({process.pid}))
            assert collector.collect(request).owners[process.pid].eid == "E1"
            process.stdin.write(b"\n")
            process.stdin.flush()
            process.stdout.readline()
            assert read_claim(process.pid).unknown == "overwritten"
            assert collector.collect(request).owners[process.pid].eid == "E1"
        finally:
            process.kill()


def test_the_owner_of_an_ended_process_is_kept_while_it_is_listed() -> None:
    collector = ProcessCollector()
    with subprocess.Popen(["sleep", "600"], env={"GENV_ENVIRONMENT_ID": "E1"}) as process:
        request = ProcessRequest(gpu_pids=frozenset({process.pid}))
        try:
            wait_for(lambda: collector.collect(request).owners[process.pid].eid == "E1", "it was read")
        finally:
            process.kill()
    facts = collector.collect(request)
    assert facts.owners[process.pid].eid == "E1"
    assert collector.collect(ProcessRequest()).owners == {}
    assert process.pid not in collector.collect(request).owners or facts.gone == {process.pid}


def test_unreadable_variables_are_not_retried_in_each_collection(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    pid = run(TITLE, "wiped", variables=LONG)
    collector, tries = ProcessCollector(), itertools.count()
    monkeypatch.setattr(
        "genvd.collectors.host.processes.inherited_eid", lambda *to: (next(tries), inherited_eid(*to))[1]
    )
    for _ in range(10):
        collector.collect(ProcessRequest(gpu_pids=frozenset({pid})))
    assert next(tries) == 1
    facts = collector.collect(ProcessRequest(gpu_pids=frozenset({pid}), environments=(record("E1", pid),)))
    assert facts.owners[pid].eid == "E1", "a new record is looked at at once"
