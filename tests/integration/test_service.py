"""The interface to systemd: readiness, status, watchdog, reload, inherited sockets.

systemd itself is in tests/system.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from tests.standin import Gpu, Scenario
from tests.support.manager import Manager
from tests.support.monitor import PROGRAM, Monitor, series
from tests.support.ports import free_port
from tests.support.waiting import wait_for

LAST_RELOAD = series("genv_monitor_config_last_reload_successful")
LAST_SUCCESS = series("genv_monitor_config_last_reload_success_timestamp_seconds")
COLLECTIONS = series("genv_monitor_collections_total")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration file."""
    return tmp_path / "monitor.yaml"


def service(manager: Manager, file: Path, *arguments: str | Path, watchdog: float | None = None) -> Monitor:
    usec = {"WATCHDOG_USEC": str(int(watchdog * 1e6))} if watchdog else {}
    options = ["--config", file, "--config-dir", file.parent / "published", *arguments]
    return Monitor(options, environment={**manager.environment, **usec}, any_port=False)


def configure(file: Path, port: int, *, interval: str = "200ms", address: str = "127.0.0.1", more: str = "") -> None:
    file.write_text(f"listen: {{address: '{address}', port: {port}}}\ncollect: {{interval: {interval}}}\n{more}")


def test_it_is_ready_after_the_first_collection(
    manager: Manager, file: Path, scenario: Scenario, nvml_library: Path
) -> None:
    scenario.gpus = [Gpu("GPU-0")]
    scenario.hangs["nvmlInit*"] = 600_000
    scenario.write()
    configure(file, 0, interval="30s", more="\n")
    monitor = service(manager, file)
    monitor.environment = {**monitor.environment, **scenario.environment(nvml_library)}

    def release() -> None:
        scenario.hangs.clear()
        scenario.write()

    released = threading.Timer(1.0, release)
    released.start()
    with monitor:  # waits for /-/ready
        released.join()
        wait_for(lambda: manager.said("READY=1"), "ready")
        assert series("genv_device_temperature", index=0) in monitor.metrics()
        assert manager.said("STATUS=1 GPU, 0 environments, 0 users; last collection [0-9]+ ms$")
        assert monitor.stop() == 0
        assert manager.said("STOPPING=1")


def test_the_watchdog_is_notified_twice_per_timeout(manager: Manager, file: Path) -> None:
    configure(file, 0, interval="1h")
    with service(manager, file, "--demo", watchdog=0.5):
        wait_for(lambda: len(manager.said("WATCHDOG=1")) >= 10, "ten beats")
    beats = manager.said("WATCHDOG=1")
    assert max(after - before for before, after in pairwise(beats)) < 0.5


def test_a_hanging_driver_does_not_stop_the_watchdog_notifications(
    manager: Manager, file: Path, scenario: Scenario, nvml_library: Path
) -> None:
    scenario.gpus = [Gpu("GPU-0")]
    scenario.hangs["nvmlDeviceGetUtilizationRates"] = 600_000
    scenario.write()
    configure(file, 0, interval="400ms")
    monitor = service(manager, file, watchdog=2)
    monitor.environment = {**monitor.environment, **scenario.environment(nvml_library)}
    with monitor:
        monitor.next_metrics(6)
        assert manager.said("STATUS=.*no answer from nvml")
    beats = manager.said("WATCHDOG=1")
    assert max(after - before for before, after in pairwise(beats)) < 2


def test_a_stopped_process_sends_no_notifications(manager: Manager, file: Path) -> None:
    configure(file, 0)
    with service(manager, file, "--demo", watchdog=0.4) as monitor:
        wait_for(lambda: manager.said("WATCHDOG=1"), "a beat")
        monitor.process.send_signal(signal.SIGSTOP)
        wait_for(lambda: time.monotonic() - manager.said("WATCHDOG=1")[-1] > 1, "silence")
        monitor.process.send_signal(signal.SIGCONT)


@contextmanager
def scraped(monitor: Monitor) -> Iterator[list[str]]:
    """Scrape all the time, with a new connection each time; yield the errors."""
    failures: list[str] = []
    done = threading.Event()

    def scrape() -> None:
        while not done.is_set():
            try:
                reply = monitor.get("/metrics")
                if reply.status != 200 or b"genv_monitor_build_info" not in reply.body:
                    failures.append(f"status {reply.status}, {len(reply.body)} bytes")
            except OSError as error:
                failures.append(repr(error))

    with ExitStack() as stack:
        for _ in range(3):
            thread = threading.Thread(target=scrape)
            thread.start()
            stack.callback(thread.join)
        stack.callback(done.set)
        yield failures


def reload(monitor: Monitor, manager: Manager) -> None:
    manager.reload(monitor.process)


