"""Listening on both loopback addresses, and the published target if another program uses one of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.test_service import LAST_RELOAD, configure, reload, scraped, service
from tests.integration.test_web_config import TLS, install, made  # noqa: F401
from tests.support.certificates import Certificate, trusting
from tests.support.manager import Manager
from tests.support.monitor import PROGRAM, Monitor, series
from tests.support.needs import need, need_command, need_root, published_host
from tests.support.ports import free_port
from tests.support.waiting import wait_for

BOTH = {"127.0.0.1": 1.0, "::1": 1.0}


@pytest.fixture(autouse=True)
def ipv6() -> None:
    with closing(socket.socket(socket.AF_INET6)) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            need(False, "needs IPv6", optional=True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "monitor.yaml"


def published(directory: Path) -> Any:
    (job,) = yaml.safe_load((directory / "published/prometheus/prometheus.yml").read_text())["scrape_configs"]
    return job


def target(directory: Path) -> str:
    ((found,),) = (one["targets"] for one in published(directory)["static_configs"])
    return str(found)


def listening(monitor: Monitor) -> dict[str, float]:
    values = {address: monitor.metrics().get(series("genv_monitor_listening", address=address)) for address in BOTH}
    return {address: value for address, value in values.items() if value is not None}


def complaints(monitor: Monitor) -> list[str]:
    return [line for line in monitor.complaints if "everything shown is simulated" not in line]


def holder(address: str, port: int) -> socket.socket:
    """Another program that listens there."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, port), family=family)


def answers(monitor: Monitor) -> list[str]:
    """Return the loopback addresses that answer."""
    found = []
    for address in BOTH:
        monitor.host = address
        try:
            monitor.get("/-/healthy")
        except OSError:
            continue
        found.append(address)
    return found


def with_hosts(content: str, directory: Path) -> list[str | Path]:
    """Return the command for a program with another /etc/hosts."""
    need_root("changes /etc/hosts for one process")
    unshare = need_command("unshare", "util-linux")
    need(subprocess.run([unshare, "--mount", "true"], check=False).returncode == 0, "needs mounts of its own")
    need(Path("/etc/hosts").exists(), "needs /etc/hosts: apt install netbase")
    hosts = directory / "hosts"
    hosts.write_text(content)
    switch = directory / "nsswitch.conf"
    switch.write_text("hosts: files\n")  # else the name may be known without the file
    script = (
        f'mount --bind "{hosts}" /etc/hosts;'
        f' if [ -e /etc/nsswitch.conf ]; then mount --bind "{switch}" /etc/nsswitch.conf; fi; exec "$@"'
    )
    return [unshare, "--mount", "--propagation", "private", "sh", "-euc", script, "sh", PROGRAM]


def test_both_loopback_addresses_are_served_by_one_port(tmp_path: Path) -> None:
    with Monitor(["--demo", "--config-dir", tmp_path / "published"]) as monitor:
        assert listening(monitor) == BOTH
        assert answers(monitor) == list(BOTH)
        assert target(tmp_path) == f"{published_host()}:{monitor.port}"
        assert f"serving metrics at http://{published_host()}:{monitor.port}/metrics" in monitor.log
        assert complaints(monitor) == []
        for address in BOTH:
            with pytest.raises(OSError, match="in use"):
                holder(address, monitor.port)
        monitor.stop()


@pytest.mark.parametrize(
    ("held", "served", "named"), [("::1", "127.0.0.1", "127.0.0.1"), ("127.0.0.1", "::1", "[::1]")]
)
def test_if_one_address_is_held_the_other_is_published(
    manager: Manager, file: Path, held: str, served: str, named: str
) -> None:
    port = free_port()
    configure(file, port, address="localhost")
    with ExitStack() as stack:
        other = stack.enter_context(closing(holder(held, port)))
        monitor = service(manager, file, "--demo")
        monitor.host = served
        stack.enter_context(monitor)
        assert target(file.parent) == f"{named}:{port}"
        assert listening(monitor) == {held: 0.0, served: 1.0}
        (said,) = complaints(monitor)
        assert f"{held} port {port} is held by another program" in said
        assert f"{named}:{port} is published" in said
        wait_for(lambda: manager.said(rf"^STATUS=.*another program holds {held}"), "systemctl status shows it")

        reload(monitor, manager)  # nothing has changed
        failures = stack.enter_context(scraped(monitor))
        other.close()
        reload(monitor, manager)
        wait_for(lambda: listening(monitor) == BOTH, "both are served")
        assert target(file.parent) == f"{published_host()}:{port}"
        assert failures == []
        assert answers(monitor) == list(BOTH)


