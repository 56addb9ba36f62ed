"""What a test needs of the machine. Without it the test is left out, in one line that says why.

In continuous integration (the variable GENV_TESTS_REQUIRE=all) nothing may be left out but what no such machine has.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


def need(there: object, reason: str, *, optional: bool = False) -> None:
    """Leave the test out unless what it needs is there.

    Args:
        there: true if it is.
        reason: what is missing, and how one gets it.
        optional: whether continuous integration may lack it as well.
    """
    if there:
        return
    if os.environ.get("GENV_TESTS_REQUIRE") == "all" and not optional:
        pytest.fail(f"may not be left out here: {reason}", pytrace=False)
    pytest.skip(reason)


@contextmanager
def said_by(command: str) -> Iterator[None]:
    """Where a program and no test lacks something, end it with the one line that says what, after its name."""
    try:
        yield
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:
        sys.exit(f"{command} {missing}")


def need_root(why: str) -> None:
    """Leave the test out unless it runs as root."""
    need(os.geteuid() == 0, f"needs root: {why}")


def need_command(name: str, package: str) -> str:
    """Return the path of a command; leave the test out if it is not there."""
    path = shutil.which(name)
    need(path, f"needs {name}: apt install {package}")
    assert path
    return path


def need_localhost() -> None:
    """Leave the test out where the name ``localhost`` has no address: what is published names it."""
    need(_localhost(), "needs an address for localhost in /etc/hosts: apt install netbase")


def need_user_namespaces() -> None:
    """Leave the test out where no user namespaces can be made, as in a chroot."""
    made = subprocess.run(["unshare", "--user", "true"], capture_output=True, check=False)
    need(made.returncode == 0, "needs user namespaces")


def published_host() -> str:
    """Return what a monitor that serves both loopback addresses publishes: the name, where it means nothing else."""
    found = _localhost()
    return "localhost" if found and found <= {"127.0.0.1", "::1"} else "127.0.0.1"


def _localhost() -> set[str]:
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo("localhost", None)}
    except OSError:
        return set()
