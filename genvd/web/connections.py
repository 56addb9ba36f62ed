"""The open connections: what each waits for, for how long it may, and who has to go when there is no room."""

from __future__ import annotations

import enum
import resource
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_CONNECTIONS = 3072
"""Connections at a time. Each takes 4 KiB, and up to 30 more for a request that has not come as a complete."""

MAX_TLS_CONNECTIONS = 1024
"""Connections on which TLS has begun, each of which takes tens of KiB. There are more as long as nothing has come."""

_RESERVE = 128
"""Descriptors that are left to everything else: files of genv and of /proc, the driver's devices, children."""

_WANTED_DESCRIPTORS = MAX_CONNECTIONS + 2 * _RESERVE


class Stage(enum.IntEnum):  # numbers are looked up faster, and each request comes into several stages
    """What a connection waits for. The order is that in which they have to go."""

    LINGERING = 0
    """It is refused already; what the client still sends is thrown away, so that it can read why."""
    NEW = 1
    """It has not sent one complete request yet."""
    AUTHENTICATING = 2
    """Its password is being checked."""
    SENDING = 3
    """It gets an answer and has not taken all of it."""
    RECEIVING = 4
    """It had an answer, and has begun to send the next request."""
    IDLE = 5
    """It had an answer, and may ask again."""


TIMEOUTS = {
    Stage.LINGERING: 2.0,
    Stage.NEW: 10.0,
    Stage.AUTHENTICATING: 10.0,
    Stage.SENDING: 10.0,
    Stage.RECEIVING: 10.0,
    Stage.IDLE: 120.0,  # longer than scrape intervals, so that the connection is used again
}
"""How long a connection may stay in a stage."""

_SHARE = 8
"""Each stage may have an eighth of all places before one of its connections has to go for a new one.

So whoever opens connections and leaves them lying about, however that is done, shuts out himself and not those who
ask and take the answer; and those, however many they are, leave some places to who comes new.
"""


class Staged(Protocol):
    """A connection, as far as it matters here."""

    stage: Stage | None
    """None before it is put into a stage, and once it is removed."""


_Connection = TypeVar("_Connection", bound=Staged)


class Connections(Generic[_Connection]):
    """All open connections, by stage, each stage in the order in which they came into it."""

    def __init__(self) -> None:
        self._stages: dict[Stage, dict[_Connection, None]] = {stage: {} for stage in Stage}

    def __len__(self) -> int:
        return sum(map(len, self._stages.values()))

    def __iter__(self) -> Iterator[_Connection]:
        return iter(self.in_stage(*Stage))

    def put(self, connection: _Connection, stage: Stage) -> None:
        """Note that a connection, which may be a new one, comes into a stage."""
        self.remove(connection)
        connection.stage = stage
        self._stages[stage][connection] = None

    def remove(self, connection: _Connection) -> None:
        """Forget a connection; its stage is None from now on."""
        if connection.stage is not None:
            del self._stages[connection.stage][connection]
            connection.stage = None

    def in_stage(self, *stages: Stage) -> list[_Connection]:
        """Return the connections that are in one of the stages, the oldest of each first."""
        return [connection for stage in stages for connection in self._stages[stage]]

    def victim_if_full(self, limit: int) -> _Connection | None:
        """Return the connection that has to go before another can come; None while there is room.

        Args:
            limit: how many connections there may be.
        """
        return self.victim(limit) if len(self) >= limit else None

    def victim(self, limit: int) -> _Connection | None:
        """Return the connection that is missed the least, None if there is none.

        Args:
            limit: how many connections there may be.
        """
        for stage in Stage:
            if len(self._stages[stage]) > limit // _SHARE:
                return next(iter(self._stages[stage]))
        return next((next(iter(members)) for members in self._stages.values() if members), None)


def connection_limit() -> int:
    """Return how many connections there may be with the limit on descriptors as it is now."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(1, min(MAX_CONNECTIONS, soft - min(_RESERVE, soft // 2)))


def raise_descriptor_limit() -> None:
    """Allow this process as many descriptors as the most connections take, as far as the hard limit goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _WANTED_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # a sandbox may not let it; then there are fewer connections
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
