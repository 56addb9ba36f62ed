"""A booted system: a container with an init system, a network and a changeable file system of its own.

All of it hangs on one process, in whose private mount namespace the changes to the tree are, in memory. When that
process ends, and it does when the tests end however they do, the machine is gone with all that was in it.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from tests.support.monitor import Reply
from tests.support.needs import need, need_command, need_root
from tests.support.waiting import PATIENCE, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BOOT_SECONDS = 120.0

_CLONE_NEWNET = 0x40000000
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}

# $1: the tree, $2: an empty directory. Mounts are seen by this process and its children only.
_OVERLAY = """
set -eu
mount -t tmpfs -o mode=755 tmpfs "$2"
mkdir "$2/changes" "$2/work" "$2/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/changes,workdir=$2/work" "$2/root"
"""

# $3...: control groups, below which the container makes its own. It may do there what systemd needs to keep devices and
# addresses from a service (bpf). A container that reboots ends with 133 (--keep-unit), one that is switched off with 0.
_BOOT = (
    _OVERLAY
    + """
root=$2/root
shift 2
for group; do
  echo $$ >"$group/cgroup.procs"
done
status=133
while [ "$status" = 133 ]; do
  status=0
  SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 setpriv --pdeathsig KILL systemd-nspawn --quiet --directory "$root" --boot \
    --register=no --keep-unit --private-network --system-call-filter=bpf --link-journal=no \
    --machine genv-monitor-test || status=$?
done
exit "$status"
"""
)

# $3...: a command and its arguments.
_CHROOT = (
    _OVERLAY
    + """
root=$2/root
mount -t proc proc "$root/proc"
shift 2
exec chroot "$root" "$@"
"""
)


class CommandError(AssertionError):
    """A command in the machine failed, and what it said."""


@dataclass(frozen=True)
class Result:
    """How a command in the machine went."""

    status: int
    output: str
    errors: str


def need_machines() -> None:
    """Leave the test out where no machine can be booted."""
    need_root("boots whole systems")
    unshare = (need_command("unshare", "util-linux"), "--mount", "true")
    need(subprocess.run(unshare, check=False).returncode == 0, "needs mounts of its own: not in an ordinary container")
    need_command("systemd-nspawn", "systemd-container")
    for command in ("nsenter", "setpriv"):
        need_command(command, "util-linux")


class Machine:
    """A system that runs, from ``with`` to its end."""

    def __init__(self, tree: Path) -> None:
        """Describe it.

        Args:
            tree: the system; it is not changed.
        """
        self._tree = tree
        self._leader = 0

    def __enter__(self) -> Machine:
        self._directory = Path(tempfile.mkdtemp(prefix="genv-monitor-machine-"))
        self._console = (self._directory / "console").open("w+b")
        (self._directory / "mounts").mkdir()
        self._groups = _control_groups(self._directory.name)
        self._holder = subprocess.Popen(
            _private(_BOOT, self._tree, self._directory / "mounts", *self._groups),
            stdin=subprocess.DEVNULL,
            stdout=self._console,
            stderr=self._console,
        )
        try:
            self._wait_until_booted()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if leader := _first_process(self._holder.pid):
            os.kill(leader, signal.SIGKILL)  # all others in the machine go with it, and who waits for it ends
        try:
            self._holder.wait(PATIENCE)
        finally:
            self._holder.kill()
            self._holder.wait()
            self._console.close()
        _remove_control_groups(self._groups)
        shutil.rmtree(self._directory)

    def run(self, *command: str, stdin: str = "", check: bool = True, seconds: float = PATIENCE) -> Result:
        """Run a command as root; it has to succeed unless told otherwise."""
        done = subprocess.run(
            self._entered(command), input=stdin, capture_output=True, text=True, check=False, timeout=seconds
        )
        if check and done.returncode != 0:
            raise CommandError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return Result(done.returncode, done.stdout, done.stderr)

    def shell(self, script: str, *arguments: str, check: bool = True) -> Result:
        """Run a shell script as root."""
        return self.run("sh", "-euc", script, "sh", *arguments, check=check)

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command as root; it ends with the machine."""
        return subprocess.Popen(
            self._entered(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def path(self, inside: str) -> Path:
        """Return where a file of the machine is for the tests; until it reboots, and with no absolute link in it."""
        return Path(f"/proc/{self._leader}/root{inside}")

    def exists(self, inside: str) -> bool:
        """Tell whether there is something, be it a link that leads nowhere."""
        return os.path.lexists(self.path(inside))

    def write(self, inside: str, text: str) -> None:
        """Write a file, with its directory, readable for everybody."""
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)

    def copy(self, source: Path, inside: str) -> None:
        """Copy a file in."""
        shutil.copyfile(source, self.path(inside))
        self.path(inside).chmod(0o755)

    def reboot(self) -> None:
        """Reboot, and wait until it is up again."""
        former = self._leader
        self.run("systemctl", "reboot", check=False)
        wait_for(lambda: not psutil.pid_exists(former), "the machine goes down", BOOT_SECONDS)
        self._wait_until_booted()

    def in_network(self, act: Callable[[], Any]) -> Any:
        """Call something in a thread that is in the machine's network; sockets made there stay there."""
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(self._enter_network_and, act).result()

    def get(self, path: str, port: int = 8000, host: str = "127.0.0.1") -> Reply:
        """Ask the machine by HTTP, over a connection of its own."""
        reply: Reply = self.in_network(lambda: get(path, port, host))
        return reply

    def journal_position(self) -> str:
        """Return a mark, to read the journal from there on."""
        last: str = json.loads(self.run("journalctl", "--lines=1", "--output=json").output)["__CURSOR"]
        return last

    def journal(self, *options: str) -> list[dict[str, Any]]:
        """Return entries of the journal, each with its fields."""
        self.run("journalctl", "--sync")
        lines = self.run("journalctl", "--output=json", "--all", *options).output.splitlines()
        return [json.loads(line) for line in lines]

    def _enter_network_and(self, act: Callable[[], Any]) -> Any:
        with open(f"/proc/{self._leader}/ns/net", "rb") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        return act()

    def _entered(self, command: Sequence[str]) -> list[str]:
        environment = [f"{name}={value}" for name, value in _ENVIRONMENT.items()]
        namespaces = ("--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup")
        return ["nsenter", f"--target={self._leader}", *namespaces, "env", "-i", *environment, *command]

    def _wait_until_booted(self) -> None:
        try:
            wait_for(self._booted, "the machine runs", BOOT_SECONDS)
        except AssertionError as error:
            self._console.seek(0)
            raise AssertionError(f"{error}:\n{self._console.read().decode(errors='replace')[-5000:]}") from None
        state = self.run("systemctl", "is-system-running", check=False).output.strip()
        assert state == "running", self.run("systemctl", "--failed", "--no-legend", check=False).output

    def _booted(self) -> bool:
        if self._holder.poll() is not None:
            raise RuntimeError("the machine ended:\n" + (self._directory / "console").read_text(errors="replace"))
        self._leader = _first_process(self._holder.pid)
        if not self._leader:
            return False
        state = self.run("systemctl", "is-system-running", check=False).output.strip()
        return state in ("running", "degraded")


def in_chroot(tree: Path, files: Sequence[Path], script: str) -> Result:
    """Run a shell script in a copy of the tree that is not booted, as one does to make an image of a container.

    Args:
        tree: the system; it is not changed.
        files: to be found in /root there.
        script: what to run.
    """
    with tempfile.TemporaryDirectory(prefix="genv-monitor-chroot-") as name:
        copy = "".join(f'cp "{file}" "$2/root/root/"\n' for file in files)
        program = _CHROOT.replace("shift 2\n", f"{copy}shift 2\n")
        command = [*_private(program, tree, Path(name)), "/bin/sh", "-euc", script]
        done = subprocess.run(command, env=_ENVIRONMENT, capture_output=True, text=True, check=False, timeout=120)
    return Result(done.returncode, done.stdout, done.stderr)


def get(path: str, port: int = 8000, host: str = "127.0.0.1") -> Reply:
    """Ask by HTTP in the network of the calling thread."""
    connection = http.client.HTTPConnection(host, port, timeout=20)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read())
    finally:
        connection.close()


