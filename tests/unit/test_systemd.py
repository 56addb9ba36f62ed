"""Descriptors that systemd passes, and what is stored of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from genvd.common.descriptors import passed_descriptors
from genvd.service.systemd import SystemdNotifier
from genvd.web.listen_check import _has_socket_unit
from tests.support.manager import Manager
from tests.support.waiting import wait_for


@pytest.mark.parametrize(
    ("number", "names", "expected"),
    [
        (
            "2",
            "genv-monitor-sealed.socket:listen-127.0.0.1-8000",
            ["genv-monitor-sealed.socket", "listen-127.0.0.1-8000"],
        ),
        ("2", "one", ["unknown", "unknown"]),
        ("2", None, ["unknown", "unknown"]),
        ("0", "", []),
        ("", "a", []),
        ("many", "a", []),
    ],
)
def test_descriptors_have_names(
    monkeypatch: pytest.MonkeyPatch, number: str, names: str | None, expected: list[str]
) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", number)
    monkeypatch.delenv("LISTEN_FDNAMES", raising=False)
    if names is not None:
        monkeypatch.setenv("LISTEN_FDNAMES", names)
    assert passed_descriptors() == [(name, 3 + index) for index, name in enumerate(expected)]
    monkeypatch.setenv("LISTEN_PID", "1")
    assert passed_descriptors() == []


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (b"A=1\0LISTEN_FDS=1\0", True),
        (b"LISTEN_FDS=1\0LISTEN_FDNAMES=genv-monitor-sealed.socket\0", True),
        (b"LISTEN_FDS=2\0LISTEN_FDNAMES=genv-monitor-sealed.socket:listen-127.0.0.1-8000\0", True),
        (b"LISTEN_FDS=2\0LISTEN_FDNAMES=listen-127.0.0.1-8000:listen-__1-8000\0", False),
        (b"A=LISTEN_FDS=\0LISTEN_FDNAMES=x\0", False),
    ],
)
def test_stored_sockets_do_not_come_from_a_socket_unit(environment: bytes, expected: bool) -> None:
    assert _has_socket_unit(environment) == expected


def test_descriptors_are_stored_and_removed_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = Manager(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(manager.path))
    systemd = SystemdNotifier()
    with (tmp_path / "file").open("w") as file:
        systemd.store_descriptor("a", file.fileno())
        systemd.store_descriptor("b", file.fileno())
    systemd.remove_descriptors("a")
    wait_for(lambda: [name for name, _ in manager.stored] == ["b"], "only b is stored")
    ((_, stored),) = manager.stored
    assert os.fstat(stored).st_ino == (tmp_path / "file").stat().st_ino
    manager.close()
    systemd.store_descriptor("c", 0)  # nobody receives it any more
    systemd._notifier.socket.close()
