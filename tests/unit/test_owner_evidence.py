"""Evidence for the owner of an environment, with real processes of several users."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from genvd.collectors.host import owner_evidence, process_table, procfs
from genvd.collectors.host.owner_evidence import OwnerSearch, RootLaunchers, unconfirmed_claims
from genvd.collectors.host.process_table import ProcessTable
from genvd.model.facts import EnvironmentRecord
from tests.support.needs import need_root
from tests.support.waiting import wait_for

ALICE = 1_000_000_000 + 2 * os.getpid()
"""Other uids than in tests that run at the same time, whose processes would confirm these claims."""
BOB = ALICE + 1
NOBODYS_PID = 2**22 - 7

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture(autouse=True)
def enough_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a search read all processes, also on a busy machine."""
    monkeypatch.setattr(owner_evidence, "_MAX_SEARCH_SECONDS", 60.0)


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts processes of a user, which end with the test."""
    need_root("runs processes of several users")
    with ExitStack() as stack:

        def start_one(uid: int, *prefix: str, eid: str = "") -> subprocess.Popen[bytes]:
            command = (*prefix, "setpriv", f"--reuid={uid}", "--clear-groups", "sleep", "infinity")
            process = stack.enter_context(
                subprocess.Popen(command, env={"GENV_ENVIRONMENT_ID": eid, "PATH": os.defpath}, cwd="/")
            )
            stack.callback(process.kill)
            wait_for(lambda: asleep(process), "the process sleeps")
            return process

        yield start_one


def asleep(process: subprocess.Popen[bytes]) -> int | None:
    """Return the pid of the process, or of its descendant, that sleeps."""
    family = (psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True))
    return next((one.pid for one in family if one.name() == "sleep"), None)


def table() -> ProcessTable:
    """Return a table at the beginning of a collection."""
    found = ProcessTable()
    found.refresh()
    return found


def eid_of(pid: int) -> str | None:
    block = (procfs.read(pid, "environ", 4096) or b"").split(b"\0")
    return next((entry[20:].decode() or None for entry in block if entry.startswith(b"GENV_ENVIRONMENT_ID=")), None)


def test_only_unconfirmed_claims_are_searched() -> None:
    records = [
        EnvironmentRecord("hers", ALICE, pids=(1, 2)),
        EnvironmentRecord("roots", 0, pids=(1,)),
        EnvironmentRecord("su", ALICE, pids=(3,)),
        EnvironmentRecord("kernel", ALICE, pids=(1,), kernel_ids=("k",)),
        EnvironmentRecord("nobodys", None, pids=(1,)),
        EnvironmentRecord("over", ALICE, pids=(99,)),
        EnvironmentRecord("doubtful", ALICE, pids=(1, 99)),
    ]
    found = unconfirmed_claims(records, {1: 0, 2: ALICE, 3: 0}, {3: ALICE}, {"k": frozenset({ALICE})})
    assert found == {("doubtful", ALICE): frozenset({1, 99})}


def test_a_process_that_names_the_environment_confirms_only_its_own_user(start: Start) -> None:
    search = OwnerSearch(table(), eid_of)
    claims = {("a", ALICE): frozenset({NOBODYS_PID}), ("a", BOB): frozenset({NOBODYS_PID})}
    start(BOB, eid="b")
    assert search.confirm(claims) == set()
    process = start(ALICE, eid="a")
    assert search.confirm(claims) == {("a", ALICE)}
    assert search.confirm({("a", BOB): frozenset()}) == set()
    assert search.confirm(claims) == {("a", ALICE)}
    process.kill()
    process.wait()
    assert search.confirm(claims) == set()


def test_a_process_with_the_pid_in_its_own_namespace_confirms(start: Start) -> None:
    start(ALICE, "unshare", "--pid", "--fork", "--kill-child")
    search = OwnerSearch(table(), eid_of)
    claims = {("x", ALICE): frozenset({1}), ("x", BOB): frozenset({1}), ("y", ALICE): frozenset({NOBODYS_PID})}
    assert search.confirm(claims) == {("x", ALICE)}


def test_a_long_search_continues_the_next_time(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    start(ALICE, eid="a")
    monkeypatch.setattr(owner_evidence, "_MAX_SEARCH_SECONDS", -1.0)
    search, readings = OwnerSearch(table(), eid_of), 0
    most = 2 * len(process_table.pids())  # others may start and end meanwhile
    while not search.confirm({("a", ALICE): frozenset()}):
        readings += 1
        assert readings <= most
    assert readings


def test_the_launcher_of_a_root_process_is_cached(public_directory: Path) -> None:
    need_root("makes a program that changes its user")
    program = public_directory / "become"
    program.write_bytes(Path("/usr/bin/setpriv").read_bytes())
    program.chmod(0o4755)
    shell = subprocess.Popen(
        ["sh", "-c", f"{program} --reuid=0 --regid=0 --clear-groups sleep 600 & wait"],
        user=ALICE,
        cwd="/",
        env={"PATH": os.defpath},
    )
    pid = wait_for(lambda: asleep(shell), "the process sleeps")
    try:
        launchers = RootLaunchers(table())
        assert launchers.find([pid, os.getpid()]).get(pid) == ALICE
        shell.kill()
        shell.wait()
        assert launchers.find([pid]) == {pid: ALICE}
        assert RootLaunchers(table()).find([pid]) == {}, "who started it has gone"
    finally:
        os.kill(pid, 9)
