"""What somebody who has taken over the service can do: tried in the sandbox of each unit, and without one to compare.

The attempts are in ``probe.py``. SECURITY.md names this test.
"""

from __future__ import annotations

import fcntl
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import wait_for
from tests.system import probe
from tests.system.machine import Machine
from tests.system.people import user
from tests.system.service import GENV_STATE, HELPER, SEALED, STATE, UNIT, Service

PROGRAM = "/opt/attempts/probe.py"
LAUNCHER = "/opt/attempts/like_the_helper.py"
SECRET = "/srv/genv-monitor-secret"

# Nothing of this reaches the machine, or another user.
HARMLESS = {"write in /tmp", "write in its own directory", "open /dev/ptmx"}

# Sockets in the file system are open to those to whom their files are.
LOCAL = {"send a message to a socket of the machine", "pass an open file"}

# The helper may read everything, and nothing else.
READING = {
    *("read the machine through the first process", "read the machine through another user's process"),
    *("read variables of the first process", "read variables of another user's process"),
    *("read memory of another user's process", "see the files of another user's process"),
    *("see that another user's process exists", "read the passwords", "read another user's file"),
}

ALLOWED = {UNIT: HARMLESS | LOCAL | {"IPv4", "IPv6"}, SEALED: HARMLESS | LOCAL, HELPER: READING}
"""All that is not refused."""

LIKE_THE_HELPER = """
import ctypes, mmap, platform, runpy, shutil, signal, socket, sys
sys.path.insert(0, "/usr/share/genv-monitor")
from genvd.common.system_calls import forbid_connections, forbid_execution, forbid_writing
assert forbid_writing() and forbid_connections() and forbid_execution()
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a program with what the helper forbids itself as soon as it serves."""

PORTS, ADDRESSES = "bind a UDP port", "reach the metadata of a cloud"
"""Refused in :data:`UNIT` by SocketBindDeny= and IPAddressDeny=, where systemd can load the programs for them."""

NOT_COMPARED = {
    *("write settings of devices", "write settings of the kernel", "write in /sys"),
    *("sockets of the kernel's cryptography", "sockets to a hypervisor"),
}
"""What a container, such as the machine of the tests, may refuse to root too; further system calls and devices."""

_SIOCSIFADDR = 0x8916
"""Sets the address of an interface (netdevice(7))."""


def outcomes(lines: list[str]) -> dict[str, str]:
    """Return what became of each attempt."""
    found = [re.fullmatch(r"(.+): (allowed|refused) ?(\(.*\))?", line) for line in lines]
    return {match[1]: match[2] for match in found if match}


def allowed(results: dict[str, str]) -> set[str]:
    """Return the attempts that succeeded."""
    return {name for name, outcome in results.items() if outcome == "allowed"}


@pytest.fixture
def prepared(stopped: Service, machine: Machine) -> Iterator[list[str]]:
    """The command line of the probe, with another user's process and file."""
    name = user(machine, "alice")
    machine.write(PROGRAM, Path(probe.__file__).read_text())
    machine.write(LAUNCHER, LIKE_THE_HELPER)
    machine.run("chmod", "777", str(Path(PROGRAM).parent))
    machine.run("mkdir", "-p", STATE)  # systemd makes it with the first start, which there was perhaps none of
    machine.shell(f'printf x >"$1"; chmod 600 "$1"; chown {name} "$1"', SECRET)
    machine.in_network(_give_metadata_address)
    process = machine.start("runuser", "-u", name, "--", "sh", "-c", "echo $$; exec sleep infinity")
    assert process.stdout
    pid = process.stdout.readline().strip()
    yield ["/usr/bin/python3", "-I", PROGRAM, STATE, pid, SECRET]
    machine.shell(f"kill -KILL {pid}; rm -r {SECRET} {Path(PROGRAM).parent}")
    process.communicate()


def _give_metadata_address() -> None:
    """Give the machine the address where clouds serve credentials, so that connections to it are not just lost."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        address = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(probe.METADATA))
        fcntl.ioctl(one, _SIOCSIFADDR, struct.pack("16s16s8x", b"lo:probe", address))


def in_sandbox(service: Service, command: list[str]) -> dict[str, str]:
    """Run the probe in place of the service."""
    service.drop_in(
        f"[Service]\nType=oneshot\nRestart=no\nRestartForceExitStatus=\nExecStart=\nExecStart={' '.join(command)}\n"
    )
    service.systemctl("start", service.unit)
    wait_for(lambda: "all attempts are made" in service.log, "all attempts are made")
    return outcomes(service.log.splitlines())


@pytest.mark.parametrize("unit", [UNIT, SEALED, HELPER])
def test_what_must_be_refused_is_refused(stopped: Service, machine: Machine, prepared: list[str], unit: str) -> None:
    state, pid, secret = prepared[-3:]
    if unit == HELPER:
        prepared.insert(prepared.index(PROGRAM), LAUNCHER)
    results = in_sandbox(Service(machine, unit), prepared)
    assert results.keys() == probe.attempts(state, int(pid), secret).keys()
    assert allowed(results) - (unsupported(machine) if unit == UNIT else set()) == ALLOWED[unit]
    for directory in (
        "",
        "/dev",
        "/dev/shm",
        "/etc",
        "/home",
        "/run",
        "/run/lock",
        "/tmp",
        "/usr",
        "/var/tmp",
        GENV_STATE,
    ):
        assert not machine.exists(f"{directory}/{probe.MARK}")


def unsupported(machine: Machine) -> set[str]:
    """Return the attempts that systemd cannot refuse in this machine, as it says itself."""
    found = set()
    library = machine.run("sh", "-c", "ls /usr/lib/*/libbpf.so.1", check=False).status == 0
    if not library or "+BPF_FRAMEWORK" not in machine.run("systemctl", "--version").output:
        found.add(PORTS)
    if any("does not support BPF/cgroup firewalling" in str(entry["MESSAGE"]) for entry in machine.journal("--boot")):
        found.add(ADDRESSES)
    return found


def test_the_probe_succeeds_without_a_sandbox(stopped: Service, machine: Machine, prepared: list[str]) -> None:
    """Otherwise a refusal would prove nothing."""
    try:
        results = outcomes(machine.run(*prepared).output.splitlines())
    finally:
        machine.shell(f"rm -f /{probe.MARK} /*/{probe.MARK} /*/*/{probe.MARK} /*/*/*/{probe.MARK}")
    compared = {name for name in results if not name.startswith(("call ", "open /dev/"))} - NOT_COMPARED
    assert compared - allowed(results) == set()
    assert {"call mount", "call ptrace", "call memfd_create", "call process_vm_readv"} <= allowed(results)