def test_no_scrape_fails_during_a_reload(manager: Manager, file: Path) -> None:
    port = free_port()
    configure(file, port, interval="1h")
    with service(manager, file, "--demo") as monitor, scraped(monitor) as failures:
        started = monitor.metrics()
        assert started[LAST_RELOAD] == 1
        for address in ("0.0.0.0", "127.0.0.1", "0.0.0.0"):  # wider, narrower: the port is the same
            configure(file, port, interval="100ms", address=address, more="logging: {level: debug}\n")
            reload(monitor, manager)
        metrics = monitor.next_metrics(5)
        assert metrics[LAST_RELOAD] == 1
        assert metrics[LAST_SUCCESS] > started[LAST_SUCCESS]
        assert metrics[COLLECTIONS] > started[COLLECTIONS]
    assert failures == []
    reloading, ready = manager.said(r"^RELOADING=1\nMONOTONIC_USEC=\d+$"), manager.said("READY=1")
    assert len(reloading) == 3
    assert all(any(0 <= after - before < 5 for after in ready) for before in reloading)


def test_a_reload_changes_the_port(manager: Manager, file: Path) -> None:
    old, new = free_port(), free_port()
    configure(file, old)
    with service(manager, file, "--demo") as monitor:
        configure(file, new)
        reload(monitor, manager)
        wait_for(lambda: monitor.port == new, "the new port is logged")
        assert monitor.get("/-/ready").status == 200
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", old), timeout=5)
        published = (file.parent / "published/prometheus/prometheus.yml").read_text()
        # By name only where the name is served as a whole, which /etc/hosts of the machine decides.
        assert f"localhost:{new}" in published or f"127.0.0.1:{new}" in published


def test_a_change_of_the_port_leaves_no_open_descriptors(manager: Manager, file: Path) -> None:
    ports = [free_port() for _ in range(4)]
    configure(file, ports[0], interval="1h")
    with service(manager, file, "--demo") as monitor:

        def descriptors() -> int:
            return len(list(Path(f"/proc/{monitor.process.pid}/fd").iterdir()))

        before = descriptors()
        for port in (*ports[1:], ports[0]):
            configure(file, port, interval="1h")
            reload(monitor, manager)
            wait_for(lambda: monitor.port == port, "the new port is logged")  # noqa: B023
            assert monitor.get("/metrics").status == 200
        wait_for(lambda: descriptors() <= before, "nothing of the ports before is open")


@pytest.mark.parametrize("broken", ["collect: {intervall: 1s}", "\t", "listen: {address: 192.0.2.1}", None])
def test_an_invalid_file_changes_nothing(manager: Manager, file: Path, broken: str | None) -> None:
    configure(file, 0)
    with service(manager, file, "--demo") as monitor, scraped(monitor) as failures:
        good = monitor.metrics()
        file.unlink() if broken is None else file.write_text(broken)
        reload(monitor, manager)
        wait_for(lambda: monitor.metrics()[LAST_RELOAD] == 0, "the metric tells")
        assert monitor.metrics()[LAST_SUCCESS] == good[LAST_SUCCESS]
        assert "still using the previous configuration" in monitor.log
        monitor.next_metrics()
        configure(file, 0)
        reload(monitor, manager)
        wait_for(lambda: monitor.metrics()[LAST_RELOAD] == 1, "mended")
    assert failures == []
    assert "Traceback" not in monitor.log


def test_a_taken_port_changes_nothing(manager: Manager, file: Path) -> None:
    configure(file, free_port())
    with service(manager, file, "--demo") as monitor, socket.create_server(("127.0.0.1", 0)) as taken:
        configure(file, taken.getsockname()[1])
        reload(monitor, manager)
        wait_for(lambda: monitor.metrics()[LAST_RELOAD] == 0, "the metric tells")
        assert "another program uses it" in monitor.log


# As systemd does: descriptor 3, and the pid of the very process that is to take it.
PASS_SOCKET = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_an_inherited_socket_survives_a_restart(manager: Manager, file: Path) -> None:
    file.write_text("collect: {interval: 200ms}\n")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        descriptor = listener.fileno()
        os.set_inheritable(descriptor, True)
        monitor = service(manager, file, "--demo")
        monitor.command = [sys.executable, "-c", PASS_SOCKET, str(descriptor), PROGRAM]
        monitor.pass_descriptors = (descriptor,)
        with ExitStack() as stack:
            with monitor:
                assert monitor.port == listener.getsockname()[1]
                failures = stack.enter_context(scraped(monitor))
                monitor.next_metrics()
                assert monitor.stop() == 0
            with monitor:  # meanwhile connections waited in the socket
                monitor.next_metrics()
                stack.close()
                assert failures == []