@dataclass
class Scraper:
    """Somebody in the machine who scrapes again and again, each time over a new connection."""

    machine: Machine
    ports: Sequence[int] = (8000,)
    """Where to scrape; a scrape that fails at one is made again at the next, and counts as failed if all fail."""
    scrapes: int = 0
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> Scraper:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.machine.in_network, args=(self._scrape_on,))
        self._thread.start()
        self.more()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def more(self, number: int = 20) -> None:
        """Wait until so many further scrapes are done."""
        target = self.scrapes + number
        wait_for(lambda: self.scrapes >= target, f"{number} further scrapes ({self.failures[-3:]})")

    def _scrape_on(self) -> None:
        while not self._stop.is_set():
            problems = []
            for port in self.ports:
                try:
                    reply = get("/metrics", port)
                    assert reply.status == 200 and b"genv_monitor_collections_total" in reply.body, reply
                    break
                except (OSError, http.client.HTTPException, AssertionError) as error:
                    problems.append(f"port {port}: {error!r}")
            else:
                self.failures.append("; ".join(problems))
            self.scrapes += 1


def _private(script: str, *arguments: Path) -> list[str]:
    """Return the command that runs a shell script in a mount namespace of its own and ends with the tests."""
    private = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private")
    return [*private, "sh", "-c", script, "sh", *map(str, arguments)]


def _control_groups(name: str) -> list[Path]:
    """Make a control group of this name, below that of this process, wherever systemd wants one."""
    own = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        own[controllers] = path.strip("/")
    groups = []
    for mount in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options, *_ = mount.split()
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(",")):
            groups.append(Path(where) / own["" if kind == "cgroup2" else "name=systemd"] / name)
            groups[-1].mkdir()
    return groups


def _remove_control_groups(groups: Sequence[Path]) -> None:
    """Remove them with all below; the kernel takes a moment to see that nobody is left in them."""

    def removed() -> bool:
        for group in groups:
            for directory, _, _ in os.walk(group, topdown=False):
                Path(directory).rmdir()
        return True

    wait_for(removed, "the control groups are empty")


def _first_process(ancestor: int) -> int:
    """Return the process below this one that is the first of a process namespace; 0 if there is none."""
    for process in psutil.Process(ancestor).children(recursive=True):
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            continue
        numbers = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
        if len(numbers) > 1 and numbers[-1] == "1":
            return process.pid
    return 0
