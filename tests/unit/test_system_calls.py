"""What a process may still do after it has forbidden itself to write: read, and use what is open."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, os, socket, subprocess, sys, threading
from genvd.common.system_calls import forbid_connections, forbid_writing

directory = sys.argv[1]
os.chdir(directory)
listening = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listening.getsockname())
log = open("log", "w")
assert forbid_writing()
assert forbid_connections()
attempts = {
    "read": lambda: open("file").read(),
    "list": lambda: os.listdir("."),
    "open a directory": lambda: os.open(".", os.O_RDONLY | os.O_DIRECTORY),
    "write what is open": lambda: print("x", file=log, flush=True),
    "accept": lambda: listening.accept()[0].send(b"x"),
    "pipe": os.pipe,
    "run": lambda: subprocess.run(["/bin/cat", "file"], check=True),
    "write": lambda: open("file", "w"),
    "append": lambda: open("file", "a"),
    "create": lambda: os.open("new", os.O_CREAT),
    "truncate": lambda: os.open("file", os.O_TRUNC),
    "read and write": lambda: os.open("file", os.O_RDWR),
    "temporary file": lambda: os.open(".", os.O_TMPFILE | os.O_RDWR),
    "write memory": lambda: os.open("/proc/self/mem", os.O_RDWR),
    "through /proc": lambda: open(f"/proc/{os.getppid()}/root{directory}/file", "w"),
    "truncate by name": lambda: os.truncate("file", 0),
    "remove": lambda: os.unlink("file"),
    "rename": lambda: os.rename("file", "other"),
    "link": lambda: os.link("file", "other"),
    "symbolic link": lambda: os.symlink("file", "other"),
    "directory": lambda: os.mkdir("other"),
    "fifo": lambda: os.mkfifo("other"),
    "mode": lambda: os.chmod("file", 0o600),
    "mode of what is open": lambda: os.fchmod(log.fileno(), 0o600),
    "owner": lambda: os.chown("file", os.getuid(), os.getgid()),
    "times": lambda: os.utime("file"),
    "attribute": lambda: os.setxattr("file", "user.x", b"x"),
    "memory as a file": lambda: os.memfd_create("x"),
    "socket": lambda: socket.socket(socket.AF_UNIX),
    "connect": lambda: client.connect(listening.getsockname()),
}
results = {}
def attempt():
    for name, act in attempts.items():
        try:
            act()
            results[name] = True
        except PermissionError:
            results[name] = False
        except BaseException as error:
            results[name] = repr(error)
thread = threading.Thread(target=attempt)
thread.start()
thread.join()
sys.stdout.write(json.dumps(results))
"""
ALLOWED = {"read", "list", "open a directory", "write what is open", "accept", "pipe", "run"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Whether each attempt succeeded, in a thread that was started afterwards."""
    directory = tmp_path_factory.mktemp("forbidden")
    (directory / "file").write_text("")
    command = [sys.executable, "-c", SCRIPT, str(directory)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root, timeout=60)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_only_reading_is_left(results: dict[str, object]) -> None:
    assert len(results) > 25
    assert results == {name: name in ALLOWED for name in results}
