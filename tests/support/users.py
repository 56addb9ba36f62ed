"""Real users of this machine, made for the tests and removed afterwards."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from tests.support.needs import need_command, need_root

if TYPE_CHECKING:
    from collections.abc import Iterator

# Not those that users of a booted system get, which share our table of processes: all processes of a uid are killed.
_UIDS = ("--key", "UID_MIN=30000", "--key", "UID_MAX=59999")


@dataclass(frozen=True)
class User:
    """Somebody with an account."""

    name: str
    uid: int
    gid: int


@contextmanager
def temporary_users(count: int) -> Iterator[tuple[User, ...]]:
    """Make so many users; at the end their processes are killed and they are removed."""
    need_root("makes users")
    need_command("useradd", "passwd")
    made: list[User] = []
    try:
        for _ in range(count):
            made.append(_make(f"genvtest-{secrets.token_hex(5)}"))
        yield tuple(made)
    finally:
        for user in made:
            _remove(user)


@contextmanager
def second_name(user: User) -> Iterator[User]:
    """Give the user a second account, with the same uid."""
    need_command("useradd", "passwd")
    alias = _make(f"genvtest-{secrets.token_hex(5)}", "--non-unique", "--uid", str(user.uid))
    try:
        yield alias
    finally:
        _run("userdel", "--force", alias.name)


def _make(name: str, *options: str) -> User:
    # No group of its own, no home: nothing but the one line of /etc/passwd that a username is.
    fixed = ("--no-create-home", "--no-user-group", "--home-dir", "/", "--shell", "/bin/bash", *_UIDS)
    _run("useradd", *fixed, *options, name)
    entry = pwd.getpwnam(name)
    return User(name, entry.pw_uid, entry.pw_gid)


def _remove(user: User) -> None:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if process.uids().real == user.uid:
                os.kill(process.pid, signal.SIGKILL)
    # By force: where process 1 does not wait for orphans, what was killed stays a zombie of that user.
    _run("userdel", "--force", user.name)


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit status {result.returncode}: {result.stderr.strip()}")
