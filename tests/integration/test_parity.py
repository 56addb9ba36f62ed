"""Ours exports what the existing ``genv monitor`` of genv 1.4.3 exports, whatever people do on the machine."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from genvd.collectors.runner import GRACE_TICKS
from genvd.common.text import clean
from tests.standin import Gpu, Process, Scenario
from tests.support.genv import ExistingMonitor, Shell, install_genv
from tests.support.monitor import Monitor, series
from tests.support.needs import need_root, need_user_namespaces
from tests.support.parity import (
    MIB,
    Exported,
    Machine,
    device_entry,
    differences,
    environment_entry,
    exported,
    kill,
)
from tests.support.users import User, second_name, temporary_users
from tests.support.waiting import wait_for

GPUS = 6

ROUNDS = int(os.environ.get("GENV_TESTS_PARITY_ROUNDS", "4"))
"""How many random states of the machine are compared; more to look for something."""

INACTIVE = "999999"
"""An environment that nobody has activated."""


def gpus() -> list[Gpu]:
    """Devices of which no two are the same in anything."""
    return [
        Gpu(
            f"GPU-{index}",
            temperature=40 + index,
            utilization=17 * index,
            memory_total=(16384 + 1024 * index) * MIB,
            memory_used=(100 * index) * MIB,
            memory_reserved=(300 + index) * MIB,
        )
        for index in range(GPUS)
    ]


@pytest.fixture(scope="module")
def users() -> Iterator[tuple[User, ...]]:
    with temporary_users(3) as made:
        yield made


@pytest.fixture(scope="module")
def alice(users: tuple[User, ...]) -> User:
    return users[0]


@pytest.fixture(scope="module")
def bob(users: tuple[User, ...]) -> User:
    return users[1]


@pytest.fixture(scope="module")
def carol(users: tuple[User, ...]) -> User:
    return users[2]


@pytest.fixture(scope="module")
def jupyter(public_directory: Path) -> Path:
    """A ``jupyter`` command that knows where the connection files of kernels are: ``runtime`` beside it."""
    directory = public_directory / "jupyter"
    (directory / "runtime").mkdir(parents=True)
    command = directory / "jupyter"
    command.write_text(f'#!/bin/sh\ntest "$*" = --runtime-dir && echo {directory}/runtime\n')
    command.chmod(0o755)
    return directory


@pytest.fixture(scope="module")
def setuid(public_directory: Path) -> Path:
    """A setpriv(1) that everybody may become anybody with, as su and sudo let those who may."""
    program = public_directory / "become"
    shutil.copy("/usr/bin/setpriv", program)
    program.chmod(0o4755)
    return program


@pytest.fixture(scope="module")
def watched(public_directory: Path, nvml_library: Path, jupyter: Path) -> Iterator[Machine]:
    """Both monitors, which stay for all states."""
    need_root("looks at the processes of several users")
    home = public_directory / "parity"
    state, theirs = home / "state", home / "theirs"
    for directory in (home, state, theirs):
        directory.mkdir(mode=0o755)
    state.chmod(0o777)
    scenario = Scenario(home / "scenario", gpus())
    genv = install_genv(public_directory)
    environment = {
        **scenario.environment(nvml_library),
        "PATH": f"{genv}:{nvml_library}:{jupyter}:/usr/local/bin:/usr/bin:/bin",
        "GENV_TMPDIR": str(state),
        "LC_ALL": "C.UTF-8",
        "HOME": "/",
    }
    scenario.write()
    existing = ExistingMonitor(genv / "genv", theirs, environment)
    try:
        existing.start()
        with Monitor(("--interval", "0.5", "--config-dir", home / "ours"), environment) as ours:
            machine = Machine(scenario, state, environment, existing, ours)
            yield machine
            machine.reset(gpus())
    finally:
        existing.stop()


@pytest.fixture
def machine(watched: Machine) -> Machine:
    """The machine with nothing going on, and both monitors looking at it."""
    watched.reset(gpus())
    watched.existing.start()
    return watched


def write_state(machine: Machine, environments: Any, devices: Any) -> None:
    for name, content in (("envs", environments), ("devices", devices)):
        (machine.state / f"{name}.json").write_text(json.dumps({name: content}, indent=2))


def edit_environments(machine: Machine, **changes: Any) -> None:
    """Change every environment in the file that genv has written."""
    path = machine.state / "envs.json"
    document = json.loads(path.read_text())
    for entry in document["envs"]:
        entry.update(changes)
    path.write_text(json.dumps(document))


def value(seen: Exported, name: str, **labels: object) -> float:
    return seen.series[series(name, **labels)]


def labels_of(seen: Exported, name: str, label: str) -> set[str]:
    return {dict(labels)[label] for series_name, labels in seen.series if series_name == name}


# --- The comparison itself ----------------------------------------------------------------------------------


ONE = """\
# TYPE genv_users_total gauge
genv_users_total 2.0
# TYPE genv_device_memory_used_bytes gauge
genv_device_memory_used_bytes{index="0"} 1048576.0
"""


def test_the_comparison_allows_memory_to_be_more_exact_and_nothing_else() -> None:
    theirs = exported(ONE)

    assert differences(theirs, theirs) == []
    assert differences(theirs, exported(ONE.replace("1048576.0", "2097151.0"))) == []
    assert differences(theirs, exported(ONE.replace("1048576.0", "2097152.0"))) == [
        "genv_device_memory_used_bytes{index='0'}: 1048576 in theirs, 2097152 in ours"
    ]
    assert differences(theirs, exported(ONE.replace(" 2.0", " 3.0"))) == ["genv_users_total: 2 in theirs, 3 in ours"]


def test_the_comparison_finds_what_only_one_has() -> None:
    theirs = exported(ONE)

    assert differences(theirs, exported(ONE.replace('"0"', '"1"'))) == [
        "genv_device_memory_used_bytes{index='0'}: only in theirs, 1048576",
        "genv_device_memory_used_bytes{index='1'}: only in ours, 1048576",
    ]
    assert differences(theirs, exported(ONE.replace("users_total gauge", "users_total unknown"))) == [
        "genv_users_total: a gauge in theirs, a unknown in ours"
    ]


def test_the_comparison_refuses_a_series_that_is_there_twice() -> None:
    with pytest.raises(AssertionError, match="twice"):
        exported(ONE + 'genv_device_memory_used_bytes{index="0"} 1048576.0\n')


# --- What people do with genv -------------------------------------------------------------------------------


def test_nothing_at_all(machine: Machine) -> None:
    seen = machine.compare()

    assert value(seen, "genv_is_installed") == 1
    assert value(seen, "genv_environments_total") == value(seen, "genv_users_total") == 0
    assert value(seen, "genv_device_utilization", index=5) == 85
    assert value(seen, "genv_device_memory_used_bytes", index=3) == 300 * MIB
    assert len(seen.series) == 4 * GPUS + 5


def test_one_user_with_one_environment(machine: Machine, alice: User) -> None:
    (shell,) = machine.activate((alice, "--gpus 2 --gpu-memory 4g --name train"))
    seen = machine.compare()

    assert value(seen, "genv_environment_attached_devices_total", eid=shell.pid) == 2
    assert value(seen, "genv_environment_processes_total", eid=shell.pid) == 0
    assert value(seen, "genv_user_environments_total", username=alice.name) == 1

    pid = shell.start_process()
    machine.gpu_process(pid, dict.fromkeys(shell.devices, 700 * MIB))
    seen = machine.compare()

    assert value(seen, "genv_environment_processes_total", eid=shell.pid) == 1
    assert value(seen, "genv_process_devices_total", pid=pid, eid=shell.pid) == 2
    assert value(seen, "genv_user_processes_total", username=alice.name) == 1


def test_several_users_with_several_environments(machine: Machine, alice: User, bob: User, carol: User) -> None:
    shells = machine.activate(
        (alice, "--gpus 2 --name first"), (alice, "--gpus 1"), (bob, "--gpus 1 --gpu-memory 4g"), (carol, "")
    )
    for number, shell in enumerate(shells):
        for _ in range(number):
            machine.gpu_process(shell.start_process(), {number: number * 100 * MIB, 5: 9 * MIB + number})
    seen = machine.compare()

    assert value(seen, "genv_users_total") == 3
    assert value(seen, "genv_environments_total") == 4
    assert value(seen, "genv_attached_devices_total") == 4
    assert value(seen, "genv_processes_total") == 6
    assert value(seen, "genv_user_environments_total", username=alice.name) == 2
    assert value(seen, "genv_user_attached_devices_total", username=alice.name) == 3
    assert value(seen, "genv_user_processes_total", username=carol.name) == 3


def test_devices_that_several_environments_share(machine: Machine, alice: User, bob: User) -> None:
    (first,) = machine.activate((alice, f"--gpus {GPUS} --gpu-memory 4g"))
    (second,) = machine.activate((bob, "--gpus 2 --gpu-memory 4g"))  # there is memory left on each
    (third,) = machine.activate((alice, "--gpus 3 -o"))  # all are taken
    machine.gpu_process(first.start_process(), {0: 4000 * MIB})
    machine.gpu_process(third.start_process(), {0: 9000 * MIB, 1: 1})
    seen = machine.compare()

    assert value(seen, "genv_attached_devices_total") == GPUS
    assert value(seen, "genv_environment_attached_devices_total", eid=second.pid) == 2
    assert value(seen, "genv_environment_attached_devices_total", eid=third.pid) == 3
    assert value(seen, "genv_user_attached_devices_total", username=alice.name) == GPUS


def test_an_environment_without_a_device(machine: Machine, alice: User, bob: User) -> None:
    unattached, no_wish = machine.activate((alice, "--gpus 2 --no-attach"), (bob, "--name idle"))
    machine.gpu_process(no_wish.start_process(), {4: 5 * MIB})
    seen = machine.compare()

    assert value(seen, "genv_environment_attached_devices_total", eid=unattached.pid) == 0
    assert value(seen, "genv_environment_processes_total", eid=no_wish.pid) == 1
    assert value(seen, "genv_attached_devices_total") == 0


def test_attaching_and_detaching(machine: Machine, alice: User) -> None:
    (shell,) = machine.activate((alice, "--gpus 1"))
    eid = shell.eid
    shell.run("genv config gpus 3 && genv attach && genv attach --index 5")
    assert value(machine.compare(), "genv_environment_attached_devices_total", eid=eid) == 4

    shell.run("genv detach --index 0")
    assert value(machine.compare(), "genv_attached_devices_total") == 3

    shell.run("genv detach")
    seen = machine.compare()
    assert value(seen, "genv_attached_devices_total") == 0
    assert value(seen, "genv_environments_total") == 1


def test_deactivating_and_leaving(machine: Machine, alice: User, bob: User) -> None:
    deactivated, left, stays = machine.activate((alice, "--gpus 1"), (bob, "--gpus 1"), (alice, "--gpus 1"))
    in_left = left.start_process()
    machine.gpu_process(in_left, {1: 30 * MIB})
    eid = left.eid
    assert value(machine.compare(), "genv_environments_total") == 3

    deactivated.run("genv deactivate")
    left.exit()
    seen = machine.compare()

    assert labels_of(seen, "genv_environment_processes_total", "eid") == {str(stays.pid)}
    assert labels_of(seen, "genv_user_environments_total", "username") == {alice.name}
    assert value(seen, "genv_process_devices_total", pid=in_left, eid=eid) == 1


def test_a_killed_shell_leaves_entries_that_do_not_count(machine: Machine, alice: User, bob: User) -> None:
    killed, other = machine.activate((alice, "--gpus 2"), (bob, "--gpus 1"))
    pid, eid = killed.start_process(), killed.eid
    machine.gpu_process(pid, {0: 50 * MIB})
    killed.kill()
    seen = machine.compare()

    assert eid in (machine.state / "envs.json").read_text()
    assert eid in (machine.state / "devices.json").read_text()
    assert labels_of(seen, "genv_environment_processes_total", "eid") == {str(other.pid)}
    assert value(seen, "genv_attached_devices_total") == 1
    assert value(seen, "genv_process_devices_total", pid=pid, eid=eid) == 1


def test_a_killed_shell_that_nobody_has_waited_for_yet(machine: Machine, alice: User) -> None:
    (shell,) = machine.activate((alice, "--gpus 2"))
    shell.kill(reap=False)

    assert value(machine.compare(), "genv_environments_total") == 1


def test_two_shells_in_one_environment(machine: Machine, alice: User, bob: User) -> None:
    first, second = machine.activate((alice, "--gpus 1 --id shared"), (bob, "--id shared"))
    machine.gpu_process(first.start_process(), {2: MIB})
    machine.gpu_process(second.start_process(), {2: MIB})
    seen = machine.compare()
    assert value(seen, "genv_environments_total") == value(seen, "genv_users_total") == 1
    assert value(seen, "genv_environment_processes_total", eid="shared") == 2

    first.kill()  # its GPU process goes on, and it is as if they were still there
    assert value(machine.compare(), "genv_environment_processes_total", eid="shared") == 2

    second.kill()
    assert value(machine.compare(), "genv_environments_total") == 0


def test_two_shells_of_one_user_in_one_environment(machine: Machine, alice: User) -> None:
    shells = machine.activate((alice, "--gpus 1 --id mine"), (alice, "--id mine"))
    for shell in shells:
        machine.gpu_process(shell.start_process(), {2: MIB})
    assert value(machine.compare(), "genv_user_processes_total", username=alice.name) == 2

    shells[0].kill()
    assert value(machine.compare(), "genv_user_processes_total", username=alice.name) == 2


def test_a_user_without_an_account(machine: Machine, alice: User) -> None:
    """As with an account that is known elsewhere only. genv then takes the name from the environment."""
    stranger = User("nowhere-but-here", 4_000_123, 4_000_123)
    for shell in machine.activate((stranger, "--gpus 2"), (alice, "")):
        machine.gpu_process(shell.start_process(), {0: MIB})

    assert value(machine.compare(), "genv_user_processes_total", username=stranger.name) == 1


def test_a_user_with_two_names(machine: Machine, alice: User) -> None:
    with second_name(alice) as second:
        for shell in machine.activate((alice, "--gpus 1"), (second, "--gpus 1")):
            machine.gpu_process(shell.start_process(), {0: MIB})
        seen = machine.compare()

    assert labels_of(seen, "genv_user_processes_total", "username") == {alice.name, second.name}


def test_a_user_who_became_root(machine: Machine, alice: User) -> None:
    """With su, which leaves $LOGNAME as it was; genv takes the name from there."""
    shell = machine.shell(None)
    log_in(shell, alice)
    shell.run(f"export LOGNAME={alice.name}; genv activate --gpus 1")
    machine.gpu_process(shell.start_process(), {0: MIB})
    seen = machine.compare()

    assert labels_of(seen, "genv_user_processes_total", "username") == {alice.name}


def test_a_shell_that_became_root_after_it_was_activated(machine: Machine, alice: User) -> None:
    """As with exec sudo -E -s: the process that genv knows is root's from then on."""
    (shell,) = machine.activate((alice, "--gpus 1 --id mine"))
    machine.gpu_process(shell.start_process(), {0: MIB})
    machine.compare()
    edit_environments(machine, pids=[machine.process({"GENV_ENVIRONMENT_ID": "mine"})])
    shell.kill()
    seen = machine.compare()

    assert value(seen, "genv_user_processes_total", username=alice.name) == 1


