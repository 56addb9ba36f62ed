"""Reading files that every user of the machine may have written, replaced or be writing just now."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from genvd.collectors.base import CollectorError
from genvd.collectors.genv.directory import open_problem

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

    def read(self, path: Path, deadline: float, directory: int | None = None) -> T | None:
        """Return what the content means, or None where there is no such file.

        Writers truncate and rewrite in place, so a file that is empty or does not parse is read again until
        ``deadline`` (of :func:`time.monotonic`).

        Args:
            path: of the file, which is not read through a symbolic link.
            deadline: when to give up.
            directory: descriptor of the directory that the file is in, where that was opened before.

        Raises:
            CollectorError: no regular file, not readable, too large, or no such JSON when the deadline has passed.
        """
        while True:
            try:
                content = _read_regular_file(path, directory)
            except FileNotFoundError:
                self._last = None
                return None
            if self._last and self._last[0] == content:
                return self._last[1]
            try:
                meaning = self._interpret(_parsed(content))
            except ValueError as error:
                if time.monotonic() >= deadline:
                    raise CollectorError(f"{path}: {error}; remove it, genv makes it again") from None
            else:
                self._last = (content, meaning)
                return meaning
            time.sleep(_RETRY_SECONDS)


def _parsed(content: bytes) -> Any:
    """Return the content as JSON.

    Raises:
        ValueError: it is none. The text says what is wrong and nothing of what is inside, since everybody gets to read
            it, and the file may be somebody's own after all.
    """
    if not content.strip():
        raise ValueError("is empty")
    if sum(map(content.count, _TOKENS)) > MAX_TOKENS:
        raise ValueError(f"has more than {MAX_TOKENS} entries and values, which no genv command writes")
    try:
        return json.loads(content)
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    except RecursionError:
        raise ValueError("is nested too deep") from None
    except ValueError:  # no JSON, or a number with more digits than Python reads
        raise ValueError("is not valid JSON") from None


@contextmanager
def shared_lock(path: Path, deadline: float, directory: int | None = None) -> Iterator[bool]:
    """Hold genv's lock file shared, if it can be had before ``deadline`` (of :func:`time.monotonic`).

    Yields whether the lock is held. Anybody can hold it for ever, so a reader goes on without it; a lock file
    that is not there is not made.

    Args:
        path: of the lock file.
        deadline: when to go on without it.
        directory: descriptor of the directory that it is in, where that was opened before.
    """
    try:
        descriptor = _open_regular_file(path, directory)
    except (OSError, CollectorError):
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


def _read_regular_file(path: Path, directory: int | None) -> bytes:
    try:
        descriptor = _open_regular_file(path, directory)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CollectorError(f"{path}: {open_problem(error)}") from None
    with open(descriptor, "rb", buffering=0) as file:
        content = b""
        while len(content) <= MAX_BYTES and (chunk := file.read(MAX_BYTES + 1 - len(content))):
            content += chunk
    if len(content) > MAX_BYTES:
        raise CollectorError(f"{path}: is larger than {MAX_BYTES} bytes; remove it, no genv command writes that much")
    return content


def _open_regular_file(path: Path, directory: int | None) -> int:
    descriptor = os.open(path if directory is None else path.name, _OPEN_FLAGS, dir_fd=directory)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CollectorError(f"{path}: is not a regular file; remove it, genv makes it again")
    return descriptor
