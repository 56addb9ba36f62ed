"""Descriptors are closed in unusual cases as well. One leak at each tick would end the service."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from genvd.collectors.base import CollectorError
from genvd.collectors.genv.state_files import StateFile, shared_lock
from genvd.collectors.host import procfs
from genvd.collectors.host.procfs import user_namespace_owner
from tests.support.needs import need_command, need_user_namespaces
from tests.support.waiting import wait_for


def descriptors() -> list[str]:
    """Return the open descriptors of this process, except for the directory that lists them."""
    return sorted(path.name for path in list(Path("/proc/self/fd").iterdir()) if path.is_symlink())


@pytest.fixture
def namespaced() -> Iterator[int]:
    """The pid of a process in a user namespace of its own."""
    command = [need_command("unshare", "util-linux"), "--user", "sleep", "infinity"]
    need_user_namespaces()
    with ExitStack() as stack:
        process = stack.enter_context(subprocess.Popen(command))
        stack.callback(process.kill)
        own, other = Path("/proc/self/ns/user"), Path(f"/proc/{process.pid}/ns/user")
        wait_for(lambda: other.stat().st_ino != own.stat().st_ino, "it is in its namespace")
        yield process.pid


def test_reading_the_namespace_owner_leaks_no_descriptor(namespaced: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before = descriptors()
    assert user_namespace_owner(namespaced) == os.getuid()
    assert descriptors() == before
    monkeypatch.setattr(
        procfs, "_NS_GET_OWNER_UID", 0xB7FF
    )  # unknown to the kernel, as the right one is to older kernels
    assert user_namespace_owner(namespaced) is None
    assert descriptors() == before


def lock(path: Path) -> None:
    with shared_lock(path, time.monotonic()) as held:
        assert not held


def content(path: Path) -> None:
    with pytest.raises(CollectorError, match=r"not a regular file|larger"):
        StateFile(lambda document: document).read(path, time.monotonic())


def huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**30)


@pytest.mark.parametrize(
    ("make", "read"), [(os.mkfifo, content), (os.mkfifo, lock), (os.mkdir, content), (os.mkdir, lock), (huge, content)]
)
def test_an_unfit_state_file_is_closed(
    tmp_path: Path, make: Callable[[Path], None], read: Callable[[Path], None]
) -> None:
    path = tmp_path / "envs.json"
    make(path)
    before = descriptors()
    read(path)
    assert descriptors() == before
