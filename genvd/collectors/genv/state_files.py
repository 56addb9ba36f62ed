"""Reads and locks genv's state files, which any user can write, replace, or be writing at this moment."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from genvd.collectors.base import CollectorError
from genvd.collectors.genv.state_directory import open_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")

MAX_BYTES = 8 * 1024 * 1024
"""Maximum size of a state file. Ten thousand environments take about 4.5 MB."""

_CHUNK_BYTES = 64 * 1024
"""Most files are smaller. Each read allocates a buffer of the size that it asks for."""

MAX_TOKENS = 300_000
"""Maximum number of commas, colons and opening brackets in a state file. An environment has about thirty.

It limits the Python objects that the JSON becomes: ``[[[...]]],[[[...]]]`` of :data:`MAX_BYTES` takes 400 MB and more
than a second. With this limit, the worst documents known take 60 MB and 0.2 seconds.
"""
_TOKENS = (b",", b":", b"[", b"{")

_OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
_RETRY_SECONDS = 0.005


class StateFile(Generic[T]):
    """Reads and parses one state file. Unchanged content is not parsed again."""

    def __init__(self, parse: Callable[[Any], T]) -> None:
        """Create a reader.

        Args:
            parse: converts the decoded JSON; raises ValueError, with the reason, if it has the wrong shape.
        """
        self._parse = parse
        self._last: tuple[bytes, T] | None = None

    def read(self, path: Path, deadline: float, directory: int | None = None) -> T | None:
        """Return the parsed content, or None if the file does not exist.

        genv truncates a file and rewrites it in place. So an empty or invalid file is read again until the deadline.

        Args:
            path: the file. A symbolic link is refused.
            deadline: when to give up, as a time of :func:`time.monotonic`.
            directory: descriptor of the directory that contains the file, if it is open already.

        Raises:
            CollectorError: it is not a regular file, not readable, too large, or still not valid at the deadline.
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
                parsed = self._parse(_decode_json(content))
            except ValueError as error:
                if time.monotonic() >= deadline:
                    raise CollectorError(f"{path}: {error}; remove it, genv recreates it") from None
            else:
                self._last = (content, parsed)
                return parsed
            time.sleep(_RETRY_SECONDS)


def _decode_json(content: bytes) -> Any:
    """Return the content as Python objects.

    Raises:
        ValueError: it is not valid JSON. The message never quotes the content, because everybody can read the message
            and a user may have put a private file here.
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
    except ValueError:  # invalid JSON, or a number with more digits than Python converts
        raise ValueError("is not valid JSON") from None


@contextmanager
def shared_lock(path: Path, deadline: float, directory: int | None = None) -> Iterator[bool]:
    """Hold genv's lock file shared and yield True, or yield False if that is not possible before the deadline.

    The caller reads without the lock then, because any user can hold it forever. A missing lock file is not created.

    Args:
        path: the lock file.
        deadline: when to continue without it, as a time of :func:`time.monotonic`.
        directory: descriptor of the directory that contains it, if it is open already.
    """
    try:
        descriptor = _open_regular_file(path, directory)
    except (OSError, CollectorError):
        yield False
        return
    try:
        yield _lock(descriptor, deadline)
    finally:
        os.close(descriptor)  # releases the lock as well


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
        content = bytearray()
        while len(content) <= MAX_BYTES and (chunk := file.read(_CHUNK_BYTES)):
            content += chunk
    if len(content) > MAX_BYTES:
        raise CollectorError(f"{path}: is larger than {MAX_BYTES} bytes; remove it, no genv command writes that much")
    return bytes(content)


def _open_regular_file(path: Path, directory: int | None) -> int:
    descriptor = os.open(path if directory is None else path.name, _OPEN_FLAGS, dir_fd=directory)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CollectorError(f"{path}: is not a regular file; remove it, genv recreates it")
    return descriptor
