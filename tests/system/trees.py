"""Minimal Debian systems, unpacked in directories: made once, kept below build/, never changed afterwards.

Each has all that the package depends on, so that apt installs it from its file without a network.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.needs import need, need_command, need_root

if TYPE_CHECKING:
    from collections.abc import Iterator

TREES = Path(__file__).resolve().parents[2] / "build" / "trees"

RELEASES = {"bookworm": "Debian 12", "trixie": "Debian 13"}

on_debian_12 = pytest.mark.parametrize("release", ["bookworm"], indirect=True)
"""For what takes long and is the same in all releases, such as what dpkg and the package's scripts do with files."""
on_debian_13 = pytest.mark.parametrize("release", ["trixie"], indirect=True)
"""The same, for what the service itself does, such as with a driver: so that both machines have their share."""

_PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "man-db", "libbpf1"),  # with libbpf, systemd can restrict ports (Debian 13)
    *("python3", "python3-h11", "python3-prometheus-client", "python3-psutil", "python3-sdnotify", "python3-yaml"),
)
_HOOKS = (
    # There is no console for anybody to log in at.
    'ln -s /dev/null "$1/etc/systemd/system/console-getty.service"',
    'echo machine >"$1/etc/hostname"',
    # As installed systems have it; without it localhost does not resolve. Here only Debian 13 brings one.
    r'printf "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" >"$1/etc/hosts"',
)
_SECONDS = 900.0


def all_trees() -> None:
    """Make those that are not there yet, all at the same time."""
    with ThreadPoolExecutor(len(RELEASES)) as pool:
        list(pool.map(tree, RELEASES))


def tree(release: str) -> Path:
    """Return the directory with a minimal system of this release; without one leave the test out.

    Args:
        release: one of :data:`RELEASES`.
    """
    need_root("makes and boots whole systems")
    need_command("mmdebstrap", "mmdebstrap")
    key = hashlib.sha256(repr((_PACKAGES, _HOOKS)).encode()).hexdigest()[:12]
    directory = TREES / f"{release}-{key}"
    TREES.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(TREES / f".lock-{release}"):
        if not directory.is_dir():
            need(_make(release, directory), f"needs {RELEASES[release]}: mmdebstrap could not fetch it")
    return directory


def _make(release: str, directory: Path) -> bool:
    """Make it, whole or not at all; tell whether it is there."""
    for left in TREES.glob(f".{release}-*"):  # by somebody who was killed; the lock is ours
        shutil.rmtree(left)
    scratch = Path(tempfile.mkdtemp(prefix=f".{release}-", dir=TREES))
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(_PACKAGES)}"]
    command += [f"--customize-hook={hook}" for hook in _HOOKS]
    sources = "".join(f"deb {line}\n" for line in _sources(release))
    try:
        done = subprocess.run(
            # A lone dash is the standard input; without sources of this system's, mmdebstrap knows Debian's own.
            [*command, release, str(scratch / "root"), *(["-"] if sources else [])],
            input=sources,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
        if done.returncode == 0:
            (scratch / "root").rename(directory)
        else:
            print(done.stderr)
        return done.returncode == 0
    finally:
        shutil.rmtree(scratch)


def _sources(release: str) -> list[str]:
    """Return this system's own sources, for another release: ``URI SUITE COMPONENT`` each."""
    own = _codename()
    command = ("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
    targets = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    suites = {own: release, f"{own}-updates": f"{release}-updates", f"{own}-security": f"{release}-security"}
    found = {tuple(target.split()) for target in targets}
    return sorted(
        f"{uri} {suites[suite]} {component}"
        for uri, suite, component in found
        if suite in suites and component == "main"
    )


def _codename() -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        name, _, value = line.partition("=")
        if name == "VERSION_CODENAME":
            return value.strip('"')
    return ""


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
