"""The units, judged by systemd itself, and what of them holds for the running process."""

from __future__ import annotations

import gzip
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException

import pytest

from tests.support.waiting import wait_for
from tests.system.machine import Machine, Scraper
from tests.system.package import REPOSITORY
from tests.system.service import HELPER, QUICK, SEALED, SEALED_SOCKET, UNIT, Service
from tests.system.trees import on_debian_13, tree

UNITS = REPOSITORY / "systemd"


@pytest.mark.parametrize(("unit", "limit"), [(UNIT, 1.3), (SEALED, 0.9), (HELPER, 1.0)])
def test_systemd_finds_little_exposed(stopped: Service, unit: str, limit: float) -> None:
    report = stopped.machine.run("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    match = re.search(r"Overall exposure level for \S+: ([\d.]+)", report.output)
    assert match and float(match[1]) <= limit, report.output


def test_systemd_finds_nothing_wrong_in_them(stopped: Service) -> None:
    stopped.machine.shell("rm -r /etc/systemd/system/genv-monitor*.d")
    units = [unit.name for unit in UNITS.iterdir()]
    result = stopped.machine.run("systemd-analyze", "verify", *units, check=False)
    assert (result.status, result.output, result.errors) == (0, "", "")


@pytest.mark.parametrize("unit", [UNIT, SEALED])
def test_the_process_may_no_more_than_it_needs(stopped: Service, unit: str) -> None:
    stopped.systemctl("start", unit)
    service = Service(stopped.machine, unit)
    process = f"/proc/{service.pid}"
    status = dict(line.split(":\t", 1) for line in stopped.machine.run("cat", f"{process}/status").output.splitlines())
    names = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    assert {name: status[name] for name in names} == dict.fromkeys(names, f"{0:016x}")
    assert (status["NoNewPrivs"], status["Seccomp"], status["Umask"]) == ("1", "2", "0077")
    uid = stopped.machine.run("id", "--user", "genv-monitor").output.strip()
    assert status["Uid"].split() == [uid] * 4
    assert stopped.machine.run("stat", "--format=%U", "/var/lib/genv-monitor").output == "genv-monitor\n"

    # What systemd is told: a container such as this machine is may have no say in it.
    assert [stopped.show(name, unit) for name in ("OOMScoreAdjust", "MemoryMax")] == ["-500", str(512 << 20)]

    mounts = stopped.machine.run("cat", f"{process}/mounts").output.splitlines()
    options = {line.split()[1]: line.split()[3].split(",") for line in mounts}
    assert "ro" in options["/"] and "rw" in options["/var/lib/genv-monitor"]
    assert "ro" in options["/var/tmp"]
    # Only root can write the programs. systemd-nspawn mounts what is in /run/host, and systemd 257 the last one.
    known = ("/usr/bin/", "/run/host/", f"/sys/fs/cgroup/system.slice/{unit}/memory.pressure")
    written = {path for path, found in options.items() if "rw" in found and not path.startswith(known)}
    assert written == {"/tmp", "/var/lib/genv-monitor"}
    assert written <= {path for path, found in options.items() if "noexec" in found}


def test_only_the_sealed_one_has_no_network(stopped: Service) -> None:
    for unit, sealed in ((UNIT, False), (SEALED, True)):
        stopped.systemctl("start", unit)
        pid = Service(stopped.machine, unit).pid
        own, machines = (stopped.machine.run("readlink", f"/proc/{number}/ns/net").output for number in (pid, 1))
        assert (own != machines) == sealed
        interfaces = stopped.machine.run("cat", f"/proc/{pid}/net/dev").output.splitlines()[2:]
        assert not sealed or [line.split(":")[0].strip() for line in interfaces] == ["lo"]


def test_one_stops_the_other(service: Service, machine: Machine) -> None:
    service.systemctl("start", SEALED)
    sealed = Service(machine, SEALED)
    assert sealed.active() and not service.active()
    assert sealed.get("/-/ready").status == 200
    service.systemctl("start", UNIT)
    assert service.active() and not sealed.active()
    assert sealed.show("ActiveState", SEALED_SOCKET) == "inactive"
    wait_for(lambda: service.get("/-/ready").status == 200, "the first one serves again")


LISTEN = """
import pwd, os, socket, time
os.setuid(pwd.getpwnam("genv-monitor").pw_uid)
with socket.create_server(("127.0.0.1", 8000)):
    print("listening", flush=True)
    time.sleep(1)
"""


@on_debian_13
def test_the_sealed_one_waits_until_the_sockets_of_the_other_are_closed(stopped: Service, machine: Machine) -> None:
    """On a busy machine, systemd can be late with that."""
    with machine.start("/usr/bin/python3", "-c", LISTEN) as late:
        assert late.stdout and late.stdout.readline() == "listening\n"
        stopped.systemctl("start", SEALED)
    assert Service(machine, SEALED).get("/-/ready").status == 200


def enabled(machine: Machine) -> set[str]:
    """Return which units of ours systemd starts at a boot."""
    listed = machine.run("systemctl", "list-unit-files", "--state=enabled", "--plain", "--no-legend", "genv-monitor*")
    return {line.split()[0] for line in listed.output.splitlines()} & {UNIT, SEALED, SEALED_SOCKET}


def test_enabling_one_disables_the_other(stopped: Service, machine: Machine) -> None:
    """As soon as the command returns, so that the next one, right after it, finds what it expects."""
    sealed = Service(machine, SEALED)
    for pair in ([SEALED], [SEALED_SOCKET], [SEALED_SOCKET, SEALED]):
        stopped.systemctl("enable", "--now", *pair)
        first = enabled(machine)
        back = stopped.systemctl("enable", "--now", UNIT)
        assert (first, enabled(machine)) == ({*pair, SEALED_SOCKET}, {UNIT})
        assert stopped.active() and not sealed.active()
        assert "changed on disk" not in back.errors
    for both in ([UNIT, SEALED], [SEALED, UNIT]):  # of which one cancels the other
        stopped.systemctl("enable", "--now", *both, check=False)
        wait_for(lambda: "genv-monitor" not in machine.run("systemctl", "list-jobs").output, "no job is under way")
        assert enabled(machine) in ({UNIT}, {SEALED, SEALED_SOCKET})
    stopped.systemctl("enable", "--now", SEALED)
    assert sealed.active() and not stopped.active()
    machine.reboot()
    assert enabled(machine) == {SEALED, SEALED_SOCKET}
    assert sealed.active() and not stopped.active()


def test_of_two_that_are_enabled_a_boot_starts_the_sealed_one(stopped: Service, machine: Machine) -> None:
    stopped.systemctl("enable", UNIT, SEALED)
    machine.reboot()
    assert enabled(machine) == {SEALED, SEALED_SOCKET}
    assert Service(machine, SEALED).active() and not stopped.active()


def test_starting_one_disables_nothing(stopped: Service, machine: Machine) -> None:
    stopped.systemctl("enable", UNIT)
    stopped.systemctl("start", SEALED)
    assert Service(machine, SEALED).active()
    assert enabled(machine) == {UNIT}


def test_systemd_249_knows_all_settings(trees: None) -> None:
    """Ubuntu 22.04 has that. Since 254 the manual says since which version there is a setting."""
    since: dict[str, int] = {}
    for page in (tree("trixie") / "usr/share/man/man5").glob("systemd.*.5.gz"):
        for entry in re.split(r"\n(?=\\fI\w+=.*\n\.RS 4\n)", gzip.decompress(page.read_bytes()).decode())[1:]:
            names, _, text = entry.partition("\n")
            added = re.search(r"\nAdded in version (\d+)", text)
            for name in re.findall(r"([A-Z]\w+)=", names.replace("\\fI", " ")):
                since.setdefault(name, int(added[1]) if added else 0)
    used = {name for unit in UNITS.iterdir() for name in re.findall(r"^([A-Z]\w+)=", unit.read_text(), re.MULTILINE)}
    assert {name: since.get(name) for name in used if since.get(name, 999) > 249} == {}
    assert since["MemoryZSwapMax"] == 253


def test_a_broken_file_makes_the_sealed_one_not_loop(stopped: Service) -> None:
    stopped.systemctl("enable", "--now", SEALED_SOCKET, SEALED)
    service = Service(stopped.machine, SEALED)
    service.configure("listen:\n  port: ninety\n")
    assert service.systemctl("restart", SEALED, check=False).status != 0
    with pytest.raises(ConnectionRefusedError):  # each connection is one more reason to start it, for a while
        for _ in range(100):
            with suppress(ConnectionResetError, HTTPException):
                service.get("/metrics")
    assert service.log.count("listen.port") <= 20

    service.configure(QUICK)
    service.restart()
    assert service.get("/-/ready").status == 200


def test_the_sealed_one_is_reloaded_without_a_lost_scrape(stopped: Service) -> None:
    stopped.systemctl("enable", "--now", SEALED_SOCKET, SEALED)
    service = Service(stopped.machine, SEALED)
    with Scraper(stopped.machine) as scraper:
        service.configure("collect:\n  interval: 100ms\n")
        service.reload()
        scraper.more()
    assert not scraper.failures
    assert service.restarts == 0


@pytest.mark.parametrize("units", [(UNIT,), (SEALED_SOCKET, SEALED)])
def test_a_restart_loses_no_scrape_and_leaves_the_port_to_nobody(stopped: Service, units: tuple[str, ...]) -> None:
    service = Service(stopped.machine, units[-1])
    stopped.systemctl("enable", "--now", *units)
    assert service.get("/-/ready").status == 200
    pid = service.pid
    with Scraper(stopped.machine) as scraper, taking_the_port(stopped.machine) as taken:
        service.restart()
        scraper.more()
    assert not scraper.failures
    assert not taken
    assert service.active() and service.pid != pid


def test_a_crash_leaves_the_port_to_nobody_and_later_scrapes_wait(service: Service) -> None:
    pid = service.pid
    with taking_the_port(service.machine) as taken:
        service.machine.shell(f"kill -KILL {pid}")
        wait_for(lambda: service.pid != pid, "it has ended")
        assert service.get("/-/ready").status == 200
    assert not taken
    assert service.restarts == 1


def test_a_stop_frees_the_port(service: Service) -> None:
    service.systemctl("stop", UNIT)
    with pytest.raises(ConnectionRefusedError):
        service.get("/metrics")


@contextmanager
def taking_the_port(machine: Machine) -> Iterator[list[str]]:
    """Try all the time to listen on the port, as another user could; yield the addresses that were free."""
    taken: list[str] = []
    done = threading.Event()

    def take() -> None:
        while not done.is_set():
            for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                with suppress(OSError), socket.create_server((address, 8000), family=family):
                    taken.append(address)

    thread = threading.Thread(target=machine.in_network, args=(take,))
    thread.start()
    try:
        yield taken
    finally:
        done.set()
        thread.join()


def test_the_sealed_one_is_started_by_the_first_scrape(stopped: Service) -> None:
    stopped.systemctl("start", SEALED_SOCKET)
    service = Service(stopped.machine, SEALED)
    assert not service.active()
    assert service.get("/metrics").status == 200
    assert service.active()


def test_the_sealed_one_says_who_decides_about_the_port(stopped: Service) -> None:
    service = Service(stopped.machine, SEALED)
    service.systemctl("start", SEALED)
    service.configure("listen:\n  port: 8123\ncollect:\n  interval: 200ms\n")
    service.reload("the socket unit sets them")
    assert service.get("/-/ready").status == 200


def test_the_sealed_one_serves_both_loopback_addresses(stopped: Service) -> None:
    service = Service(stopped.machine, SEALED)
    stopped.systemctl("start", SEALED_SOCKET)
    for host in ("127.0.0.1", "::1"):
        assert stopped.machine.get("/metrics", host=host).status == 200
    for address in ("127.0.0.1", "::1"):
        assert service.value("genv_monitor_listening", address=address) == 1
    published = stopped.machine.run("cat", "/var/lib/genv-monitor/metrics/prometheus/prometheus.yml").output
    assert '"localhost:8000"' in published


@pytest.mark.parametrize("unit", [UNIT, SEALED])
def test_without_ipv6_they_start_all_the_same(stopped: Service, unit: str) -> None:
    setting = "/proc/sys/net/ipv6/conf/lo/disable_ipv6"
    stopped.machine.shell(f"echo 1 >{setting}")
    try:
        stopped.systemctl("start", unit)
        assert stopped.get("/-/ready").status == 200
        published = stopped.machine.run("cat", "/var/lib/genv-monitor/metrics/prometheus/prometheus.yml").output
        assert '"localhost:8000"' in published
    finally:
        stopped.machine.shell(f"echo 0 >{setting}")
        stopped.systemctl("stop", unit, SEALED_SOCKET)


@pytest.mark.parametrize("unit", [UNIT, SEALED])
def test_where_localhost_does_not_resolve_its_address_is_published(stopped: Service, unit: str) -> None:
    """A minimal image may have no /etc/hosts: no Prometheus on this machine could follow the name."""
    stopped.machine.shell("mv /etc/hosts /etc/hosts.away")
    try:
        stopped.systemctl("start", unit)
        published = stopped.machine.run("cat", "/var/lib/genv-monitor/metrics/prometheus/prometheus.yml").output
        assert '"127.0.0.1:8000"' in published and "localhost" not in published
        service = Service(stopped.machine, unit)
        for address in ("127.0.0.1", "::1"):
            assert service.value("genv_monitor_listening", address=address) == 1
    finally:
        stopped.machine.shell("mv /etc/hosts.away /etc/hosts")
        stopped.systemctl("stop", unit, SEALED_SOCKET)
