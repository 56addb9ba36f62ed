"""Tries what somebody would try who has taken over a service of this project, and prints what was refused.

A program without dependencies, run in the sandbox of a unit: ``probe.py DIRECTORY PID SECRET``, with a directory that
the service may write, a process of another user, and a file that only another user may read. It prints one line for
each attempt, ``NAME: refused (REASON)`` or ``NAME: allowed``, and none for an attempt that has a mistake of its own.
Attempts do no harm if they are allowed.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

MARK = "genv-monitor-probe"
"""Name of the files that are written; the test looks for them on the machine."""
BUS = "/run/dbus/system_bus_socket"
NOTIFY = "/run/systemd/notify"
"""The socket of sd_notify(3), to which every program may send."""
METADATA = "169.254.169.254"
"""Where clouds serve the credentials of a machine; the test gives this address to the machine itself."""

CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x00020000
PTRACE_SEIZE = 0x4206
SHM_EXEC, IPC_CREAT, IPC_PRIVATE, IPC_RMID = 0o100000, 0o1000, 0, 0

NOT_REACHED = frozenset({errno.EPERM, errno.EACCES, errno.ENOSYS})
"""Errors that say that a system call is forbidden or does not exist; others say that its arguments were looked at."""

# Numbers on x86-64 and, where they differ, on AArch64. Each call gets arguments that are invalid or change nothing.
SYSTEM_CALLS = {
    "add_key": (248, 217, (0, 0, 0, 0, 0)),
    "bpf": (321, 280, (0, 0, 0)),
    "chroot": (161, 51, (0,)),
    "finit_module": (313, 273, (-1, 0, 0)),
    "init_module": (175, 105, (0, 0, 0)),
    "io_setup": (206, 0, (0, 0)),
    "io_uring_setup": (425, 425, (0, 0)),
    "kcmp": (312, 272, (os.getpid(), os.getpid(), 0, 1, 1)),
    "kexec_load": (246, 104, (0, -1, 0, 0)),
    "keyctl": (250, 219, (0, -2, 0)),
    "memfd_create": (319, 279, (0, 0)),
    "mount": (165, 40, (0, 0, 0, 0, 0)),
    "open_by_handle_at": (304, 265, (-1, 0, 0)),
    "perf_event_open": (298, 241, (0, 0, -1, -1, 0)),
    "pidfd_getfd": (438, 438, (-1, 0, 0)),
    "pidfd_open": (434, 434, (os.getpid(), 0)),
    "pidfd_send_signal": (424, 424, (-1, 0, 0, 0)),
    "pivot_root": (155, 41, (0, 0)),
    "process_madvise": (440, 440, (-1, 0, 0, 0, 0)),
    "process_vm_readv": (310, 270, (os.getpid(), 0, 0, 0, 0, 0)),
    "process_vm_writev": (311, 271, (os.getpid(), 0, 0, 0, 0, 0)),
    "ptrace": (101, 117, (PTRACE_SEIZE, 0, 0, 0)),
    "quotactl": (179, 60, (0, 0, 0, 0)),
    "reboot": (169, 142, (0, 0, 0, 0)),
    "sched_setscheduler": (144, 119, (0, -1, 0)),
    "settimeofday": (164, 170, (1, 0)),
    "swapon": (167, 224, (0, 0)),
    "userfaultfd": (323, 282, (-1,)),
}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class RefusedError(Exception):
    """An attempt was refused in a way that is no error of the operating system."""


def system_call(name: str) -> None:
    """Call it directly; succeed if the kernel looked at the arguments."""
    x86, arm, arguments = SYSTEM_CALLS[name]
    number = arm if platform.machine() == "aarch64" else x86
    result = _libc.syscall(ctypes.c_long(number), *(ctypes.c_long(one) for one in arguments))
    failed = ctypes.get_errno()
    if result < 0 and failed in NOT_REACHED:
        raise OSError(failed, name)
    if result >= 3:
        os.close(result)


def library_call(name: str, *arguments: int) -> int:
    """Call a function of the C library."""
    function = getattr(_libc, name)
    function.restype = ctypes.c_long
    result: int = function(*(ctypes.c_long(one) for one in arguments))
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return result


# --- Reading and writing ---------------------------------------------------------------------------------------


def read(path: str) -> None:
    """Read a byte."""
    with open(path, "rb", buffering=0) as file:
        file.read(1)


def list_directory(path: str) -> None:
    """List a directory; an empty one shows nothing."""
    if not any(Path(path).iterdir()):
        raise RefusedError("empty")


def write(directory: str) -> None:
    """Create a file with the mark as its name."""
    descriptor = os.open(Path(directory, MARK), os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    os.close(descriptor)


def open_for_writing(path: str) -> None:
    """Open a file that exists."""
    os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))


def read_memory(pid: int) -> None:
    """Read the memory of another process where its program is."""
    with open(f"/proc/{pid}/maps") as maps:
        start = int(maps.readline().split("-")[0], 16)
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(start)
        memory.read(1)


# --- Execution -------------------------------------------------------------------------------------------------


def execute(*command: str) -> None:
    """Run a program; succeed if it ran and succeeded."""
    child = os.posix_spawn(command[0], command, {"PATH": "/usr/bin"})
    _, status = os.waitpid(child, 0)
    if status:
        raise RefusedError(f"status {os.waitstatus_to_exitcode(status)}")


def execute_own(directory: str) -> None:
    """Run a program that this process has written."""
    path = Path(directory, MARK)
    shutil.copyfile("/bin/true", path)
    path.chmod(0o700)
    try:
        execute(str(path))
    finally:
        path.unlink()


def execute_memory() -> None:
    """Run a program that is in memory only."""
    with os.fdopen(os.memfd_create(MARK, 0), "wb") as file:
        file.write(Path("/bin/true").read_bytes())
        file.flush()
        execute(f"/proc/self/fd/{file.fileno()}")


def loader() -> str:
    """Return the path of the dynamic loader, which runs programs that are given to it."""
    names = ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1")
    return next(name for name in names if Path(name).exists())


def map_code() -> None:
    """Map memory that can be written and executed."""
    mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def make_executable() -> None:
    """Make written memory executable."""
    with closing(mmap.mmap(-1, mmap.PAGESIZE)) as written:
        address = ctypes.addressof(ctypes.c_char.from_buffer(written))
        try:
            library_call("mprotect", address, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC)
        finally:
            del address


def map_code_of(path: str) -> None:
    """Map a file that exists as code."""
    with open(path, "rb") as file:
        mmap.mmap(file.fileno(), mmap.PAGESIZE, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC).close()


def map_file(directory: str) -> None:
    """Map a file that this process has written as code."""
    path = Path(directory, MARK)
    shutil.copyfile("/bin/true", path)
    try:
        map_code_of(str(path))
    finally:
        path.unlink()


def share_code() -> None:
    """Attach shared memory as code."""
    shared = library_call("shmget", IPC_PRIVATE, mmap.PAGESIZE, IPC_CREAT | 0o700)
    try:
        library_call("shmdt", library_call("shmat", shared, 0, SHM_EXEC))
    finally:
        library_call("shmctl", shared, IPC_RMID, 0)


def set_user_bit(directory: str) -> None:
    """Make a file that runs as the user of this service, whoever executes it."""
    path = Path(directory, MARK)
    path.touch()
    try:
        path.chmod(0o4755)
    finally:
        path.unlink()


def give_away(directory: str) -> None:
    """Make a file that belongs to root."""
    path = Path(directory, MARK)
    path.touch()
    try:
        os.chown(path, 0, 0)
    finally:
        path.unlink()


# --- Connections -----------------------------------------------------------------------------------------------


def make_socket(family: int, kind: int, protocol: int = 0) -> None:
    """Make a socket; protocols that the kernel lacks count as refused."""
    socket.socket(family, kind, protocol).close()


def bind(kind: int, port: int) -> None:
    """Bind a port of localhost."""
    with socket.socket(socket.AF_INET, kind) as one:
        one.bind(("127.0.0.1", port))


def connect(address: str) -> None:
    """Send something; a port where nobody listens was reached too."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        one.settimeout(2)
        with suppress(ConnectionRefusedError):
            one.connect((address, 9))