def log_in(shell: Shell, user: User) -> None:
    """Have the shell, which must be root's, be of a login of the user, as pam_loginuid(8) does."""
    shell.run(f"echo {user.uid} >/proc/self/loginuid")


def test_a_user_who_became_root_without_a_login_id(machine: Machine, alice: User, setuid: Path) -> None:
    """As with su where no PAM module told who logged in: in a container, or in a service."""
    shell = machine.shell(alice)
    loader = "LD_LIBRARY_PATH=$LD_LIBRARY_PATH"  # which a program that changes its user does not get
    shell.send(f"{setuid} --reuid=0 --regid=0 --clear-groups env {loader} bash --norc --noprofile")
    shell.answer()
    shell.run('eval "$(genv shell --init)"; genv activate --gpus 1; test -n "$GENV_ENVIRONMENT_ID"')
    machine.gpu_process(shell.start_process(), {0: MIB})
    seen = machine.compare()
    assert labels_of(seen, "genv_user_processes_total", "username") == {alice.name}


def test_a_program_of_another_user_that_sudo_started(machine: Machine, alice: User, bob: User) -> None:
    """sudo has ended or is no parent any more; who logged in remains."""
    (shell,) = machine.activate((alice, "--gpus 1"))
    run_as = f"exec setpriv --reuid={bob.uid} --clear-groups sleep infinity"
    pid = machine.process(
        {"GENV_ENVIRONMENT_ID": shell.eid}, "/bin/sh", "-c", f"echo {alice.uid} >/proc/self/loginuid; {run_as}"
    )
    machine.wait_for_program(pid, "sleep")
    machine.gpu_process(pid, {0: MIB})

    assert value(machine.compare(), "genv_user_processes_total", username=alice.name) == 1


