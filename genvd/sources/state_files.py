"""Reading files that every user of the machine may have written, replaced or be writing just now."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from genvd.sources import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")

MAX_BYTES = 8 * 1024 * 1024
"""Of one state file. Ten thousand environments take about four and a half megabytes."""

MAX_TOKENS = 300_000
"""Of one state file: commas, colons, brackets and braces, of which an environment has about thirty.

What is read becomes objects, of which this file can hold so many that they take 400 MB and more than a second
(``[[[...]]],[[[...]]]``). So bounded, the worst documents known take 60 MB and a fifth of a second.
"""
_TOKENS = (b",", b":", b"[", b"{")

_OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
_RETRY_SECONDS = 0.005


class StateFile(Generic[T]):
    """A state file, and what its content means. Content that is as it was is not parsed again."""

    def __init__(self, interpret: Callable[[Any], T]) -> None:
        """Know how to read it.

        Args:
            interpret: makes of the parsed content what it means; raises ValueError, with the reason, if it is of
                another shape than such a file has.
        """
        self._interpret = interpret
        self._last: tuple[bytes, T] | None = None

    def read(self, path: Path, deadline: float) -> T | None:
        """Return what the content means, or None where there is no such file.

        Writers truncate and rewrite in place, so a file that is empty or does not parse is read again until
        ``deadline`` (of :func:`time.monotonic`).

        Raises:
            SourceError: no regular file, not readable, too large, or no such JSON when the deadline has passed.
        """
        while True:
            try:
                content = _read_regular_file(path)
            except FileNotFoundError:
                self._last = None
                return None
            if self._last and self._last[0] == content:
                return self._last[1]
            try:
                meaning = self._interpret(_parsed(content))
            except ValueError as error:
                if time.monotonic() >= deadline:
                    raise SourceError(f"{path}: {error}; remove it, genv makes it anew") from None
            else:
                self._last = (content, meaning)
                return meaning
            time.sleep(_RETRY_SECONDS)


def _parsed(content: bytes) -> Any:
    if not content.strip():
        raise ValueError("is empty")
    tokens = sum(map(content.count, _TOKENS))
    if tokens > MAX_TOKENS:
        raise ValueError(f"has {tokens} entries and values, more than {MAX_TOKENS}, which no genv command writes")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not valid JSON ({_first_line(error)})") from None


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
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        return f"cannot be read now: {error.strerror}; see who has so many files open, or raise LimitNOFILE, MemoryMax"
    return f"cannot be read: {error.strerror}; remove it, genv makes it anew"


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:100]
