"""What the tests need of this machine, and what of it is missing: ``python3 tests/preflight.py``.

It runs before there is a virtual environment, so it needs nothing but Python itself. The exit status is 1 if without
what is missing nothing can run; with ``--for TARGETS``, one of these targets of the Makefile. What is left out for want
of the rest is for each test to say (tests/support/needs.py).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pwd
import resource
import shutil
import socket
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_HELLO = '#include <stdio.h>\nint main(void) { return puts("") < 0; }\n'
REPOSITORY = Path(__file__).resolve().parents[1]
_DESCRIPTORS = 4300
"""For as many connections as a monitor serves, and some that it does not (tests/support/scarcity.py)."""


@dataclass(frozen=True)
class Need:
    """Something that tests need."""

    name: str
    packages: tuple[str, ...]
    """Of Debian, that bring it."""
    purpose: str
    is_there: Callable[[], bool]
    required: bool = False
    """Whether nothing runs without it."""
    root: bool = False
    """Whether only root has a use for it."""


def commands(*names: str) -> Callable[[], bool]:
    """Return what tells whether all these commands are there."""
    return lambda: all(map(shutil.which, names))


def compiles() -> bool:
    """Return whether there is a C compiler with the headers of the C library."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if not compiler:
        return False
    command = [compiler, "-x", "c", "-", "-o", "/dev/null"]
    return subprocess.run(command, input=_HELLO.encode(), capture_output=True, check=False).returncode == 0


def has_localhost() -> bool:
    """Return whether the name has an address."""
    try:
        return bool(socket.getaddrinfo("localhost", None))
    except OSError:
        return False


def has_browser() -> bool:
    """Return whether there is a browser that Playwright can drive."""
    return any(map(shutil.which, ("chromium", "chromium-headless-shell")))


NEEDS = (
    Need(
        "Python 3.10 or later",
        ("python3",),
        "all of it",
        lambda: sys.version_info >= (3, 10),
        required=True,
    ),
    Need(
        "python3-venv",
        ("python3-venv",),
        "the virtual environment in .venv",
        lambda: importlib.util.find_spec("ensurepip") is not None,
        required=True,
    ),
    Need("a C compiler", ("gcc", "libc6-dev"), "the NVML stand-in", compiles, required=True),
    Need("openssl", ("openssl",), "certificates for TLS", commands("openssl")),
    Need("an address for localhost", ("netbase",), "Prometheus scraping what is published", has_localhost),
    Need(
        "util-linux",
        ("util-linux",),
        "other users, limits and namespaces",
        commands("setpriv", "prlimit", "unshare", "nsenter"),
    ),
    Need("chromium", ("chromium",), "the page in a browser", has_browser),
    Need(
        "the DejaVu fonts",
        ("fonts-dejavu-core",),
        "the page in a browser",
        lambda: any(Path("/usr/share/fonts").glob("**/DejaVuSans.ttf")),
    ),
    Need(
        "prometheus",
        ("prometheus",),
        "a real Prometheus (with apt-get the tests fetch it themselves)",
        lambda: bool(shutil.which("prometheus") or (shutil.which("apt-get") and shutil.which("dpkg-deb"))),
    ),
    Need(
        "prometheus-alertmanager",
        ("prometheus-alertmanager",),
        "a real Alertmanager (with apt-get the tests fetch it themselves)",
        lambda: bool(shutil.which("amtool") or (shutil.which("apt-get") and shutil.which("dpkg-deb"))),
    ),
    Need(
        "victoria-metrics",
        ("victoria-metrics",),
        "the rules and dashboards on another engine (with apt-get the tests fetch it themselves)",
        lambda: bool(shutil.which("victoria-metrics") or (shutil.which("apt-get") and shutil.which("dpkg-deb"))),
    ),
    Need("useradd", ("passwd",), "several users", commands("useradd", "userdel"), root=True),
    Need("ip", ("iproute2",), "network namespaces with other addresses", commands("ip"), root=True),
    Need("mmdebstrap", ("mmdebstrap",), "the package in whole Debian systems", commands("mmdebstrap"), root=True),
    Need(
        "systemd-nspawn",
        ("systemd-container",),
        "the service in whole Debian systems",
        commands("systemd-nspawn"),
        root=True,
    ),
    Need("lintian", ("lintian",), "the package by Debian's own rules", commands("lintian"), root=True),
)