@pytest.mark.parametrize("of_root", [True, False])
def test_a_program_of_another_user_without_a_login_id(
    machine: Machine, alice: User, bob: User, setuid: Path, of_root: bool
) -> None:
    """As with runuser in an environment of root, or su in one of a user, where no PAM module told who logged in."""
    if of_root:
        shell, name = machine.shell(None), "root"
        shell.run("export LOGNAME=root; genv activate --gpus 1")
    else:
        (shell,), name = machine.activate((alice, "--gpus 1")), alice.name
    started = f"{setuid} --reuid={bob.uid} --regid={bob.gid} --clear-groups"
    pid = shell.start_process(started)
    machine.gpu_process(pid, {0: MIB})
    seen = machine.compare()
    assert value(seen, "genv_user_processes_total", username=name) == 1


def test_an_environment_of_a_pid_namespace_of_its_own(machine: Machine, alice: User) -> None:
    """As in a container: genv writes the pids that processes have in there, which others have outside."""
    become = ("setpriv", f"--reuid={alice.uid}", f"--regid={alice.gid}", "--clear-groups")
    shell = machine.shell(alice, ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *become))
    shell.run('genv activate --gpus 1; test "$GENV_ENVIRONMENT_ID" = 1')
    seen = machine.compare()
    assert value(seen, "genv_user_attached_devices_total", username=alice.name) == 1

    shell.run("sleep infinity </dev/null >/dev/null 2>&1 &")
    pid = wait_for(
        lambda: next((p.pid for p in psutil.Process(shell.pid).children(recursive=True) if p.name() == "sleep"), None),
        "the program in there runs",
    )
    machine.gpu_process(pid, {0: MIB})
    seen = machine.compare()
    assert value(seen, "genv_user_processes_total", username=alice.name) == 1
    assert value(seen, "genv_process_devices_total", pid=pid, eid=1) == 1
    assert labels_of(seen, "genv_user_environments_total", "username") == {alice.name}


