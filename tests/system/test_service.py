"""The service: started, asked, reloaded, hurt, and found working."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path

import pytest

from tests.standin import Gpu, Process
from tests.support.certificates import issue, trusting
from tests.support.monitor import series
from tests.support.waiting import wait_for
from tests.system.machine import Machine, Scraper
from tests.system.people import activate
from tests.system.service import CONFIGURATION, ERROR, GENV_STATE, INFO, QUICK, STATE, UNIT, WARNING, Service
from tests.system.trees import on_debian_13

SUCCESSFUL = "genv_monitor_config_last_reload_successful"
BROKEN = "listen:\n  port: ninety\n"


def up(service: Service) -> bool:
    """Tell whether it is ready, in systemd's eyes and in those of a scraper."""
    return service.active() and service.get("/-/ready").status == 200


# --- Start and stop --------------------------------------------------------------------------------------------


def test_it_is_ready_only_after_the_first_collection(stopped: Service, nvml_library: Path) -> None:
    stopped.install_driver(nvml_library)
    scenario = stopped.scenario()
    scenario.hangs["*"] = 600_000
    scenario.write()
    stopped.configure("collect:\n  interval: 3s\n  timeout: 3s\n")

    stopped.systemctl("start", "--no-block", UNIT)
    wait_for(lambda: stopped.get("/-/ready").status == 503, "it serves and is not ready")
    assert stopped.show("ActiveState") == "activating"
    wait_for(lambda: stopped.show("ActiveState") != "activating", "it is started")
    assert up(stopped)
    assert stopped.collections() >= 1


def test_it_starts_with_the_machine(service: Service, machine: Machine) -> None:
    service.systemctl("enable", UNIT)
    service.configure(QUICK)
    machine.reboot()
    after = Service(machine)
    assert up(after)
    assert after.restarts == 0
    assert machine.run("readlink", f"{GENV_STATE}/metrics").output == f"{STATE}/metrics\n"


def test_it_stops_quickly_and_says_so(service: Service) -> None:
    with Scraper(service.machine):
        started = time.monotonic()
        service.systemctl("stop", UNIT)
        assert time.monotonic() - started < 2
    assert (service.show("Result"), service.show("ExecMainStatus")) == ("success", "0")
    assert "SIGTERM: stopping" in service.log


def test_it_may_be_restarted_again_and_again(service: Service) -> None:
    """An operator who tries out settings, or a tool, restarts more often than a service in trouble may."""
    for _ in range(12):
        service.systemctl("restart", UNIT)
    assert up(service)


# --- What it tells ---------------------------------------------------------------------------------------------


def test_the_journal_tells_what_goes_on(service: Service, machine: Machine) -> None:
    entries = service.journal
    texts = {text: priority for priority, text in entries}
    (serving,) = (text for text in texts if text.startswith("serving metrics at http://localhost:8000/metrics"))
    (driver,) = (text for text in texts if "no NVIDIA driver" in text)
    assert (texts[serving], texts[driver]) == (INFO, WARNING)
    assert not any(re.match(r"<\d>|\d{4}-", text) for text in texts)

    shown = machine.run("journalctl", "--no-pager", "-p", "warning", "-u", "genv-monitor").output
    assert driver in shown and serving not in shown


@on_debian_13
def test_the_status_line_follows_what_happens(service: Service, nvml_library: Path) -> None:
    assert 'Status: "GPUs unknown' in service.status
    assert "nvml" in service.status
    service.install_driver(nvml_library)
    scenario = service.scenario()
    scenario.gpus = [Gpu("GPU-0"), Gpu("GPU-1")]
    scenario.write()
    pattern = r'Status: "2 GPUs, 0 environments, 0 users; last collection \d+ ms"'
    wait_for(lambda: re.search(pattern, service.status), "the status line has the GPUs")


def test_published_files_can_be_read_by_those_who_need_them(service: Service, machine: Machine, alice: str) -> None:
    listed = machine.shell(f"cd {STATE}/metrics && find . -type f | sort").output.split()
    assert {"./prometheus/prometheus.yml", "./grafana/grafana.ini", "./grafana/dashboards/overview.json"} <= {*listed}
    assert machine.run("stat", "--format=%U", f"{GENV_STATE}/metrics/prometheus").output == "genv-monitor\n"
    for path in listed:
        machine.run("runuser", "-u", alice, "--", "cat", f"{GENV_STATE}/metrics/{path}")
    assert machine.run("runuser", "-u", alice, "--", "touch", f"{STATE}/metrics/x", check=False).status != 0


