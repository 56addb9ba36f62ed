"""Reading state files that every user can write, and their directory."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from genvd.collectors.base import CollectorError
from genvd.collectors.genv.state import GenvStateCollector
from genvd.collectors.genv.state_files import MAX_BYTES, MAX_TOKENS, StateFile, shared_lock
from genvd.model.facts import GenvFacts
from tests.support.needs import need, need_root
from tests.support.scarcity import no_descriptors


def soon() -> float:
    return time.monotonic() + 0.1


def read(path: Path, deadline: float) -> object:
    return StateFile(lambda document: document).read(path, deadline)


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    assert read(tmp_path / "envs.json", soon()) is None


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
    path.write_text("[" * (MAX_TOKENS - 1))  # more is refused unparsed


def half(path: Path) -> None:
    path.write_text('{"envs": [')


def many_digits(path: Path) -> None:
    path.write_text('{"envs": [' + "9" * 5000 + "]}")


def not_utf8(path: Path) -> None:
    path.write_bytes(b'{"envs": ["\xff\xfe"]}')


def many_values(path: Path) -> None:
    path.write_text('{"envs": [' + "[]," * 1_000_000 + "[]]}")


def million_environments(path: Path) -> None:
    path.write_text('{"envs": [' + ",".join(f'{{"eid": "{number}"}}' for number in range(1_000_000)) + "]}")


def device(path: Path) -> None:
    need(os.geteuid() == 0, "needs root: makes a device")
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero


@pytest.mark.parametrize(
    "make",
    [
        *(fifo, link, link_to_itself, Path.mkdir, unix_socket, device, Path.touch),
        *(sparse, deep, half, many_digits, not_utf8, many_values, million_environments),
    ],
)
def test_an_unfit_file_is_an_error_in_one_line(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "envs.json"
    make(path)
    started = time.monotonic()
    with pytest.raises(CollectorError) as caught:
        read(path, soon())
    assert time.monotonic() - started < 5
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert "; " in text, "names no way out"


def test_the_largest_file_that_is_read(tmp_path: Path) -> None:
    path = tmp_path / "envs.json"
    path.write_text(" " * (MAX_BYTES - 2) + "{}")
    assert read(path, soon()) == {}


def test_a_file_that_is_being_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "envs.json"
    path.write_text('{"envs": [')

    def finish() -> None:
        path.write_text('{"envs": []}')

    timer = threading.Timer(0.1, finish)
    timer.start()
    assert read(path, time.monotonic() + 10) == {"envs": []}
    timer.join()


def test_the_lock_is_held_and_released(tmp_path: Path) -> None:
    path = tmp_path / "genv.lock"
    path.touch()
    with shared_lock(path, soon()) as held, open(path) as other:
        assert held
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with open(path) as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("make", [None, fifo, link, Path.mkdir])
def test_an_unfit_lock_file_is_skipped_and_none_is_created(tmp_path: Path, make: Callable[[Path], None] | None) -> None:
    path = tmp_path / "genv.lock"
    if make:
        make(path)
    with shared_lock(path, soon()) as held:
        assert not held
    assert os.path.lexists(path) == (make is not None)


def test_a_lock_that_is_held_forever_does_not_block_reading(tmp_path: Path) -> None:
    (tmp_path / "genv.lock").touch()
    (tmp_path / "envs.json").write_text(json.dumps({"envs": [{"eid": "1"}]}))
    with open(tmp_path / "genv.lock") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        facts = GenvStateCollector(tmp_path).collect()
    assert [environment.eid for environment in facts.environments] == ["1"]


def test_a_missing_directory_means_no_environments_and_is_not_created(tmp_path: Path) -> None:
    facts = GenvStateCollector(tmp_path / "genv").collect()
    assert (facts.environments, facts.attachments) == ((), ())
    assert not (tmp_path / "genv").exists()


def test_reading_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "envs.json").write_text('{"envs": []}')
    before = {path: path.stat() for path in (tmp_path, tmp_path / "envs.json")}
    assert isinstance(GenvStateCollector(tmp_path).collect(), GenvFacts)
    for path, status in before.items():
        now = path.stat()
        assert (now.st_mtime_ns, now.st_ino, now.st_size) == (status.st_mtime_ns, status.st_ino, status.st_size)


@pytest.mark.parametrize("content", ["3", "[]", '{"envs": 3}', "{}"])
def test_a_file_of_another_shape_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "envs.json").write_text(content)
    with pytest.raises(CollectorError, match=r"envs\.json"):
        GenvStateCollector(tmp_path).collect()


WORST = {
    "lists": ("[],", 2),
    "nested lists": ("[" * 50 + "]" * 50 + ",", 51),
    "mappings": ('{"":0},', 3),
    "numbers": ("1.5,", 1),
    "long texts": (f'"{"x" * 100}😀",', 1),
    "large numbers": ("9" * 4000 + ",", 1),
}
MEASURE = """
import resource, sys, time
from pathlib import Path
from genvd.collectors.genv.state import GenvStateCollector
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, started = peak(), time.process_time()
GenvStateCollector(Path(sys.argv[1])).collect()
print((peak() - before) * 1024, time.process_time() - started)
"""


@pytest.mark.parametrize("name", WORST)
def test_the_cost_of_the_worst_files_is_bounded(tmp_path: Path, name: str) -> None:
    unit, tokens = WORST[name]
    number = min((MAX_BYTES - 100) // len(unit.encode()), (MAX_TOKENS - 100) // tokens)
    for file, key in (("envs", "envs"), ("devices", "devices")):
        (tmp_path / f"{file}.json").write_text(f'{{"{key}": [{unit * number}0]}}')
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, tmp_path], capture_output=True, text=True, check=True, timeout=60
    )
    memory, seconds = map(float, result.stdout.split())
    assert memory < 100 * 2**20
    assert seconds < 3


def test_unchanged_content_is_not_parsed_again(tmp_path: Path) -> None:
    parsed = []
    file = StateFile(lambda document: parsed.append(document) or len(parsed))  # type: ignore[func-returns-value]
    path = tmp_path / "envs.json"
    path.write_text('{"envs": [1]}')
    assert [file.read(path, soon()) for _ in range(3)] == [1, 1, 1]
    before = path.stat()
    path.write_text('{"envs": [2]}')  # of the same length, and perhaps in the same tick of the clock
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.read(path, soon()) == 2
    path.unlink()
    assert file.read(path, soon()) is None
    path.write_text('{"envs": [2]}')
    assert file.read(path, soon()) == 3


def test_an_invalid_number_costs_only_its_entry(tmp_path: Path) -> None:
    text = """{"envs": [{"eid": "1", "uid": 1e999, "pids": [NaN, -1, 1e999, 99999999999999999999, true, "1", null, 7]},
                        {"eid": NaN}, {"eid": -Infinity}, {"eid": "2", "pids": {"1": 2}}, null, 3, "x"],
               "envs ": 1, "x": "\\ud800"}"""
    (tmp_path / "envs.json").write_text(text)
    facts = GenvStateCollector(tmp_path).collect()
    assert [(record.eid, record.uid, record.pids) for record in facts.environments] == [
        ("1", None, (7,)),
        ("2", None, ()),
    ]
    assert facts.malformed == 7 + 2 + 4, "what is no list of processes counts as one"


def test_impossible_devices(tmp_path: Path) -> None:
    attached = [{"eid": "1"}]
    indices = [-1, 10**9, 10**30, 3, "4", None]
    devices = [{"index": index, "attachments": attached} for index in indices]
    (tmp_path / "devices.json").write_text(json.dumps({"devices": devices}))
    facts = GenvStateCollector(tmp_path).collect()
    assert [attachment.device_index for attachment in facts.attachments] == [3]
    assert (facts.impossible_devices, facts.malformed) == (3, 2)


def test_a_duplicate_key(tmp_path: Path) -> None:
    """As with genv itself, the last one counts."""
    (tmp_path / "envs.json").write_text('{"envs": [{"eid": "1"}], "envs": [{"eid": "2", "eid": "3"}]}')
    assert [record.eid for record in GenvStateCollector(tmp_path).collect().environments] == ["3"]


def test_duplicate_pids_are_removed(tmp_path: Path) -> None:
    pids = [1] * 100_000 + [2, 1]
    (tmp_path / "envs.json").write_text(json.dumps({"envs": [{"eid": "1", "pids": pids}]}, separators=(",", ":")))
    (record,) = GenvStateCollector(tmp_path).collect().environments
    assert record.pids == (1, 2)


def no_directory(path: Path) -> None:
    path.write_text("")


def directory_that_leads_to_itself(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize("make", [no_directory, directory_that_leads_to_itself])
def test_an_unfit_directory(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "genv")
    with pytest.raises(CollectorError, match=r"/genv: .*; "):
        GenvStateCollector(tmp_path / "genv").collect()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with one environment."""
    directory = tmp_path / "there" / "state"
    directory.mkdir(parents=True)
    (directory / "envs.json").write_text('{"envs": [{"eid": "1"}]}')
    return directory