def test_environments_with_names_of_their_own(machine: Machine, alice: User) -> None:
    names = ["mein-Täst-环境", "a.b/c:d", "-1", "x" * 200]
    for shell in machine.activate(*((alice, f"--gpus 1 --id={name}") for name in names)):
        machine.gpu_process(shell.start_process(), {2: MIB})
    seen = machine.compare()

    assert labels_of(seen, "genv_environment_processes_total", "eid") == set(names)
    assert value(seen, "genv_user_processes_total", username=alice.name) == 4


def test_names_that_need_care_in_the_exposition(machine: Machine) -> None:
    names = ['say "hi"', "back\\slash\\n", " spaces  around ", "{brace}=,", "#", "quote'", "\U0001f980"]
    pids = [machine.process({"GENV_ENVIRONMENT_ID": name}) for name in names]
    write_state(
        machine,
        [environment_entry(name, [pid], f"user {name}") for name, pid in zip(names, pids, strict=True)],
        [device_entry(index, name) for index, name in enumerate(names)],
    )
    for pid in pids:
        machine.gpu_process(pid, {0: MIB})
    seen = machine.compare()

    assert labels_of(seen, "genv_process_devices_total", "eid") == set(names)
    assert labels_of(seen, "genv_user_processes_total", "username") == {f"user {name}" for name in names}


# --- Processes ----------------------------------------------------------------------------------------------


def test_processes_outside_any_environment(machine: Machine, alice: User, bob: User) -> None:
    (shell,) = machine.activate((alice, "--gpus 1"))
    outside = machine.shell(bob).start_process()
    nowhere = machine.process({"GENV_ENVIRONMENT_ID": INACTIVE})
    nameless = machine.process({"GENV_ENVIRONMENT_ID": "", "GENV_ENVIRONMENT_ID_": "1"})
    bare = machine.process({})
    for number, pid in enumerate((outside, nowhere, nameless, bare)):
        machine.gpu_process(pid, {number: number * MIB})
    seen = machine.compare()

    assert value(seen, "genv_processes_total") == 4
    assert value(seen, "genv_process_devices_total", pid=nowhere, eid=INACTIVE) == 1
    assert labels_of(seen, "genv_process_devices_total", "eid") == {"", INACTIVE}
    assert labels_of(seen, "genv_environment_processes_total", "eid") == {shell.eid}


def test_a_process_of_root_in_the_environment_of_a_user(machine: Machine, alice: User) -> None:
    """As with sudo -E, or a container that a service of root has started."""
    (shell,) = machine.activate((alice, "--gpus 1"))
    machine.gpu_process(machine.process({"GENV_ENVIRONMENT_ID": shell.eid}), {0: MIB})

    assert value(machine.compare(), "genv_user_processes_total", username=alice.name) == 1


def test_a_process_in_a_container_of_the_user(machine: Machine, alice: User) -> None:
    """A rootless one, in which it has a uid that is nobody's outside."""
    need_user_namespaces()
    (shell,) = machine.activate((alice, "--gpus 1"))
    keeper = int(shell.run("unshare --user sleep infinity </dev/null >/dev/null 2>&1 & echo $!"))
    machine.wait_for_program(keeper, "sleep")
    for name in ("uid_map", "gid_map"):  # as newuidmap(1) does
        Path(f"/proc/{keeper}/{name}").write_text("0 7000000 65536\n")
    pid = machine.process(
        {"GENV_ENVIRONMENT_ID": shell.eid},
        *("/usr/bin/nsenter", "--user", f"--target={keeper}", "--setuid=1000", "--setgid=1000"),
        *("/usr/bin/sleep", "infinity"),
    )
    machine.wait_for_program(pid, "sleep")
    assert Path(f"/proc/{pid}/status").stat().st_uid == 7001000
    machine.gpu_process(pid, {0: MIB})

    assert value(machine.compare(), "genv_user_processes_total", username=alice.name) == 1