# --- Its configuration -----------------------------------------------------------------------------------------


def test_a_reload_applies_the_file_and_loses_no_scrape(service: Service) -> None:
    service.configure("collect:\n  interval: 1h\n")
    service.reload()
    pid = service.pid
    with Scraper(service.machine) as scraper:
        scraper.more()
        service.configure("collect:\n  interval: 100ms\nlogging:\n  level: warning\n")
        before = service.collections()
        service.systemctl("reload", UNIT)
        wait_for(lambda: service.collections() > before + 5, "it collects more often")
        service.configure("collect:\n  interval: 100ms\nlogging:\n  level: info\n")
        service.reload()
        scraper.more()
    assert scraper.scrapes > 40 and not scraper.failures
    assert service.pid == pid
    assert service.log.count("configuration reloaded") == 2  # not that with the level warning
    assert service.value(SUCCESSFUL) == 1


def test_a_reload_goes_to_another_port_without_a_lost_scrape(service: Service) -> None:
    with Scraper(service.machine, ports=(8000, 8001)) as scraper:
        service.configure("listen:\n  port: 8001\n" + QUICK)
        service.reload()
        scraper.more()
    assert not scraper.failures
    with pytest.raises(ConnectionRefusedError):
        service.get("/metrics")
    published = service.machine.run("cat", f"{STATE}/metrics/prometheus/prometheus.yml").output
    assert "localhost:8001" in published and "localhost:8000" not in published


def test_a_broken_file_changes_nothing_in_a_reload(service: Service) -> None:
    pid = service.pid
    with Scraper(service.machine) as scraper:
        service.configure(BROKEN)
        assert service.systemctl("reload", UNIT, check=False).status != 0
        wait_for(lambda: service.value(SUCCESSFUL) == 0, "the metric tells")
        scraper.more()
    assert not scraper.failures
    assert up(service) and service.pid == pid
    # The reload says it, and then the service.
    (said,) = {(priority, text) for priority, text in service.journal if text.startswith(CONFIGURATION)}
    assert said[0] == ERROR and said[1].startswith(f"{CONFIGURATION}:2: listen.port: ")

    service.configure(QUICK)
    service.reload()
    wait_for(lambda: service.value(SUCCESSFUL) == 1, "the metric tells")


def test_a_reload_checks_what_the_service_reads(service: Service, machine: Machine) -> None:
    assert machine.run("sh", "-c", "test -e /bin/kill", check=False).status != 0, "there is no procps"
    machine.write("/etc/genv/other.yaml", QUICK)
    machine.write("/etc/genv/web.yml", "rate_limit: {interval: 0}\n")
    options = "-c other.yaml --port 8001"
    service.drop_in(f"[Service]\nExecStart=\nExecStart=/usr/bin/genv-monitor {options}\nWorkingDirectory=/etc/genv\n")
    service.restart()
    service.configure(BROKEN)  # which it does not read
    service.reload()
    for name, broken, said in (
        ("other.yaml", BROKEN, "other.yaml:2: listen.port: "),
        ("web.yml", "x: y\n", "/etc/genv/web.yml:1: x: unknown key"),
    ):
        machine.write("/etc/genv/other.yaml", QUICK + "listen: {web_config_file: /etc/genv/web.yml}\n")
        service.reload()
        machine.write(f"/etc/genv/{name}", broken)
        done = service.systemctl("reload", UNIT, check=False)
        assert done.status != 0
        assert said in service.log
        assert service.active()
        wait_for(lambda: service.metrics(8001)[series(SUCCESSFUL)] == 0, "the metric tells")
    machine.write("/etc/genv/web.yml", "")
    service.reload()


