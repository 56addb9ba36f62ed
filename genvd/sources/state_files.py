"""Reading files that every user of the machine may have written, replaced or be writing just now."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from genvd.sources import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_BYTES = 16 * 1024 * 1024
"""Of one state file. A thousand environments take about half a megabyte."""

_OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
_RETRY_SECONDS = 0.005


def read_json(path: Path, deadline: float) -> Any:
    """Return the parsed content of a state file, or None where there is no such file.

    Writers truncate and rewrite in place, so a file that is empty or does not parse is read again until
    ``deadline`` (of :func:`time.monotonic`).

    Raises:
        SourceError: no regular file, not readable, too large, or no JSON when the deadline has passed.
    """
    while True:
        try:
            content = _read_regular_file(path)
        except FileNotFoundError:
            return None
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            if time.monotonic() >= deadline:
                reason = "is empty" if not content.strip() else f"is not valid JSON ({_first_line(error)})"
                raise SourceError(f"{path}: {reason}; the next genv command rewrites it, else remove it") from None
        time.sleep(_RETRY_SECONDS)


@contextmanager
def shared_lock(path: Path, deadline: float) -> Iterator[bool]:
    """Hold genv's lock file shared, if it can be had before ``deadline`` (of :func:`time.monotonic`).

    Yields whether the lock is held. Anybody can hold it for ever, so a reader goes on without it; a lock file
    that is not there is not made.
    """
    try:
        descriptor = _open_regular_file(path)
    except (OSError, SourceError):
        yield False
        return
    try:
        yield _lock(descriptor, deadline)
    finally:
        os.close(descriptor)  # this also gives the lock back


def _lock(descriptor: int, deadline: float) -> bool:
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_RETRY_SECONDS)


def _read_regular_file(path: Path) -> bytes:
    try:
        descriptor = _open_regular_file(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SourceError(f"{path}: {_open_problem(error)}") from None
    with open(descriptor, "rb", buffering=0) as file:
        content = b""
        while len(content) <= MAX_BYTES and (chunk := file.read(MAX_BYTES + 1 - len(content))):
            content += chunk
    if len(content) > MAX_BYTES:
        raise SourceError(f"{path}: is larger than {MAX_BYTES} bytes; remove it, no genv command writes that much")
    return content


def _open_regular_file(path: Path) -> int:
    descriptor = os.open(path, _OPEN_FLAGS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SourceError(f"{path}: is no regular file; remove it, genv makes it anew")
    return descriptor


def _open_problem(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "is a symbolic link, which is not followed; remove it, genv makes it anew"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "may not be read by this user; run as a user who may (the service may)"
    return f"cannot be read: {error.strerror}; remove it, genv makes it anew"


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:100]