def test_a_process_that_is_not_in_proc(machine: Machine, alice: User) -> None:
    (shell,) = machine.activate((alice, "--gpus 1"))
    pid = machine.process({"GENV_ENVIRONMENT_ID": shell.eid})
    machine.end(pid)
    machine.gpu_process(pid, {0: 10 * MIB, 1: 20 * MIB})
    seen = machine.compare()

    assert value(seen, "genv_process_devices_total", pid=pid, eid="") == 2
    assert value(seen, "genv_environment_processes_total", eid=shell.eid) == 0


def test_only_compute_processes_count(machine: Machine, alice: User) -> None:
    (shell,) = machine.activate((alice, "--gpus 1"))
    compute, graphics = shell.start_process(), shell.start_process()
    machine.gpu_process(compute, {0: MIB})
    machine.scenario.gpus[0].graphics_processes = [Process(compute, MIB), Process(graphics, MIB)]
    machine.scenario.gpus[1].mps_processes = [Process(graphics, MIB)]

    assert value(machine.compare(), "genv_processes_total") == 1


def test_a_variable_that_is_there_twice(machine: Machine, alice: User) -> None:
    (shell,) = machine.activate((alice, "--gpus 1"))
    pid = machine.process_with(b"GENV_ENVIRONMENT_ID=1", f"GENV_ENVIRONMENT_ID={shell.eid}".encode(), b"A=b")
    machine.gpu_process(pid, {0: MIB})

    assert value(machine.compare(), "genv_environment_processes_total", eid=shell.eid) == 1


def test_memory_that_is_no_whole_number_of_mib(machine: Machine) -> None:
    gpu = machine.scenario.gpus[2]
    gpu.memory_total, gpu.memory_used = 15360 * MIB + 65536, 12345 * MIB - 1
    pid = machine.process()
    machine.gpu_process(pid, {2: 777 * MIB + 4096, 3: 1, 4: 0})
    seen = machine.compare()

    assert value(seen, "genv_device_memory_used_bytes", index=2) == 12345 * MIB - 1
    assert value(seen, "genv_device_memory_total_bytes", index=2) == 15360 * MIB + 65536
    assert value(seen, "genv_process_used_gpu_memory_bytes", pid=pid, eid="", device=2) == 777 * MIB + 4096
    assert value(seen, "genv_process_used_gpu_memory_bytes", pid=pid, eid="", device=3) == 1


# --- Jupyter kernels ----------------------------------------------------------------------------------------


def test_jupyter_kernels(machine: Machine, jupyter: Path) -> None:
    kernel = "5a3f91c2-8f5e-4f0e-9a53-2f6b6c1d7e10"
    connection = jupyter / "runtime" / f"kernel-{kernel}.json"
    connection.write_text("{}")
    script = "import sys; sys.stdin.read()"
    in_kernel = {"GENV_ENVIRONMENT_ID": f"kernel-{kernel}"}
    pid = machine.process(in_kernel, "/usr/bin/python3", "-c", script, "-f", str(connection))
    write_state(
        machine,
        [environment_entry(f"kernel-{kernel}", [], "jupyter-user", kernel_ids=[kernel])],
        [device_entry(0), device_entry(1, f"kernel-{kernel}")],
    )
    machine.gpu_process(pid, {1: 40 * MIB})
    seen = machine.compare()
    assert value(seen, "genv_environments_total") == 1
    assert value(seen, "genv_environment_processes_total", eid=f"kernel-{kernel}") == 1
    assert value(seen, "genv_user_attached_devices_total", username="jupyter-user") == 1

    connection.unlink()
    machine.leave_gpus(pid)
    machine.end(pid)
    seen = machine.compare()
    assert value(seen, "genv_environments_total") == value(seen, "genv_attached_devices_total") == 0
    assert labels_of(seen, "genv_user_environments_total", "username") == set()


# --- What is in the files -----------------------------------------------------------------------------------


def test_an_environment_without_a_username(machine: Machine, alice: User, bob: User) -> None:
    nameless, _ = machine.activate((alice, "--gpus 1"), (alice, "--gpus 2"))
    machine.gpu_process(nameless.start_process(), {0: MIB})
    edit_environments(machine, username=None)
    machine.activate((bob, "--gpus 1"))
    seen = machine.compare()

    assert value(seen, "genv_environments_total") == 3
    assert labels_of(seen, "genv_user_processes_total", "username") == {bob.name}
    assert value(seen, "genv_attached_devices_total") == 4


def test_a_configuration_of_nothing(machine: Machine, alice: User) -> None:
    (shell,) = machine.activate((alice, "--gpus 2 --gpu-memory 1g --name x"))
    edit_environments(machine, config={"name": None, "gpu_memory": None, "gpus": None})

    assert value(machine.compare(), "genv_environment_attached_devices_total", eid=shell.pid) == 2


