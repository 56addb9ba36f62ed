"""What a process may still do after it has forbidden itself to write: read, and use what is open."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import ctypes, fcntl, json, mmap, os, socket, sys, threading
import psutil._psutil_linux
from genvd.common.system_calls import forbid_connections, forbid_execution, forbid_writing

directory = sys.argv[1]
os.chdir(directory)
listening = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listening.getsockname())
log = open("log", "w")
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
named = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
named.bind("named")
code = os.open(psutil._psutil_linux.__file__, os.O_RDONLY)
memory = mmap.mmap(-1, 4096)
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = libc.shmat.restype = ctypes.c_void_p
start = ctypes.addressof(ctypes.c_char.from_buffer(memory))

def call(result):
    if result in (-1, 2**64 - 1):
        raise OSError(ctypes.get_errno(), "call")

shared = libc.shmget(0, 4096, 0o1600)
assert forbid_writing()
assert forbid_connections()
assert forbid_execution()
attempts = {
    "read": lambda: open("file").read(),
    "list": lambda: os.listdir("."),
    "open a directory": lambda: os.open(".", os.O_RDONLY | os.O_DIRECTORY),
    "write what is open": lambda: print("x", file=log, flush=True),
    "accept": lambda: listening.accept()[0].send(b"x"),
    "pipe": os.pipe,
    "send": lambda: ours.send(b"x"),
    "receive": lambda: theirs.recv(1),
    "map": lambda: mmap.mmap(code, 4096, prot=mmap.PROT_READ),
    "thread": lambda: threading.Thread(target=int).start(),
    "run": lambda: os.execv("/bin/cat", ["cat", "file"]),
    "run through /proc": lambda: os.execv("/proc/1/root/bin/cat", ["cat", "file"]),
    "run what is open": lambda: os.execve(code, ["x"], {}),
    "load code": lambda: mmap.mmap(code, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
    "make memory executable": lambda: call(libc.mprotect(ctypes.c_void_p(start), 4096, 5)),
    "attach executable memory": lambda: call(libc.shmat(shared, None, 0o100000)),
    "make all memory executable": lambda: call(libc.personality(0x0400000)),
    "send to an address": lambda: ours.sendto(b"x", "named"),
    "pass a descriptor": lambda: socket.send_fds(ours, [b"x"], [code]),
    "receive a descriptor": lambda: socket.recv_fds(theirs, 1, 1),
    "pair of sockets": socket.socketpair,
    "lock": lambda: fcntl.flock(code, fcntl.LOCK_EX),
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
libc.shmctl(shared, 0, None)
sys.stdout.write(json.dumps(results))
"""
ALLOWED = {
    *("read", "list", "open a directory", "write what is open", "accept", "pipe", "send", "receive", "map", "thread")
}


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
    assert len(results) > 40
    assert results == {name: name in ALLOWED for name in results}