def test_it_does_not_start_if_both_addresses_are_held(tmp_path: Path) -> None:
    port = free_port()
    with closing(holder("127.0.0.1", port)), closing(holder("::1", port)):
        command: list[str | Path] = [PROGRAM, "--demo", "--config-dir", tmp_path, "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert f"cannot listen on localhost port {port}: another program uses it; stop it, or choose another port" in line


HOSTS = [
    ("127.0.0.1 localhost\n::1 localhost\n", "localhost", "localhost"),
    ("::1 localhost\n", "localhost", "localhost"),
    ("127.0.0.1 localhost\n192.0.2.7 localhost\n", "localhost", "127.0.0.1"),
    ("127.0.0.9 localhost\n", "localhost", "127.0.0.1"),
    ("127.0.0.1 gpu1\n", "localhost", "127.0.0.1"),
    ("", "localhost", "127.0.0.1"),
    ("", "::", "[::1]"),
    ("192.0.2.7 localhost\n", "0.0.0.0", "127.0.0.1"),
    ("127.0.0.1 localhost\n::1 localhost\n", "127.0.0.1", "127.0.0.1"),
    ("127.0.0.1 localhost\n", "127.0.0.1", "localhost"),
    ("127.0.0.1 localhost\n::1 localhost\n", "0.0.0.0", "127.0.0.1"),
    ("127.0.0.1 localhost\n::1 localhost\n", "::", "localhost"),
    ("127.0.0.1 localhost\n::1 localhost\n", "::1", "[::1]"),
]


@pytest.mark.parametrize(("hosts", "address", "named"), HOSTS)
def test_localhost_is_published_only_if_all_its_addresses_are_served(
    tmp_path: Path, hosts: str, address: str, named: str
) -> None:
    arguments = ("--demo", "--address", address, "--config-dir", tmp_path / "published")
    host = {"::": "::1", "::1": "::1"}.get(address, "127.0.0.1")
    with Monitor(arguments, command=with_hosts(hosts, tmp_path), host=host) as monitor:
        assert target(tmp_path) == f"{named}:{monitor.port}"
        assert f"serving metrics at http://{named}:{monitor.port}/metrics" in monitor.log


def test_without_ipv6_one_address_is_enough(tmp_path: Path) -> None:
    need_root("makes a network without IPv6")
    ip, sysctl = need_command("ip", "iproute2"), "/proc/sys/net/ipv6/conf"
    script = f'"{ip}" link set lo up; for all in all lo; do echo 1 >{sysctl}/$all/disable_ipv6; done; exec "$@"'
    command: list[str | Path] = [need_command("unshare", "util-linux"), "--net", "sh", "-euc", script, "sh", PROGRAM]
    config = tmp_path / "monitor.yaml"
    config.write_text("listen: {port: 8000}\n")
    options: list[str | Path] = ["--demo", "-c", config, "--config-dir", tmp_path / "published"]
    with subprocess.Popen([*map(str, command), *map(str, options)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        said = [process.stderr.readline() for _ in range(2)]
        process.send_signal(signal.SIGTERM)
        said += process.stderr.readlines()
    assert process.returncode == 0, said
    assert any("serving metrics at http://" in line for line in said)
    assert not [line for line in said if "held" in line or "ERROR" in line]
    assert target(tmp_path) == "localhost:8000"


def test_a_reload_fails_if_it_cannot_listen(manager: Manager, file: Path) -> None:
    port, taken = free_port(), free_port()
    configure(file, port, address="127.0.0.1")
    with service(manager, file, "--demo") as monitor, closing(holder("127.0.0.1", taken)):

        def told(address: str, port: int) -> tuple[int, str]:
            configure(file, port, address=address)
            command: list[str | Path] = [PROGRAM, "reload", str(monitor.process.pid)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
            return done.returncode, done.stderr

        for address, where, reason in (
            ("127.0.0.1", taken, "another program uses it"),
            ("192.0.2.9", port, "that is not an address of this machine"),
            ("nothere.invalid", port, "that is not an address of this machine"),
        ):
            status, said = told(address, where)
            assert status == 1
            assert f"cannot listen on {address} port {where}: {reason}" in said
        for address in ("localhost", "0.0.0.0", "127.0.0.1"):
            assert told(address, port) == (0, "")


@pytest.mark.parametrize("held", [False, True])
def test_ipv6_that_becomes_available_later(tmp_path: Path, held: bool) -> None:
    need_root("makes a network without IPv6")
    ip, sysctl = need_command("ip", "iproute2"), "/proc/sys/net/ipv6/conf"
    script = f'"{ip}" link set lo up; for all in all lo; do echo 1 >{sysctl}/$all/disable_ipv6; done; exec "$@"'
    command: list[str | Path] = [need_command("unshare", "util-linux"), "--net", "sh", "-euc", script, "sh", PROGRAM]
    config = tmp_path / "monitor.yaml"
    config.write_text("listen: {port: 8000}\ncollect: {interval: 200ms}\n")
    options: list[str | Path] = ["--demo", "-c", config, "--config-dir", tmp_path / "published"]
    taken = [sys.executable, "-c", HOLD_LATER] if held else ["true"]
    with (
        (tmp_path / "log").open("w+") as log,
        subprocess.Popen([*map(str, command), *map(str, options)], stderr=log) as process,
    ):

        def said(text: str) -> bool:
            return text in (tmp_path / "log").read_text()

        def inside(*words: str, **more: Any) -> subprocess.Popen[str]:
            enter = [need_command("nsenter", "util-linux"), "--net", "--target", str(process.pid), *words]
            return subprocess.Popen(enter, text=True, **more)

        with ExitStack() as stack:
            stack.callback(process.terminate)
            wait_for(lambda: said("serving metrics at"), "it serves")  # by now it is in its own network namespace
            other = stack.enter_context(inside(*taken, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            stack.callback(other.terminate)
            assert other.stdout
            other.stdout.readline()  # it listens
            assert target(tmp_path) == "localhost:8000"
            with inside("sh", "-c", f"for a in all lo; do echo 0 >{sysctl}/$a/disable_ipv6; done") as done:
                pass
            assert done.returncode == 0
            if held:
                wait_for(lambda: target(tmp_path) == "127.0.0.1:8000", "the name is not published any more")
                wait_for(lambda: said("::1 port 8000 is held by another program"), "the log says so")
            else:
                wait_for(lambda: (tmp_path / "log").read_text().count("serving metrics at") == 2, "it serves more")
                asked = "import socket; socket.create_connection(('::1', 8000), 5)"
                with inside(sys.executable, "-c", asked) as client:
                    pass
                assert client.returncode == 0
                assert target(tmp_path) == "localhost:8000"
        assert process.wait(10) == 0


HOLD_LATER = """
import socket, sys, time
other = socket.socket(socket.AF_INET6)
other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
other.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND: before the machine has the address
other.bind(("::1", 8000))
other.listen()
print("listening", flush=True)
time.sleep(60)
"""


def test_a_reload_keeps_the_addresses_that_do_not_change(manager: Manager, file: Path) -> None:
    port = free_port()
    configure(file, port, address="localhost")
    with service(manager, file, "--demo") as monitor, scraped(monitor) as failures:
        for address, there in (
            ("127.0.0.1", ["127.0.0.1"]),
            ("localhost", list(BOTH)),
            ("0.0.0.0", ["127.0.0.1"]),
            ("localhost", list(BOTH)),
            ("::", list(BOTH)),
            ("localhost", list(BOTH)),
        ):
            configure(file, port, address=address)
            reload(monitor, manager)
            probe = Monitor(port=port)
            assert answers(probe) == there
            assert complaints(monitor) == []
    assert failures == []


# As systemd does: descriptors 3 and 4, and the pid of the very process that is to take them.
PASS_TWO = """
import os, sys
for given, wanted in ((int(sys.argv[1]), 53), (int(sys.argv[2]), 54), (53, 3), (54, 4)):
    os.dup2(given, wanted)
os.environ |= {"LISTEN_FDS": "2", "LISTEN_PID": str(os.getpid())}
os.execv(sys.argv[3], sys.argv[3:])
"""


def test_two_inherited_sockets_are_served_and_published(manager: Manager, file: Path) -> None:
    file.write_text("collect: {interval: 200ms}\n")
    port = free_port()
    with closing(holder("127.0.0.1", port)) as first, closing(holder("::1", port)) as second:
        monitor = service(manager, file, "--demo")
        descriptors = (first.fileno(), second.fileno())
        monitor.command = [sys.executable, "-c", PASS_TWO, *map(str, descriptors), PROGRAM]
        monitor.pass_descriptors = descriptors
        for descriptor in descriptors:
            os.set_inheritable(descriptor, True)
        with monitor:
            assert monitor.port == port
            assert answers(monitor) == list(BOTH)
            assert target(file.parent) == f"{published_host()}:{port}"
            monitor.stop()


def test_the_certificate_for_localhost_is_valid_for_a_published_address(
    manager: Manager,
    file: Path,
    made: dict[str, Certificate],  # noqa: F811
) -> None:
    port = free_port()
    install(made["server"], file.parent)
    (file.parent / "web.yml").write_text(f"{TLS}}}")
    file.write_text(f"listen: {{web_config_file: {file.parent / 'web.yml'}, port: {port}}}\n")
    with closing(holder("::1", port)):
        monitor = service(manager, file, "--demo")
        monitor.tls = trusting(made["server"])
        with monitor:
            job = published(file.parent)
            assert job["static_configs"] == [{"targets": [f"127.0.0.1:{port}"]}]
            assert job["tls_config"]["server_name"] == "localhost"


BREAKS_IN_PART = """
import sys
from genvd.service.monitor import Monitor

def fail(*_):
    raise MemoryError("secret")

Monitor.reconfigure = fail
from genvd.cli.commands import main
sys.exit(main())
"""


def test_a_partly_failed_reload_does_not_end_the_service(manager: Manager, file: Path) -> None:
    port = free_port()
    configure(file, port, address="localhost")
    monitor = service(manager, file, "--demo")
    monitor.command = [sys.executable, "-c", BREAKS_IN_PART]
    with monitor:
        reload(monitor, manager)
        wait_for(lambda: monitor.metrics()[LAST_RELOAD] == 0, "the metric tells")
        assert "the configuration: cannot be used: MemoryError" in monitor.log
        assert "only partly applied" in monitor.log
        assert "secret" not in monitor.log
        assert "Traceback" not in monitor.log
        assert monitor.stop() == 0