def old_device_entry(index: int, eids: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return what genv up to 0.9 wrote of a device, and its key."""
    attached = {eid: {"eid": eid, "gpu_memory": None, "attached": "23/11/2022 17:36:19"} for eid in eids}
    return str(index), {"total_memory": "16384mi", "eids": attached}


def test_files_of_genv_up_to_0_9(machine: Machine) -> None:
    pids = [machine.process({"GENV_ENVIRONMENT_ID": str(eid)}) for eid in range(100, 104)]
    machine.end(pids[3])
    old = [
        {"eid": "100", "uid": 0, "creation": "23/11/2022 17:36:19", "config": {"name": "x"}, "pids": [pids[0]]},
        environment_entry("101", [pids[1], pids[3]], "old"),
        environment_entry("102", [pids[2]], None, config={"name": None, "gpu_memory": "4g"}),
        environment_entry("103", [pids[3]], "gone"),
    ]
    devices = dict(map(old_device_entry, range(4), [("100", "101"), ("103",), ("101",), ()]))
    del devices["0"]["eids"]["100"]["gpu_memory"]
    write_state(machine, {str(entry["eid"]): entry for entry in old}, devices)
    for index, pid in enumerate(pids):
        machine.gpu_process(pid, {index: index * 10 * MIB})
    seen = machine.compare()

    assert value(seen, "genv_environments_total") == 3
    assert value(seen, "genv_attached_devices_total") == 2
    assert value(seen, "genv_user_attached_devices_total", username="old") == 2
    assert value(seen, "genv_environment_processes_total", eid="102") == 1


def test_empty_files_of_either_shape(machine: Machine) -> None:
    write_state(machine, [], [])
    assert value(machine.compare(), "genv_environments_total") == 0

    write_state(machine, {}, {})
    assert value(machine.compare(), "genv_environments_total") == 0


def test_attachments_of_nobody_and_to_devices_that_are_not_there(machine: Machine) -> None:
    pid = machine.process()
    write_state(
        machine,
        [environment_entry("1", [pid], "u")],
        [device_entry(0, "1", "1", "unknown"), device_entry(1, "unknown"), device_entry(40, "1")],
    )
    seen = machine.compare()

    assert value(seen, "genv_attached_devices_total") == 2
    assert value(seen, "genv_environment_attached_devices_total", eid=1) == 2


def test_only_one_of_the_files(machine: Machine) -> None:
    write_state(machine, [environment_entry("1", [machine.process()], "u")], [])
    (machine.state / "devices.json").unlink()
    assert value(machine.compare(), "genv_environments_total") == 1

    write_state(machine, [], [device_entry(0, "1")])
    (machine.state / "envs.json").unlink()
    assert value(machine.compare(), "genv_attached_devices_total") == 0


def test_many_environments_and_processes(machine: Machine) -> None:
    pids = [machine.process({"GENV_ENVIRONMENT_ID": f"env-{number % 60}"}) for number in range(90)]
    write_state(
        machine,
        [environment_entry(f"env-{number}", [pids[number % 90]], f"user-{number % 23}") for number in range(200)],
        [device_entry(index, *(f"env-{number}" for number in range(index, 200, GPUS))) for index in range(GPUS)],
    )
    for number, pid in enumerate(pids):
        machine.gpu_process(pid, {0: number * MIB, 1 + number % (GPUS - 1): 5 * MIB})
    seen = machine.compare()

    assert value(seen, "genv_environments_total") == 200
    assert value(seen, "genv_users_total") == 23
    assert value(seen, "genv_processes_total") == 90


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_random_states(machine: Machine, seed: int) -> None:
    chance = random.Random(seed)
    eids = [f"{chance.randrange(10000)}-{number}" for number in range(chance.randrange(1, 9))]
    claims = [*eids, "", INACTIVE, None]
    live = [_claiming(machine, chance.choice(claims)) for _ in range(chance.randrange(1, 9))]
    dead = [_claiming(machine, chance.choice(claims)) for _ in range(2)]
    for pid in dead:
        machine.end(pid)
    environments = [
        environment_entry(
            eid,
            chance.sample([*live, *dead], chance.randrange(3)),
            chance.choice(["ann", "ben", "cy", None]),
            kernel_ids=chance.choice([[], [], ["of-no-kernel"]]),
        )
        for eid in eids
        if chance.random() < 0.8
    ]
    attached = {index: chance.sample(eids, chance.randrange(len(eids) + 1)) for index in range(GPUS)}
    devices = [device_entry(index, *of_device) for index, of_device in attached.items()]
    chance.shuffle(devices)
    write_state(
        machine,
        {entry["eid"]: entry for entry in environments} if chance.random() < 0.3 else environments,
        dict(map(old_device_entry, attached, attached.values())) if chance.random() < 0.3 else devices,
    )
    for gpu in machine.scenario.gpus:
        gpu.utilization, gpu.memory_used = chance.randrange(101), chance.randrange(gpu.memory_total or 1)
    for pid in {*live, *dead[:1]}:
        on = chance.sample(range(GPUS), chance.randrange(4))
        machine.gpu_process(pid, {index: chance.randrange(1 << 34) for index in on})

    machine.compare()


def _claiming(machine: Machine, eid: str | None) -> int:
    return machine.process({} if eid is None else {"GENV_ENVIRONMENT_ID": eid, "OTHER": "x=y"})


# --- From one state to the next -----------------------------------------------------------------------------


def test_what_vanishes_between_ticks_vanishes(machine: Machine, alice: User, bob: User) -> None:
    first, second = machine.activate((alice, "--gpus 1"), (bob, "--gpus 2"))
    pids = [first.start_process(), second.start_process(), second.start_process()]
    for index, pid in enumerate(pids):
        machine.gpu_process(pid, {index: MIB, index + 1: 2 * MIB})
    before = machine.compare()
    assert labels_of(before, "genv_process_used_gpu_memory_bytes", "pid") == {str(pid) for pid in pids}

    machine.leave_gpus(pids[1])
    kill(pids[1])
    seen = machine.compare()
    assert labels_of(seen, "genv_process_used_gpu_memory_bytes", "pid") == {str(pids[0]), str(pids[2])}
    assert value(seen, "genv_user_processes_total", username=bob.name) == 1

    second.run("genv deactivate")
    machine.leave_gpus(pids[2])
    seen = machine.compare()
    assert labels_of(seen, "genv_environment_processes_total", "eid") == {str(first.pid)}
    assert labels_of(seen, "genv_user_attached_devices_total", "username") == {alice.name}

    machine.leave_gpus(pids[0])
    first.kill()
    assert len(machine.compare().series) == 4 * GPUS + 5


def test_an_environment_comes_back(machine: Machine, alice: User) -> None:
    (shell,) = machine.activate((alice, "--gpus 1 --id again"))
    shell.run("genv deactivate")
    assert value(machine.compare(), "genv_environments_total") == 0

    shell.run("genv activate --gpus 2 --id again")
    assert value(machine.compare(), "genv_environment_attached_devices_total", eid="again") == 2


# --- Where the existing one is not right by the meanings of the metrics, or does not survive ------------------


def test_a_process_that_names_the_environment_of_somebody_else(machine: Machine, alice: User, bob: User) -> None:
    """Theirs counts it for them."""
    (shell,) = machine.activate((alice, "--gpus 1"))
    pid = machine.shell(bob).start_process(f"GENV_ENVIRONMENT_ID={shell.eid}")
    machine.gpu_process(pid, {0: MIB})
    seen = machine.seen_by_ours()

    assert value(seen, "genv_process_devices_total", pid=pid, eid="") == 1
    assert value(seen, "genv_environment_processes_total", eid=shell.eid) == 0
    assert value(seen, "genv_user_processes_total", username=alice.name) == 0
    assert value(seen, "genv_processes_total") == value(seen, "genv_users_total") == 1


def test_a_user_of_a_container_image(machine: Machine, alice: User) -> None:
    """Nothing tells a process that a service of root runs under such a uid from one of that uid's user outside."""
    (shell,) = machine.activate((alice, "--gpus 1"))
    become = ("setpriv", "--reuid=5001", "--regid=5001", "--clear-groups", "sleep", "infinity")
    pid = machine.process({"GENV_ENVIRONMENT_ID": shell.eid, "PATH": os.environ["PATH"]}, *become)
    machine.wait_for_program(pid, "sleep")
    machine.gpu_process(pid, {0: MIB})
    theirs, ours = machine.theirs_and_ours()

    key = series("genv_user_processes_total", username=alice.name)
    assert (theirs.series[key], ours.series[key]) == (1, 0)
    assert value(ours, "genv_process_devices_total", pid=pid, eid="") == 1


def test_an_environment_of_a_user_namespace(machine: Machine, alice: User) -> None:
    """A rootless container: genv writes that it is root's, which everybody can say there."""
    need_user_namespaces()
    shell = machine.shell(alice)
    shell.send("exec unshare --user --map-root-user --pid --fork --mount-proc --kill-child bash --norc --noprofile")
    shell.answer()
    shell.run('export LOGNAME=root; eval "$(genv shell --init)"; genv activate; test "$GENV_ENVIRONMENT_ID" = 1')
    shell.run("sleep infinity </dev/null >/dev/null 2>&1 &")
    pid = wait_for(
        lambda: next((p.pid for p in psutil.Process(shell.pid).children(recursive=True) if p.name() == "sleep"), None),
        "the program in there runs",
    )
    machine.gpu_process(pid, {0: MIB})
    theirs, ours = machine.theirs_and_ours()

    key = series("genv_user_processes_total", username="root")
    assert (theirs.series[key], ours.series[key]) == (1, 0)
    assert value(ours, "genv_process_devices_total", pid=pid, eid="") == 1


@pytest.mark.parametrize("of_root", [True, False])
def test_a_name_of_somebody_else(machine: Machine, alice: User, bob: User, of_root: bool) -> None:
    """As after su, which may leave $LOGNAME as it was: genv takes the name from there. Nothing tells who ran it."""
    shell, name = (machine.shell(None), "root") if of_root else (machine.shell(alice), alice.name)
    shell.run(f"export LOGNAME={bob.name}; genv activate")
    theirs, ours = machine.theirs_and_ours()

    assert labels_of(theirs, "genv_user_environments_total", "username") == {bob.name}
    assert labels_of(ours, "genv_user_environments_total", "username") == {name}


def test_names_that_do_not_fit_into_a_label(machine: Machine, alice: User) -> None:
    """genv takes an identifier of 300 characters as it is; one with a newline has to be written into its file."""
    long, newline, typed = "x" * 300, "job\n1", "job\\n1"
    pids = {name: machine.process({"GENV_ENVIRONMENT_ID": name}) for name in (newline, typed)}
    write_state(machine, [environment_entry(name, [pid], f"user {name}") for name, pid in pids.items()], [])
    for name in ("envs.json", "devices.json"):
        (machine.state / name).chmod(0o666)
    (shell,) = machine.activate((alice, f"--id={long}"))
    for pid in (*pids.values(), shell.start_process()):
        machine.gpu_process(pid, {0: MIB})
    theirs, ours = machine.theirs_and_ours()

    assert labels_of(theirs, "genv_environment_processes_total", "eid") == {long, newline, typed}
    assert labels_of(ours, "genv_environment_processes_total", "eid") == {clean(long), "job\\x0a1", typed}
    for eid in (clean(long), "job\\x0a1", typed):
        assert value(ours, "genv_environment_processes_total", eid=eid) == 1
    assert labels_of(ours, "genv_user_processes_total", "username") == {
        alice.name,
        "user job\\x0a1",
        f"user {typed}",
    }


@pytest.mark.parametrize("name", ["envs.json", "devices.json"])
def test_a_state_file_that_is_a_symbolic_link(machine: Machine, alice: User, tmp_path: Path, name: str) -> None:
    """What it leads to is chosen by whoever made it."""
    machine.activate((alice, "--gpus 1"))
    file = machine.state / name
    shutil.move(file, tmp_path / name)  # perhaps to another file system
    file.symlink_to(tmp_path / name)
    machine.ours.next_metrics(GRACE_TICKS + 2)
    theirs, ours = machine.theirs_and_ours()

    assert value(theirs, "genv_environments_total") == 1
    assert series("genv_environments_total") not in ours.series
    assert value(ours, "genv_is_installed") == 1


def test_a_process_that_leaves_one_of_its_devices(machine: Machine, alice: User) -> None:
    """Theirs keeps the series of that device for as long as the process has any."""
    (shell,) = machine.activate((alice, "--gpus 2"))
    pid = shell.start_process()
    machine.gpu_process(pid, {0: MIB, 1: MIB})
    machine.compare()

    machine.leave_gpus(pid, 1)
    seen = machine.seen_by_ours()

    assert labels_of(seen, "genv_process_used_gpu_memory_bytes", "device") == {"0"}
    assert value(seen, "genv_process_devices_total", pid=pid, eid=shell.eid) == 1


def test_a_process_that_becomes_another_program_with_another_environment(machine: Machine) -> None:
    """Theirs then has the process twice."""
    command = "read line; GENV_ENVIRONMENT_ID=second exec /usr/bin/sleep infinity"
    pid = machine.process({"GENV_ENVIRONMENT_ID": "first"}, "/bin/bash", "-c", command)
    write_state(
        machine, [environment_entry("first", [pid], "u"), environment_entry("second", [pid], "u")], [device_entry(0)]
    )
    machine.gpu_process(pid, {0: MIB})
    assert value(machine.compare(), "genv_environment_processes_total", eid="first") == 1

    machine.tell(pid, "go on")
    machine.wait_for_program(pid, "sleep")
    seen = machine.seen_by_ours()

    assert value(seen, "genv_environment_processes_total", eid="second") == 1
    assert labels_of(seen, "genv_process_devices_total", "eid") == {"second"}


def test_a_process_with_several_contexts_on_a_device(machine: Machine) -> None:
    """As with two MIG devices. Theirs counts two devices and tells the memory of one of the contexts."""
    pid = machine.process()
    machine.scenario.gpus[1].processes = [Process(pid, 30 * MIB), Process(pid, 12 * MIB)]
    seen = machine.seen_by_ours()

    assert value(seen, "genv_process_devices_total", pid=pid, eid="") == 1
    assert value(seen, "genv_process_used_gpu_memory_bytes", pid=pid, eid="", device=1) == 42 * MIB


def test_a_thread_that_has_the_number_of_a_dead_shell_is_no_process(machine: Machine) -> None:
    """Theirs takes the environment for active, as kill(2) finds threads too."""
    script = "import sys, threading; threading.Thread(target=sys.stdin.read).start()"
    pid = machine.process({}, "/usr/bin/python3", "-c", script)
    threads = wait_for(lambda: {int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()} - {pid}, "a thread")
    write_state(machine, [environment_entry("stale", [threads.pop()], "u")], [device_entry(0, "stale")])

    assert value(machine.seen_by_ours(), "genv_environments_total") == 0


def test_a_kernel_is_alive_as_long_as_its_process(machine: Machine, jupyter: Path) -> None:
    """Theirs asks for the file only, and that in the runtime directory of root only."""
    left_behind, elsewhere = "11111111-left-behind", "22222222-of-another-user"
    (jupyter / "runtime" / f"kernel-{left_behind}.json").write_text("{}")
    script = "import sys; sys.stdin.read()"
    machine.process({}, "/usr/bin/python3", "-c", script, "-f", f"/home/u/runtime/kernel-{elsewhere}.json")
    write_state(
        machine,
        [environment_entry(kernel, [], "u", kernel_ids=[kernel]) for kernel in (left_behind, elsewhere)],
        [device_entry(0, left_behind, elsewhere)],
    )

    assert labels_of(machine.seen_by_ours(), "genv_environment_processes_total", "eid") == {elsewhere}


def test_a_broken_file_does_not_hide_that_genv_is_installed(machine: Machine) -> None:
    """Everybody on the machine can break the files; whether genv is installed is not in them."""
    (machine.state / "envs.json").write_text('{"envs": [')

    seen = machine.ours.next_metrics(GRACE_TICKS + 2)

    assert series("genv_environments_total") not in seen
    assert seen[series("genv_is_installed")] == 1


def no_utilization(machine: Machine) -> None:
    machine.scenario.gpus[1].utilization = None


def memory_of_process_not_told(machine: Machine) -> None:
    machine.scenario.gpus[1].processes = [Process(machine.process(), None)]


def process_that_has_ended_but_is_still_listed(machine: Machine) -> None:
    pid = machine.process()
    kill(pid)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    machine.gpu_process(pid, {0: MIB})


def variable_without_equals_sign(machine: Machine) -> None:
    machine.gpu_process(machine.process_with(b"A=b", b"nothing", b"C=d"), {0: MIB})


def environment_that_is_not_utf8(machine: Machine) -> None:
    machine.gpu_process(machine.process({"NAME": os.fsdecode(b"\xff\xfe")}), {0: MIB})


def half_written_file(machine: Machine) -> None:
    (machine.state / "envs.json").write_text('{"envs": [')


def environment_with_an_unknown_field(machine: Machine) -> None:
    write_state(machine, [environment_entry("1", [machine.process()], "u", new_field=1)], [device_entry(0)])


@pytest.mark.parametrize(
    "arrange",
    [
        no_utilization,
        memory_of_process_not_told,
        process_that_has_ended_but_is_still_listed,
        variable_without_equals_sign,
        environment_that_is_not_utf8,
        half_written_file,
        environment_with_an_unknown_field,
    ],
)
def test_states_that_end_the_existing_one(machine: Machine, arrange: Any) -> None:
    """These cannot be compared. Ours goes on, with all that can be known."""
    arrange(machine)
    seen = machine.seen_by_ours()

    assert len([key for key in seen.series if key[0] == "genv_device_temperature"]) == GPUS
    with pytest.raises(RuntimeError, match="genv's own monitor ended"):
        wait_for(lambda: machine.existing.exposition() and None, "it ends")
