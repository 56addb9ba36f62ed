"""The table of open connections, their timeouts, and the choice of the connection to close when there are too many."""

from __future__ import annotations

import enum
import resource
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_CONNECTIONS = 3072
"""Maximum number of open connections. Each takes 4 KiB, and up to 30 KiB more for an incomplete request."""

MAX_TLS_CONNECTIONS = 1024
"""Maximum number of connections that have begun TLS, each of which takes tens of KiB."""

_RESERVE = 128
"""File descriptors for everything else: genv's files, /proc, the driver's devices, child processes."""

_WANTED_DESCRIPTORS = MAX_CONNECTIONS + 2 * _RESERVE


class Stage(enum.IntEnum):  # an IntEnum is faster as a dictionary key, and each request passes several stages
    """What a connection is waiting for. Connections of lower stages are closed first."""

    LINGERING = 0
    """It was rejected. What the client still sends is discarded, so that it can read the response."""
    NEW = 1
    """It has not sent a complete request yet."""
    AUTHENTICATING = 2
    """Its password is being checked."""
    PREPARING = 3
    """The response is being prepared: the client waits for the service."""
    SENDING = 4
    """The client has not received the complete response yet."""
    RECEIVING = 5
    """It has received a response, and has begun to send the next request."""
    IDLE = 6
    """It has received a response, and may send another request."""


TIMEOUTS = {
    Stage.LINGERING: 2.0,
    Stage.NEW: 10.0,
    Stage.AUTHENTICATING: 10.0,
    Stage.PREPARING: 120.0,  # longer than anybody waits: what a busy machine takes is not the fault of the client
    Stage.SENDING: 10.0,
    Stage.RECEIVING: 10.0,
    Stage.IDLE: 120.0,  # longer than scrape intervals, so that Prometheus can reuse the connection
}
"""Seconds that a connection may stay in a stage."""

_SHARE = 8
"""Each stage may have an eighth of all connections before one of them is closed for a new one.

So a client that opens connections and does not use them blocks only itself, and many well-behaved clients still leave
room for new ones.
"""


class Staged(Protocol):
    """A connection that has a stage."""

    stage: Stage | None
    """None before the connection is added, and after it is removed."""


_Connection = TypeVar("_Connection", bound=Staged)


class Connections(Generic[_Connection]):
    """All open connections by stage. Within a stage, the one that entered it first comes first."""

    def __init__(self) -> None:
        self._stages: dict[Stage, dict[_Connection, None]] = {stage: {} for stage in Stage}

    def __len__(self) -> int:
        return sum(map(len, self._stages.values()))

    def __iter__(self) -> Iterator[_Connection]:
        return iter(self.in_stage(*Stage))

    def put(self, connection: _Connection, stage: Stage) -> None:
        """Move a connection to a stage; add it if it is new."""
        self.remove(connection)
        connection.stage = stage
        self._stages[stage][connection] = None

    def remove(self, connection: _Connection) -> None:
        """Remove a connection, if it is in the table, and set its stage to None."""
        if connection.stage is not None:
            del self._stages[connection.stage][connection]
            connection.stage = None

    def in_stage(self, *stages: Stage) -> list[_Connection]:
        """Return the connections in these stages, the oldest of each stage first."""
        return [connection for stage in stages for connection in self._stages[stage]]

    def victim_if_full(self, limit: int) -> _Connection | None:
        """Return the connection to close before a new one is added; None if the limit is not reached."""
        return self.victim(limit) if len(self) >= limit else None

    def victim(self, limit: int) -> _Connection | None:
        """Return the connection to close first; None if there are no connections.

        Args:
            limit: maximum number of connections.
        """
        for stage in Stage:
            if len(self._stages[stage]) > limit // _SHARE:
                return next(iter(self._stages[stage]))
        return next((next(iter(members)) for members in self._stages.values() if members), None)


def connection_limit() -> int:
    """Return the maximum number of connections under the current limit on file descriptors."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(1, min(MAX_CONNECTIONS, soft - min(_RESERVE, soft // 2)))


def raise_descriptor_limit() -> None:
    """Raise the soft limit on file descriptors to what the connections need, as far as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _WANTED_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # if a sandbox forbids it, there are fewer connections
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