LINKS = {
    "relative": "there/state",
    "with dots": "./there/../there//state/",
    "absolute": "{here}/there/state",
    "through another": "{here}/also/state",
    "through a process": "/proc/self/cwd/there/state",
}


@pytest.mark.parametrize("name", LINKS)
def test_links_of_the_operator_are_followed(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """People put it on another disk."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "also").symlink_to("there")
    (tmp_path / "genv").symlink_to(LINKS[name].format(here=tmp_path))
    for directory in (tmp_path / "genv", Path("genv"), Path("there/../genv")):
        assert len(GenvStateCollector(directory).collect().environments) == 1


@pytest.mark.parametrize("name", LINKS)
@pytest.mark.parametrize("whose", ["genv", "also"])
def test_links_of_others_are_not_followed(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch, name: str, whose: str
) -> None:
    need_root("makes a link of another user")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "also").symlink_to("there")
    (tmp_path / "genv").symlink_to(LINKS[name].format(here=tmp_path))
    os.lchown(tmp_path / whose, 60001, 60001)
    collector = GenvStateCollector(tmp_path / "genv")
    if whose == "also" and name != "through another":
        assert len(collector.collect().environments) == 1
        return
    with pytest.raises(
        CollectorError, match=rf"^{tmp_path}/genv: .*'{whose}', a symbolic link of user 60001.*; remove"
    ):
        collector.collect()


def test_a_directory_in_which_other_users_create_links(tmp_path: Path, state: Path) -> None:
    """It leads nowhere even in the moment in which a directory becomes a link."""
    need_root("makes links of another user")
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "envs.json").write_text('{"envs": [{"eid": "secret"}]}')
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "private")
    os.lchown(link, 60001, 60001)
    done = threading.Event()

    def swap() -> None:
        libc = ctypes.CDLL(None)
        here, there = (os.fsencode(path) for path in (link, state))
        while not done.is_set():
            libc.renameat2(-100, here, -100, there, 2)  # RENAME_EXCHANGE

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        seen: set[str] = set()
        collector = GenvStateCollector(state)
        for _ in range(2000):
            with suppress(CollectorError):
                seen.update(record.eid for record in collector.collect().environments)
    finally:
        done.set()
        thread.join()
    assert seen <= {"1"}


@pytest.mark.parametrize(
    "content",
    [b"root:$6$secret", b'{"envs": ["secret', b'\xfe{"secret": 1}', b"[" * 100_000, b'{"secret": 1}', b"9" * 5000],
)
def test_an_error_does_not_quote_the_content(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "envs.json").write_bytes(content)
    with pytest.raises(CollectorError) as caught:
        GenvStateCollector(tmp_path).collect()
    text = str(caught.value).removeprefix(str(tmp_path))
    assert re.fullmatch(
        r"/envs\.json: (is not valid JSON|is not UTF-8 text|is nested too deep|has no list of envs);"
        r" remove it, genv recreates it",
        text,
    )


def test_without_descriptors_it_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "envs.json").write_text('{"envs": []}')
    with no_descriptors(), pytest.raises(CollectorError, match="Too many open files; find what"):
        GenvStateCollector(tmp_path).collect()


def test_a_file_that_is_rewritten_continuously(tmp_path: Path) -> None:
    """What is read is one of the states that were there, or an error; never something in between."""
    path = tmp_path / "envs.json"
    states = [
        json.dumps({"envs": [{"eid": str(number), "username": "x" * size}]}) for number, size in ((1, 9), (2, 99999))
    ]
    path.write_text(states[0])
    stop = threading.Event()

    def rewrite() -> None:
        while not stop.is_set():
            for state in states:
                path.write_text(state)

    writer = threading.Thread(target=rewrite)
    writer.start()
    collector, seen = GenvStateCollector(tmp_path), set()
    try:
        for _ in range(200):
            try:
                seen.add(tuple(record.eid for record in collector.collect().environments))
            except CollectorError as error:
                assert "envs.json" in str(error)
    finally:
        stop.set()
        writer.join()
    assert seen <= {("1",), ("2",)}
