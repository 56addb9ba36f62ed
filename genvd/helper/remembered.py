"""What one helper process leaves for the next one: which processes block. It is kept in a pipe.

systemd keeps the pipe open between two processes (FileDescriptorStoreMax= of systemd.service(5)); in a terminal the
supervisor does. The helper writes no file.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from typing import TYPE_CHECKING

from genvd.common.descriptors import store_descriptors
from genvd.helper.reading import MAX_LEFT_OUT_SECONDS, LeftOut

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sdnotify import SystemdNotifier

STORE_NAME = "left-out"
"""Name of the pipe among the descriptors that systemd passes (sd_listen_fds_with_names(3))."""

_MAX_PROCESSES = 1000
_PIPE_BYTES = 64 * 1024
"""Capacity of a pipe (pipe(7)). An entry takes up to 60 bytes."""


class Remembered:
    """The pipe."""

    def __init__(self, descriptors: tuple[int, int]) -> None:
        """Use a pipe.

        Args:
            descriptors: the end to read, and the end to write.
        """
        self._read, self._write = descriptors
        for descriptor in descriptors:
            os.set_blocking(descriptor, False)

    @classmethod
    def found(cls, stored: Iterable[int], notifier: SystemdNotifier) -> Remembered:
        """Return the pipe that systemd has passed; store a new one if it has passed none.

        Args:
            stored: the descriptors of this name.
            notifier: the connection to systemd.
        """
        ends = {fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE: descriptor for descriptor in stored}
        if ends.keys() == {os.O_RDONLY, os.O_WRONLY}:
            return cls((ends[os.O_RDONLY], ends[os.O_WRONLY]))
        pipe = os.pipe()
        store_descriptors(notifier.socket, STORE_NAME, pipe)
        return cls(pipe)

    def take(self) -> dict[int, LeftOut]:
        """Return the processes that blocked the process before this one; nothing if it has left nothing."""
        try:
            listed = json.loads(os.read(self._read, _PIPE_BYTES))
            latest = time.monotonic() + MAX_LEFT_OUT_SECONDS
            return {
                int(pid): LeftOut(min(float(until), latest), float(seconds), uid) for pid, until, seconds, uid in listed
            }
        except (OSError, ValueError, TypeError):
            return {}

    def leave(self, left_out: Mapping[int, LeftOut]) -> None:
        """Leave the processes that are left out the longest for the next process."""
        longest = sorted(left_out.items(), key=lambda item: item[1].until)[-_MAX_PROCESSES:]
        entries = [[pid, round(one.until, 1), one.seconds, one.uid] for pid, one in longest]
        os.write(self._write, json.dumps(entries).encode())
