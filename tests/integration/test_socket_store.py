"""The listening sockets in the file descriptor store of the service manager, while the service restarts or crashes.

systemd itself is in tests/system.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.test_service import configure, file, reload, scraped, service  # noqa: F401
from tests.support.manager import Manager
from tests.support.monitor import PROGRAM, Monitor
from tests.support.ports import free_port
from tests.support.waiting import wait_for


def started(manager: Manager, path: Path) -> Monitor:
    """Return a service that gets what is stored; it is started by ``with``."""
    monitor = service(manager, path, "--demo")
    monitor.command = manager.passing(PROGRAM)
    monitor.pass_descriptors = tuple(number for _, number in manager.stored)
    return monitor


def stored(manager: Manager) -> list[tuple[str, tuple[str, int]]]:
    """Return names and addresses in the store."""
    found = []
    for name, descriptor in manager.stored:
        with socket.socket(fileno=os.dup(descriptor)) as one:
            found.append((name, one.getsockname()[:2]))
    return found


def kept(manager: Manager, *addresses: str, port: int) -> None:
    """Wait until exactly these sockets are in the store."""
    expected = [(f"listen-{one.replace(':', '_')}-{port}", (one, port)) for one in addresses]
    wait_for(lambda: sorted(stored(manager)) == sorted(expected), f"only {expected} are stored")


def assert_held(address: str, port: int) -> None:
    """Nobody else can listen there."""
    with pytest.raises(OSError, match="in use"):
        socket.create_server((address, port)).close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_port_is_never_free_and_later_scrapes_wait(
    manager: Manager,
    file: Path,  # noqa: F811
    number: signal.Signals,
) -> None:
    port = free_port()
    configure(file, port)
    with started(manager, file) as monitor:
        kept(manager, "127.0.0.1", port=port)
        monitor.stop(number)
    assert_held("127.0.0.1", port)
    waiting = socket.create_connection(("127.0.0.1", port), 20)  # nobody accepts it yet
    waiting.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
    with started(manager, file) as monitor:
        answer = b"".join(iter(lambda: waiting.recv(65536), b""))
        waiting.close()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"genv_monitor_build_info" in answer
        kept(manager, "127.0.0.1", port=port)
        assert monitor.complaints == [line for line in monitor.complaints if "simulated" in line]


def test_no_scrape_is_lost_by_restarts(manager: Manager, file: Path) -> None:  # noqa: F811
    port = free_port()
    configure(file, port, interval="100ms")
    with started(manager, file) as first:
        kept(manager, "127.0.0.1", port=port)
        with scraped(first) as failures:
            first.stop()
            for _ in range(3):
                with started(manager, file) as next_one:
                    next_one.next_metrics()
                    next_one.stop()
            with started(manager, file) as last:
                last.next_metrics()
                failed = list(failures)  # the end of the last one loses what it had accepted
                last.stop()
                scrapes_end(manager)
    assert failed == []


def scrapes_end(manager: Manager) -> None:
    """Close what is stored, so that nobody waits for an answer any more."""
    for name in {name for name, _ in manager.stored}:
        manager.store(f"FDSTOREREMOVE=1\nFDNAME={name}", [])


def test_another_address_at_the_next_start_replaces_the_stored_one(manager: Manager, file: Path) -> None:  # noqa: F811
    port, other = free_port(), free_port()
    configure(file, port, address="127.0.0.1")
    with started(manager, file):
        kept(manager, "127.0.0.1", port=port)
    for address, host in (("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "127.0.0.1")):  # wider, narrower: the same port
        configure(file, port, address=address)
        with started(manager, file) as monitor:
            monitor.host = host
            assert monitor.get("/-/ready").status == 200
            kept(manager, address, port=port)
    configure(file, other)
    with started(manager, file) as monitor:
        kept(manager, "127.0.0.1", port=other)
        with closing(socket.create_server(("127.0.0.1", port))):  # free again
            assert monitor.get("/-/ready").status == 200


def test_a_reload_to_another_port_stores_the_new_one_only(manager: Manager, file: Path) -> None:  # noqa: F811
    port, other = free_port(), free_port()
    configure(file, port)
    with started(manager, file) as monitor:
        kept(manager, "127.0.0.1", port=port)
        configure(file, other)
        reload(monitor, manager)
        wait_for(lambda: monitor.port == other, "the new port is logged")
        kept(manager, "127.0.0.1", port=other)
        socket.create_server(("127.0.0.1", port)).close()
        monitor.stop(signal.SIGKILL)
    with started(manager, file) as monitor:
        assert monitor.port == other


def test_what_a_broken_process_has_stored_is_not_used(manager: Manager, file: Path) -> None:  # noqa: F811
    """Wrong names, other kinds of descriptors, a socket that does not listen, and one that is there twice."""
    port = free_port()
    configure(file, port)
    name = f"listen-127.0.0.1-{port}"
    read, write = os.pipe()
    os.close(write)
    unix = socket.socket(socket.AF_UNIX)
    silent = socket.socket()
    elsewhere = socket.create_server(("127.0.0.1", 0))
    for one in (name, "listen-"):
        manager.stored += [(one, read)] if one == name else [(one, unix.detach()), (one, silent.detach())]
    manager.stored.append((name, elsewhere.detach()))
    with started(manager, file) as monitor:
        kept(manager, "127.0.0.1", port=port)
        assert monitor.port == port
        assert monitor.get("/-/ready").status == 200
    with socket.create_server(("127.0.0.1", 0)) as twice:
        busy = twice.getsockname()[1]
        configure(file, busy)
        manager.stored += [(f"listen-127.0.0.1-{busy}", os.dup(twice.fileno())) for _ in range(2)]
    with started(manager, file) as monitor:
        kept(manager, "127.0.0.1", port=busy)
        assert monitor.port == busy


def test_the_reload_command_checks_the_address_after_a_restart(manager: Manager, file: Path) -> None:  # noqa: F811
    """What is stored does not come from a socket unit, which would set the address."""
    port = free_port()
    configure(file, port)
    with started(manager, file):
        kept(manager, "127.0.0.1", port=port)
    with started(manager, file) as monitor, socket.create_server(("127.0.0.1", 0)) as taken:
        configure(file, taken.getsockname()[1])
        command = [str(PROGRAM), "reload", str(monitor.process.pid)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 1
        assert "another program uses it" in done.stderr