def send_to(path: str) -> None:
    """Send a message to a socket of the machine, without a connection to it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.sendto(b"", path)


def pass_descriptor() -> None:
    """Pass an open file to another process, which could be that of another user."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        socket.send_fds(ours, [b"x"], [0])


def connect_local(path: str) -> None:
    """Connect to a socket of the machine."""
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(path)


def attempts(state: str, pid: int, secret: str) -> dict[str, Callable[[], object]]:
    """Return all attempts by name."""
    process = f"/proc/{pid}"
    found: dict[str, Callable[[], object]] = {
        "read the machine through the first process": partial(read, "/proc/1/root/etc/hostname"),
        "read the machine through another user's process": partial(read, f"{process}/root/etc/hostname"),
        "read variables of the first process": partial(read, "/proc/1/environ"),
        "read variables of another user's process": partial(read, f"{process}/environ"),
        "read memory of another user's process": partial(read_memory, pid),
        "see the files of another user's process": partial(list_directory, f"{process}/fd"),
        "see that another user's process exists": partial(os.stat, process),
        "read the passwords": partial(read, "/etc/shadow"),
        "read another user's file": partial(read, secret),
        "see home directories": partial(list_directory, "/home"),
        "see root's home directory": partial(list_directory, "/root"),
        "write the machine through the first process": partial(write, "/proc/1/root/tmp"),
        "write the machine through another user's process": partial(write, f"{process}/root/tmp"),
        "write code through own memory": partial(open_for_writing, "/proc/self/mem"),
        "write code through the memory of a thread": partial(open_for_writing, "/proc/thread-self/mem"),
        "write memory of another user's process": partial(open_for_writing, f"{process}/mem"),
        "the same through its own root": partial(open_for_writing, f"{process}/root{process}/mem"),
        "write settings of the kernel": partial(open_for_writing, "/proc/sys/kernel/core_pattern"),
        "write settings of devices": partial(open_for_writing, "/sys/kernel/uevent_helper"),
        "write settings of this process": partial(open_for_writing, "/proc/self/oom_score_adj"),
        "signal another user's process": partial(os.kill, pid, 0),
        "signal the first process": partial(os.kill, 1, 0),
        "become root": partial(os.setuid, 0),
        "give a file to root": partial(give_away, state),
        "new user namespace": partial(library_call, "unshare", CLONE_NEWUSER),
        "new mount namespace": partial(library_call, "unshare", CLONE_NEWNS),
        "run a shell": partial(execute, "/bin/sh", "-c", ":"),
        "run a program of the system": partial(execute, "/bin/true"),
        "run a program through the loader": partial(execute, loader(), "/bin/true"),
        "run a program of the machine through the first process": partial(execute, "/proc/1/root/bin/true"),
        "run a program through another user's process": partial(execute, f"{process}/root/bin/true"),
        "map code of the machine through the first process": partial(map_code_of, "/proc/1/root/bin/true"),
        "run an own program": partial(execute_own, state),
        "run an own program in /tmp": partial(execute_own, "/tmp"),
        "run a program in memory": execute_memory,
        "map memory to write and execute": map_code,
        "make written memory executable": make_executable,
        "map an own file as code": partial(map_file, state),
        "share memory as code": share_code,
        "set the user bit of a file": partial(set_user_bit, state),
        "raw packets": partial(make_socket, socket.AF_PACKET, socket.SOCK_RAW),
        "raw IP": partial(make_socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        "netlink": partial(make_socket, socket.AF_NETLINK, socket.SOCK_RAW),
        "sockets of the kernel's cryptography": partial(make_socket, socket.AF_ALG, socket.SOCK_SEQPACKET),
        "sockets to a hypervisor": partial(make_socket, socket.AF_VSOCK, socket.SOCK_STREAM),
        "IPv4": partial(make_socket, socket.AF_INET, socket.SOCK_STREAM),
        "IPv6": partial(make_socket, socket.AF_INET6, socket.SOCK_STREAM),
        "bind a port of the system": partial(bind, socket.SOCK_STREAM, 81),
        "bind a UDP port": partial(bind, socket.SOCK_DGRAM, 8125),
        "reach the metadata of a cloud": partial(connect, METADATA),
        "send a message to a socket of the machine": partial(send_to, NOTIFY),
        "send a message through the first process": partial(send_to, f"/proc/1/root{NOTIFY}"),
        "pass an open file": pass_descriptor,
        "D-Bus": partial(connect_local, BUS),
        "D-Bus through another user's process": partial(connect_local, f"{process}/root{BUS}"),
        "the socket to control systemd": partial(connect_local, "/run/systemd/private"),
    }
    for directory in (
        "/",
        "/dev",
        "/dev/shm",
        "/etc",
        "/home",
        "/run",
        "/run/lock",
        "/sys",
        "/usr",
        "/var/tmp",
        "/var/tmp/genv",
    ):
        found[f"write in {directory}"] = partial(write, directory)
    found["write where everybody may"] = partial(write, str(Path(__file__).parent))
    found["write in /tmp"] = partial(write, "/tmp")
    found["write in its own directory"] = partial(write, state)
    for device in ("/dev/fuse", "/dev/kmsg", "/dev/kvm", "/dev/mem", "/dev/net/tun", "/dev/ptmx"):
        found[f"open {device}"] = partial(open_for_writing, device)
    for name in SYSTEM_CALLS:
        found[f"call {name}"] = partial(system_call, name)
    return found


def attempt(name: str, act: Callable[[], object]) -> str:
    """Return the line for one attempt."""
    try:
        act()
    except OSError as error:
        return f"{name}: refused ({errno.errorcode.get(error.errno or 0, error)})"
    except RefusedError as error:
        return f"{name}: refused ({error})"
    return f"{name}: allowed"


def main() -> None:
    """Make all attempts, each in a process of its own, as some would change this one."""
    state, pid, secret = sys.argv[1:]
    signal.alarm(60)
    for name, act in attempts(state, int(pid), secret).items():
        child = os.fork()
        if child == 0:
            print(attempt(name, act), flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            print(f"{name}: refused ({signal.Signals(os.WTERMSIG(status)).name})", flush=True)
    print("all attempts are made", flush=True)


if __name__ == "__main__":
    main()