@on_debian_13
def test_x25519_is_served_and_whatever_is_in_a_certificate_the_service_goes_on(
    service: Service, machine: Machine, tmp_path: Path
) -> None:
    made = issue(tmp_path, "server")
    machine.copy(made.certificate, "/etc/genv/server.pem")
    machine.copy(made.key, "/etc/genv/server.key")
    files = "cert_file: server.pem, key_file: server.key"
    machine.write("/etc/genv/web.yml", f"tls_server_config: {{{files}, curve_preferences: [X25519]}}\n")
    service.configure(QUICK + "listen: {web_config_file: /etc/genv/web.yml}\n")
    checked = machine.run("genv-monitor", "check", check=False)
    assert checked.status == 0
    assert "Traceback" not in checked.errors
    service.reload()
    context = trusting(made)
    context.set_ecdh_curve("X25519")

    def ask() -> bytes:
        with (
            socket.create_connection(("127.0.0.1", 8000), 20) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            secure.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            return b"".join(iter(lambda: secure.recv(65536), b""))

    certificate = b"genv_monitor_certificate_not_after_timestamp_seconds"
    wait_for(lambda: certificate in machine.in_network(ask), "a collection after the reload tells of it")
    for curves in ("[CurveP384, CurveP521]", "[CurveP384, CurveP521, x]"):
        machine.write("/etc/genv/web.yml", f"tls_server_config: {{{files}, curve_preferences: {curves}}}\n")
        wait_for(lambda: f"{SUCCESSFUL} 0".encode() in machine.in_network(ask), "it goes on and tells")
        assert service.systemctl("reload", UNIT, check=False).status != 0
        assert service.active()
        checked = machine.run("genv-monitor", "check", check=False)
        assert checked.status == 2
        assert checked.errors.splitlines()[1:] == ["configuration invalid: 1 problem"]
    assert "Traceback" not in service.log


def test_with_a_broken_file_it_does_not_start_and_does_not_try_again(service: Service) -> None:
    service.configure(BROKEN)
    assert service.systemctl("restart", UNIT, check=False).status != 0
    assert (service.show("ActiveState"), service.show("SubState")) == ("failed", "failed")
    assert (service.show("ExecMainStatus"), service.restarts) == ("2", 0)
    assert f"{CONFIGURATION}:2: listen.port: " in service.status

    service.configure(QUICK)
    service.systemctl("start", UNIT)
    assert up(service)


def test_a_taken_port_is_named_and_waited_for(stopped: Service) -> None:
    script = (  # on all addresses, those of IPv6 too
        "import os, socket, time; s = socket.create_server(('::', 8000), family=socket.AF_INET6, dualstack_ipv6=True);"
        "open('/run/other', 'w').write(str(os.getpid())); time.sleep(600)"
    )
    other = stopped.machine.start("python3", "-c", script)
    wait_for(lambda: stopped.machine.exists("/run/other"), "another program has the port")
    stopped.systemctl("start", UNIT, check=False)
    said = "cannot listen on localhost port 8000"
    assert (ERROR, said) in [(priority, text[: len(said)]) for priority, text in stopped.journal]
    wait_for(lambda: stopped.restarts >= 1, "it is tried again")
    stopped.machine.shell("kill $(cat /run/other); rm /run/other")
    other.communicate()
    wait_for(lambda: up(stopped), "it runs once the port is free")


# --- Whom and what it sees ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [UNIT, "genv-monitor-sealed.service"])
def test_it_sees_whose_processes_compute_where(
    stopped: Service, nvml_library: Path, sleepers: dict[str, int], unit: str
) -> None:
    service = Service(stopped.machine, unit)
    service.install_driver(nvml_library)
    scenario = service.scenario()
    in_environment, outside = sleepers["alice"], sleepers["bob"]
    scenario.gpus = [
        Gpu("GPU-0", temperature=41, processes=[Process(outside, 3 << 30)]),
        Gpu("GPU-1", temperature=52, processes=[Process(in_environment, 2 << 30), Process(outside, 1 << 30)]),
    ]
    scenario.write()
    activate(service.machine, "alice", in_environment)
    service.systemctl("start", unit)

    expected = {
        series("genv_device_temperature", index=0): 41,
        series("genv_device_temperature", index=1): 52,
        series("genv_processes_total"): 2,
        series("genv_process_devices_total", pid=in_environment, eid="4242"): 1,
        series("genv_process_devices_total", pid=outside, eid=""): 2,
        series("genv_process_used_gpu_memory_bytes", pid=in_environment, eid="4242", device=1): 2 << 30,
        series("genv_environment_processes_total", eid="4242"): 1,
        series("genv_environment_attached_devices_total", eid="4242"): 1,
        series("genv_user_environments_total", username="alice"): 1,
        series("genv_user_processes_total", username="alice"): 1,
        series("genv_user_attached_devices_total", username="alice"): 1,
    }
    wait_for(lambda: expected.items() <= service.metrics().items(), "the metrics tell all of it")
    usernames = {process["pid"]: process["username"] for process in service.snapshot()["processes"]}
    assert usernames == {in_environment: "alice", outside: "bob"}
    assert 'Status: "2 GPUs, 1 environment, 1 user;' in service.status


def test_genvs_state_directory_is_for_everybody_and_is_not_cleaned_by_age(
    service: Service, machine: Machine, alice: str, bob: str
) -> None:
    activate(machine, alice, 1)
    activate(machine, bob, 1)  # over what the other one made
    # A rule of the machine that all that is in /var/tmp is too old at once.
    machine.write("/etc/tmpfiles.d/tmp.conf", "q /var/tmp 1777 root root 0\n")
    machine.write("/var/tmp/other", "")
    machine.run("systemd-tmpfiles", "--clean", check=False)
    machine.shell("rm /etc/tmpfiles.d/tmp.conf")
    assert not machine.exists("/var/tmp/other")
    assert machine.shell("ls -A /var/tmp/genv").output.split() == ["devices.json", "envs.json", "genv.lock", "metrics"]


def test_genvs_state_directory_may_go_and_come_back(
    service: Service, machine: Machine, alice: str, sleepers: dict[str, int]
) -> None:
    for _ in range(2):
        machine.shell("rm -r /var/tmp/genv")
        service.collect()
        assert service.value("genv_environments_total") == 0
        activate(machine, alice, sleepers[alice])
        wait_for(lambda: service.value("genv_user_environments_total", username=alice), "her environment is seen")


@on_debian_13
def test_a_driver_that_is_installed_later_is_picked_up(service: Service, nvml_library: Path) -> None:
    service.collect()
    assert service.value("genv_monitor_collector_success", collector="nvml") == 0
    pid = service.pid
    service.install_driver(nvml_library)
    wait_for(lambda: "driver is not loaded" in service.log, "the library is there, the driver not yet")
    scenario = service.scenario()
    scenario.gpus = [Gpu("GPU-0", temperature=44)]
    scenario.write()
    wait_for(lambda: service.value("genv_device_temperature", index=0) == 44, "the device is seen")
    assert service.pid == pid
    assert service.log.count("no NVIDIA driver") == 1


@on_debian_13
def test_a_driver_device_that_comes_later_makes_it_start_again_once(service: Service, machine: Machine) -> None:
    service.collect()
    machine.run("mknod", "--mode=666", "/dev/nvidiactl", "c", "195", "255")
    wait_for(lambda: service.restarts == 1 and up(service), "it was started again")
    assert "status=75" in service.log
    assert (WARNING, "an NVIDIA driver was loaded") in [(priority, text[:27]) for priority, text in service.journal]
    pid = service.pid
    service.collect(10)
    assert (service.restarts, service.pid) == (1, pid)


@on_debian_13
def test_an_upgraded_driver_gets_a_new_process_once(service: Service, nvml_library: Path) -> None:
    service.install_driver(nvml_library)
    scenario = service.scenario()
    scenario.gpus = [Gpu("GPU-0", temperature=40)]
    scenario.write()
    wait_for(lambda: service.value("genv_driver_state", state="ok") == 1, "the driver works")
    scenario.errors = {"*": 18}  # the library does not fit the kernel module any more
    scenario.write()
    wait_for(lambda: service.restarts == 1 and up(service), "it was started again")
    wait_for(lambda: service.value("genv_driver_state", state="mismatch") == 1, "the new process says what differs")
    pid = service.pid
    service.collect(10)
    assert (service.restarts, service.pid) == (1, pid)
    assert "restart the machine" in service.log
    scenario.errors = {}
    scenario.write()
    wait_for(lambda: service.value("genv_device_temperature", index=0) == 40, "the driver works again")


# --- What hurts ----------------------------------------------------------------------------------------------------


def test_killed_it_is_back(service: Service, machine: Machine) -> None:
    pid = service.pid
    machine.shell(f"kill -KILL {pid}")
    wait_for(lambda: service.pid not in (0, pid) and up(service), "it is back", 10)
    assert service.restarts == 1


def test_the_watchdog_ends_what_stands_still(service: Service, machine: Machine) -> None:
    service.drop_in("[Service]\nWatchdogSec=3\n")
    service.restart()
    pid = service.pid
    machine.shell(f"kill -STOP {pid}")
    wait_for(lambda: service.pid not in (0, pid) and up(service), "it is back")
    assert service.restarts == 1
    assert "Watchdog timeout" in service.log


@on_debian_13
def test_a_hanging_driver_costs_nothing_else(service: Service, nvml_library: Path, sleepers: dict[str, int]) -> None:
    service.install_driver(nvml_library)
    scenario = service.scenario()
    scenario.gpus = [Gpu("GPU-0", temperature=40)]
    scenario.write()
    activate(service.machine, "alice", sleepers["alice"])
    service.drop_in("[Service]\nWatchdogSec=3\n")
    service.configure("collect:\n  interval: 1s\n  timeout: 500ms\n")
    service.restart()
    pid = service.pid
    assert service.value("genv_device_temperature", index=0) == 40

    scenario.hangs["*"] = 600_000
    scenario.write()
    wait_for(lambda: service.value("genv_monitor_collector_success", collector="nvml") == 0, "the hang is told")
    service.collect(7)  # more than twice the watchdog's time
    found = service.metrics()
    assert found[series("genv_monitor_collector_success", collector="genv")] == 1
    assert found[series("genv_user_environments_total", username="alice")] == 1
    assert series("genv_device_temperature", index=0) not in found
    assert found[series("genv_driver_state", state="hung")] == 1
    assert (service.pid, service.restarts) == (pid, 0)
    assert "no answer from nvml" in service.status

    scenario.hangs.clear()
    scenario.write()
    wait_for(lambda: service.value("genv_device_temperature", index=0) == 40, "the driver answers again")

    scenario.hangs["*"] = 600_000
    scenario.write()
    wait_for(lambda: service.value("genv_monitor_collector_success", collector="nvml") == 0, "it hangs again")
    started = time.monotonic()
    service.systemctl("stop", UNIT)
    assert time.monotonic() - started < 2
    assert (service.show("Result"), service.show("ExecMainStatus")) == ("success", "0")


@on_debian_13
def test_a_full_disk_is_told_and_survived(stopped: Service, machine: Machine) -> None:
    machine.shell(f"mkdir -p {STATE} && mount -t tmpfs -o size=4m tmpfs {STATE}")
    try:
        machine.shell(f"head --bytes=8M /dev/zero >{STATE}/filler || :")
        stopped.systemctl("start", UNIT)
        stopped.collect()
        (said,) = ((priority, text) for priority, text in stopped.journal if "No space left on device" in text)
        assert said[0] == ERROR and STATE in said[1]
        assert up(stopped)

        assert stopped.value("genv_monitor_publish_success") == 0

        with Scraper(machine) as scraper:
            machine.shell(f"rm {STATE}/filler")
            wait_for(lambda: stopped.value("genv_monitor_publish_success") == 1, "it is published by itself")
        assert not scraper.failures
        assert machine.exists(f"{STATE}/metrics/prometheus/prometheus.yml")
        assert stopped.log.count("No space left on device") == 1
        stopped.systemctl("stop", UNIT)
    finally:
        machine.run("umount", "--lazy", STATE)


def test_a_directory_elsewhere_has_to_be_given_to_it(stopped: Service, machine: Machine) -> None:
    machine.shell("mkdir -m 700 /srv/own && chown genv-monitor: /srv/own")
    try:
        stopped.configure(f"{QUICK}publish: {{directory: /srv/own/metrics}}\nledger: {{directory: /srv/own}}\n")
        stopped.systemctl("start", UNIT)
        wait_for(lambda: stopped.value("genv_monitor_ledger_write_success") == 0, "the ledger cannot be written")
        assert stopped.value("genv_monitor_publish_success") == 0
        assert stopped.log.count("Read-only file system") == 2

        stopped.drop_in("[Service]\nReadWritePaths=/srv/own\n")
        stopped.restart()
        wait_for(lambda: stopped.value("genv_monitor_ledger_write_success") == 1, "the ledger is written")
        assert stopped.value("genv_monitor_publish_success") == 1
        assert machine.exists("/srv/own/metrics/grafana/grafana.ini")
        stopped.systemctl("stop", UNIT)
    finally:
        machine.shell("rm -r /srv/own")
