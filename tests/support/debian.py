"""Programs out of Debian packages that are not installed. The system stays as it is, and nobody need be root.

The system's own apt fetches the package: from the system's sources and with its keys, but with lists and a cache
below build/, so it works where apt was never updated. The package is unpacked, not installed, and what it depends
on is not fetched: this is for programs that need no more than any Debian has, as those written in Go.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.needs import need

if TYPE_CHECKING:
    from collections.abc import Iterator

BUILD = Path(__file__).resolve().parents[2] / "build"

_PROGRAMS = ("usr/bin", "usr/sbin", "bin", "sbin")
_SECONDS = 300.0

# The system's hooks are for the system's state; some of them clean it.
_APT_CONFIGURATION = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
Dir::State::Lists "{state}/lists";
Dir::Cache "{state}/cache";
"""


def program(name: str, *packages: str) -> str:
    """Return the path of a program, of the system's or else out of a package; without it leave the test out.

    Args:
        name: of the program.
        packages: that may have it, as another release of Debian can have it in another one.
    """
    if installed := shutil.which(name):
        return installed
    problems = []
    for package in packages:
        directory, problem = _unpacked(package)
        places = os.pathsep.join(str(directory / place) for place in _PROGRAMS)
        if found := shutil.which(name, path=places):
            return found
        problems.append(problem or f"there is none in {package}")
    need(False, f"needs {name}: apt install {packages[0]} ({'; '.join(problems)})")
    raise AssertionError


def promtool() -> str:
    """Return the path of promtool, which Debian 12 has in Prometheus' package and Debian 13 in one of its own."""
    return program("promtool", "prometheus", "promtool")


@cache
def _unpacked(package: str) -> tuple[Path, str]:
    """Return the directory in which the package is unpacked, and why it is not if it is not."""
    directory = BUILD / "debian" / package
    if directory.is_dir():
        return directory, ""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return directory, "no apt-get here that could fetch it"
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(directory.parent / ".lock"):
            if not directory.is_dir():
                _fetch(package, directory)
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or [f"status {error.returncode}"])[-1]
        return directory, f"{error.cmd[0]} could not fetch it: {last}"
    except (OSError, subprocess.TimeoutExpired) as error:
        return directory, f"it could not be fetched: {error}"
    return directory, ""


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(package: str, directory: Path) -> None:
    configuration = _apt_configuration()
    with tempfile.TemporaryDirectory(prefix=f".{package}-", dir=directory.parent) as name:
        scratch = Path(name)
        apt = ("apt-get", "-qq", "-c", str(configuration))
        try:
            _run(*apt, "download", package, directory=scratch)
        except subprocess.CalledProcessError:  # no lists yet, or so old that the version they name is gone
            warnings = _run(*apt, "update", directory=scratch)
            try:
                _run(*apt, "download", package, directory=scratch)
            except subprocess.CalledProcessError as error:
                error.stderr += warnings  # without a network, updating is no error and says why the rest is
                raise
        (archive,) = scratch.glob("*.deb")
        _run("dpkg-deb", "-x", str(archive), str(scratch / "content"), directory=scratch)
        (scratch / "content").rename(directory)


def _apt_configuration() -> Path:
    state = BUILD / "apt"
    for place in ("lists/partial", "cache/archives/partial"):
        (state / place).mkdir(parents=True, exist_ok=True)
    path = state / "apt.conf"
    path.write_text(_APT_CONFIGURATION.format(state=state))
    return path


def _run(*command: str, directory: Path) -> str:
    """Run a command, and return what it wrote to standard error."""
    done = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=_SECONDS,
    )
    return done.stderr
