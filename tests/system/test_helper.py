"""The helper that reads processes, beside the service in a machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.standin import Gpu, Process
from tests.support.monitor import named
from tests.support.waiting import wait_for
from tests.system.people import activate
from tests.system.service import HELPER, SEALED, SEALED_SOCKET, UNIT, Service

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.machine import Machine

SOCKET = "/run/genv-monitor/processes.sock"

CONNECT = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({SOCKET!r}); print(s.recv(1))"

OLD_UNIT = """
[Unit]
Description=The unit of version 0.1.0, kept by 'systemctl edit --full'
[Service]
Type=notify
ExecStart=/usr/bin/genv-monitor
User=genv-monitor
StateDirectory=genv-monitor
AmbientCapabilities=CAP_SYS_PTRACE CAP_DAC_READ_SEARCH
CapabilityBoundingSet=CAP_SYS_PTRACE CAP_DAC_READ_SEARCH
NoNewPrivileges=yes
"""


@pytest.fixture
def pid(stopped: Service, machine: Machine, nvml_library: Path, sleepers: dict[str, int]) -> int:
    """A GPU process of alice in her environment, on the only GPU."""
    stopped.install_driver(nvml_library)
    scenario = stopped.scenario()
    scenario.gpus = [Gpu("GPU-0", processes=[Process(sleepers["alice"], 2 << 30)])]
    scenario.write()
    activate(machine, "alice", sleepers["alice"])
    return sleepers["alice"]


def eid_of(service: Service, pid: int) -> str | None:
    """Return the environment of a process in the snapshot; None if it is unknown or the process is not there."""
    return next((process["eid"] for process in service.snapshot()["processes"] or () if process["pid"] == pid), None)


def success(service: Service) -> float | None:
    """Return whether the collector of processes succeeds, by its metric."""
    return service.value("genv_monitor_collector_success", collector="processes")


def wait_until_known(service: Service, pid: int) -> None:
    """Wait until the environment of the process is known."""
    wait_for(lambda: success(service) == 1 and eid_of(service, pid) == "4242", "the environment is known")


@pytest.mark.parametrize("units", [(UNIT,), (SEALED_SOCKET, SEALED)])
def test_the_service_starts_it_and_it_has_two_capabilities(
    stopped: Service, machine: Machine, pid: int, units: tuple[str, ...]
) -> None:
    stopped.systemctl("enable", "--now", *units)
    wait_until_known(Service(machine, units[-1]), pid)
    status = machine.run("cat", f"/proc/{Service(machine, HELPER).pid}/status").output
    for name in ("Prm", "Eff", "Bnd", "Amb"):
        assert f"Cap{name}:\t{1 << 2 | 1 << 19:016x}\n" in status
    uid = machine.run("id", "--user", "genv-monitor-processes").output.strip()
    assert f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n" in status


def test_only_the_service_can_ask_it(service: Service, machine: Machine, alice: str, pid: int) -> None:
    wait_until_known(service, pid)
    assert machine.run("stat", "--format=%a %U", SOCKET).output == "600 genv-monitor\n"
    connect = ("/usr/bin/python3", "-I", "-c", CONNECT)
    assert "PermissionError" in machine.run("runuser", "-u", alice, "--", *connect, check=False).errors
    assert machine.run(*connect).output == "b''\n"  # root may open the file
    refused = "refused a connection of the user with the uid 0"
    wait_for(lambda: refused in machine.run("journalctl", f"--unit={HELPER}").output, "it names who was refused")


@pytest.mark.parametrize("signal", ["KILL", "STOP"])
def test_killed_or_stopped_it_comes_back_and_nobody_is_accused(
    stopped: Service, machine: Machine, pid: int, signal: str
) -> None:
    stopped.drop_in("[Service]\nWatchdogSec=3\n", HELPER)
    stopped.systemctl("start", UNIT)
    wait_until_known(stopped, pid)
    helper = Service(machine, HELPER)
    former, deadline = helper.pid, time.monotonic() + 60
    machine.shell(f"kill -{signal} {former}")
    while helper.pid in (0, former) or success(stopped) != 1:
        scraped = stopped.metrics()
        assert not any(named(scraped, "genv_unmanaged_processes").values())
        assert named(scraped, "genv_device_up") and all(named(scraped, "genv_device_up").values())
        assert time.monotonic() < deadline
    wait_until_known(stopped, pid)
    assert stopped.restarts == 0


def test_without_it_the_status_of_the_service_has_the_way_out(stopped: Service, machine: Machine, pid: int) -> None:
    stopped.drop_in("[Service]\nExecStart=\nExecStart=/usr/bin/false\n", HELPER)
    stopped.systemctl("start", UNIT)
    wait_for(lambda: success(stopped) == 0, "the collector fails")
    wait_for(lambda: "see 'systemctl status genv-monitor-processes'" in stopped.log, "the journal says where to look")
    assert named(stopped.metrics(), "genv_device_temperature")


def test_a_unit_of_an_administrator_from_before_needs_no_helper(stopped: Service, machine: Machine, pid: int) -> None:
    machine.write(f"/etc/systemd/system/{UNIT}", OLD_UNIT)
    try:
        stopped.systemctl("daemon-reload")
        stopped.systemctl("start", UNIT)
        wait_until_known(stopped, pid)
        assert not Service(machine, HELPER).active()
    finally:
        stopped.systemctl("stop", UNIT)
        machine.run("rm", f"/etc/systemd/system/{UNIT}")
        stopped.systemctl("daemon-reload")