_VIRTUALENV = ("Python 3.10 or later", "python3-venv")
_TARGETS = {
    "test": ("a C compiler",),
    "test-python": ("a C compiler",),
    "soak": ("a C compiler",),
    "bench": ("a C compiler",),
    "fleet": ("prometheus",),
    "engines": ("prometheus", "victoria-metrics"),
    "screenshots": ("chromium", "the DejaVu fonts"),
    "draw": ("chromium", "the DejaVu fonts", "prometheus"),
}
"""What targets need beside a virtual environment, by the names of :data:`NEEDS`."""
_CACHES = (".mypy_cache", ".pytest_cache", ".ruff_cache")


def needs_of(targets: Sequence[str]) -> list[Need]:
    """Return what these targets of the Makefile cannot do without."""
    names = {*_VIRTUALENV, *(name for target in targets for name in _TARGETS.get(target, ()))}
    return [need for need in NEEDS if need.name in names]


def closed_places(targets: Sequence[str]) -> list[Path]:
    """Return where these targets write below the checkout and this user cannot."""
    virtualenv = REPOSITORY / ".venv"
    if targets == ["run"]:
        made = any((virtualenv / name).exists() for name in (".ready", ".runnable"))
        places: tuple[Path, ...] = () if made else (REPOSITORY, virtualenv)
    else:
        places = (REPOSITORY, virtualenv, *(REPOSITORY / name for name in ("build", *_CACHES)))
    return [place for place in places if place.exists() and not os.access(place, os.W_OK)]


def obstacles(targets: Sequence[str]) -> str:
    """Return what keeps these targets of the Makefile from running here, for people; empty if there is nothing."""
    lines = []
    if absent := missing(needs_of(targets)):
        names = ", ".join(need.name for need in absent)
        lines += [f"Missing on this machine for 'make {' '.join(targets)}': {names}", _to_have(absent)]
    if closed := closed_places(targets):
        user = _user_name()
        names = " ".join(map(str, closed))
        lines += [f"{user} cannot write to {names}. Use a clone of your own, or: sudo chown -R {user} {names}"]
    return "\n".join(lines)


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def missing(needs: Sequence[Need] = NEEDS) -> list[Need]:
    """Return those that are of use to this user and not there, required ones first."""
    found = [need for need in needs if not (need.root and os.geteuid()) and not need.is_there()]
    return sorted(found, key=lambda need: not need.required)


def limits() -> list[str]:
    """Return what else keeps tests from running here that no package mends."""
    said = []
    if os.geteuid():
        said.append("not root: tests of several users, of mounts and of whole systems need it (sudo make test)")
    elif not all(path.stat().st_mode & stat.S_IXOTH for path in Path(__file__).resolve().parents):
        said.append("a checkout that other users cannot enter: tests that run it as one of them (clone it below /srv)")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < _DESCRIPTORS:
        said.append(f"only {hard} open files: tests of many connections need {_DESCRIPTORS} (ulimit -Hn)")
    if not os.geteuid() and not Path("/dev/fuse").exists():
        said.append("no /dev/fuse: tests of file systems that do not answer (modprobe fuse)")
    if not Path("/proc/net/if_inet6").exists():
        said.append("no IPv6")
    return said


def report(absent: Sequence[Need], limited: Sequence[str]) -> str:
    """Return the list for people: what is missing, what for, and how one gets it."""
    parts = []
    for required, title in (
        (True, "Missing on this machine; nothing runs without:"),
        (False, "Missing on this machine; tests that need it are left out:"),
    ):
        those = [need for need in absent if need.required == required]
        if those:
            width = max(len(need.name) for need in those)
            parts += [title, *(f"  {need.name:{width}}  for {need.purpose}" for need in those)]
    if absent:
        parts += [_to_have(absent)]
    if limited:
        parts += ["Also left out here:", *(f"  {line}" for line in limited)]
    return "\n".join(parts) or "Nothing is missing on this machine for the tests."


def _to_have(absent: Sequence[Need]) -> str:
    sudo = "sudo " if os.geteuid() else ""
    packages = dict.fromkeys(package for need in absent for package in need.packages)
    return f"To have it:\n  {sudo}apt install {' '.join(packages)}"


def main() -> int:
    """Print what is missing; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--packages", action="store_true", help="print only the packages that are missing")
    parser.add_argument("--for", dest="targets", metavar="TARGETS", help="print only what these targets need")
    options = parser.parse_args()
    if options.targets is not None:
        text = obstacles(options.targets.split())
        print(text, end="\n" if text else "", file=sys.stderr)
        return int(bool(text))
    absent = missing()
    if options.packages:
        print(*(package for need in absent for package in need.packages))
        return 0
    print(report(absent, limits()), flush=True)
    return int(any(need.required for need in absent))


if __name__ == "__main__":
    sys.exit(main())
