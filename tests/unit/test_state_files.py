"""Reading files that everybody may write."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from genvd.model import GenvFacts
from genvd.sources import SourceError
from genvd.sources.genv_state import GenvStateSource
from genvd.sources.state_files import MAX_BYTES, read_json, shared_lock


def soon() -> float:
    return time.monotonic() + 0.1


def test_a_file_that_is_not_there_is_nothing(tmp_path: Path) -> None:
    assert read_json(tmp_path / "envs.json", soon()) is None


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 4 * 2**30)


def deep(path: Path) -> None:
    path.write_text("[" * 1_000_000)


def nan(path: Path) -> None:
    path.write_text('{"envs": [')


@pytest.mark.parametrize("make", [fifo, link, link_to_itself, Path.mkdir, unix_socket, sparse, deep, nan, Path.touch])
def test_what_is_no_state_file_is_an_error_in_one_line(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "envs.json"
    make(path)
    started = time.monotonic()
    with pytest.raises(SourceError) as caught:
        read_json(path, soon())
    assert time.monotonic() - started < 5
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert "; " in text, "names no way out"


def test_the_largest_file_that_is_read(tmp_path: Path) -> None:
    path = tmp_path / "envs.json"
    path.write_text(" " * (MAX_BYTES - 2) + "{}")
    assert read_json(path, soon()) == {}


def test_a_file_that_is_being_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "envs.json"
    path.write_text('{"envs": [')

    def finish() -> None:
        path.write_text('{"envs": []}')

    timer = threading.Timer(0.1, finish)
    timer.start()
    assert read_json(path, time.monotonic() + 10) == {"envs": []}
    timer.join()


def test_the_lock_is_held_and_given_back(tmp_path: Path) -> None:
    path = tmp_path / "genv.lock"
    path.touch()
    with shared_lock(path, soon()) as held, open(path) as other:
        assert held
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with open(path) as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("make", [None, fifo, link, Path.mkdir])
def test_a_lock_that_is_no_file_is_done_without_and_not_made(
    tmp_path: Path, make: Callable[[Path], None] | None
) -> None:
    path = tmp_path / "genv.lock"
    if make:
        make(path)
    with shared_lock(path, soon()) as held:
        assert not held
    assert os.path.lexists(path) == (make is not None)


def test_a_lock_that_somebody_holds_for_ever_does_not_keep_the_facts_away(tmp_path: Path) -> None:
    (tmp_path / "genv.lock").touch()
    (tmp_path / "envs.json").write_text(json.dumps({"envs": [{"eid": "1"}]}))
    with open(tmp_path / "genv.lock") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        facts = GenvStateSource(tmp_path).read()
    assert [environment.eid for environment in facts.environments] == ["1"]


def test_no_directory_means_no_environments_and_none_is_made(tmp_path: Path) -> None:
    facts = GenvStateSource(tmp_path / "genv").read()
    assert (facts.environments, facts.attachments) == ((), ())
    assert not (tmp_path / "genv").exists()


def test_reading_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "envs.json").write_text('{"envs": []}')
    before = {path: path.stat() for path in (tmp_path, tmp_path / "envs.json")}
    assert isinstance(GenvStateSource(tmp_path).read(), GenvFacts)
    for path, status in before.items():
        now = path.stat()
        assert (now.st_mtime_ns, now.st_ino, now.st_size) == (status.st_mtime_ns, status.st_ino, status.st_size)


@pytest.mark.parametrize("content", ["3", "[]", '{"envs": 3}', "{}"])
def test_a_file_of_another_shape_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "envs.json").write_text(content)
    with pytest.raises(SourceError, match=r"envs\.json"):
        GenvStateSource(tmp_path).read()
