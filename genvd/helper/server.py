"""Answers the questions that arrive on a socket, one at a time."""

from __future__ import annotations

import math
import os
import select
import socket
import struct
import sys
import time
import traceback
from typing import TYPE_CHECKING, NamedTuple

from genvd.collectors.base import CollectorError
from genvd.common.clock import watchdog_seconds
from genvd.helper.messages import ProtocolError, receive, send
from genvd.helper.protocol import (
    MAX_ANSWER_BYTES,
    MAX_QUESTION_BYTES,
    AnswerEncoder,
    Failure,
    QuestionDecoder,
    encode_failure,
)
from genvd.helper.reading import StuckError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdnotify import SystemdNotifier

    from genvd.helper.reading import BlockGuard, Reading

_MAX_CONNECTIONS = 4
"""A monitor has one. A second one can be that of a new monitor, while the old one ends."""

_MESSAGE_SECONDS = 5.0
"""How long a message may take to arrive, and an answer to be taken."""

_MAX_COLLECT_SECONDS = 30.0
"""How long one collection may take. After that the watchdog ends this program."""

_IDLE_SECONDS = 60.0
"""How long to run without a connection: a program that may read everything should not run for nobody."""

_FEED_SECONDS = 1.0
"""Shortest time between two messages to the watchdog. Without questions it is half of the watchdog's timeout."""

_SHOWN_PIDS = 10
_CREDENTIALS = struct.Struct("=iII")


class Peer(NamedTuple):
    """The process at the other end of a connection (struct ucred of unix(7))."""

    pid: int
    uid: int
    gid: int


class Server:
    """Serves on a listening socket."""

    def __init__(
        self,
        reading: Reading,
        guard: BlockGuard,
        notifier: SystemdNotifier,
        listening: socket.socket,
        accepts: Callable[[Peer], bool],
    ) -> None:
        """Create a server.

        Args:
            reading: collects.
            guard: knows which processes are left out.
            notifier: the connection to systemd.
            listening: the socket on which to accept connections.
            accepts: whether a process may ask.
        """
        self._reading = reading
        self._guard = guard
        self._notifier = notifier
        self._listening = listening
        self._accepts = accepts
        self._connections: dict[int, tuple[socket.socket, QuestionDecoder, AnswerEncoder]] = {}
        self._watchdog = watchdog_seconds()
        self._fed_at = 0.0
        self._status = ""
        self._poll = select.poll()
        listening.setblocking(False)
        self._poll.register(listening, select.POLLIN)

    def serve(self) -> None:
        """Answer until nobody has been connected for :data:`_IDLE_SECONDS`.

        systemd, which keeps the listening socket, starts this program again when somebody connects.

        Raises:
            StuckError: only another process can go on. The question is answered.
        """
        self._notifier.notify("READY=1\nSTATUS=")
        connected_at = time.monotonic()
        while self._connections or time.monotonic() - connected_at < _IDLE_SECONDS:
            self._feed_watchdog()
            events = self._poll.poll(self._idle_milliseconds(connected_at))
            if self._connections:
                connected_at = time.monotonic()
            for descriptor, _ in events:
                if descriptor == self._listening.fileno():
                    self._accept()
                elif descriptor in self._connections:  # else it has been closed for a new one
                    self._answer(descriptor)

    def _idle_milliseconds(self, connected_at: float) -> float | None:
        """Return how long there is nothing to do unless somebody asks; None without an end."""
        end = math.inf if self._watchdog is None else self._fed_at + self._watchdog / 2
        if not self._connections:
            end = min(end, connected_at + _IDLE_SECONDS)
        return None if math.isinf(end) else max(0.0, end - time.monotonic()) * 1000

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError:  # the other side has given up, or there are no descriptors left
            return
        content = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        peer = Peer(*_CREDENTIALS.unpack(content))
        if not self._accepts(peer):
            _log(f"refused a connection of the user with the uid {peer.uid}")
            connection.close()
            return
        if len(self._connections) == _MAX_CONNECTIONS:
            self._disconnect(next(iter(self._connections)))
        self._connections[connection.fileno()] = connection, QuestionDecoder(), AnswerEncoder()
        self._poll.register(connection, select.POLLIN)

    def _answer(self, descriptor: int) -> None:
        connection, decoder, encoder = self._connections[descriptor]
        try:
            deadline = time.monotonic() + _MESSAGE_SECONDS
            request = decoder.decode(receive(connection, MAX_QUESTION_BYTES, deadline))
            began = time.monotonic()
            answer = encoder.encode(self._reading.collect(request, lambda: self._feed_watchdog(began)))
            self._respond(connection, answer)
        except CollectorError as error:
            self._respond(connection, encode_failure(Failure(str(error))))
        except StuckError:
            self._respond(connection, encode_failure(Failure("starts again, because processes block it", again=True)))
            raise
        except ProtocolError as error:
            _log(f"closed a connection: a message was {error}")
            self._disconnect(descriptor)
        except (EOFError, OSError):
            self._disconnect(descriptor)
        except Exception as error:  # a bug may only cost this answer
            _log("failed unexpectedly; please report this\n" + traceback.format_exc())
            self._respond(connection, encode_failure(Failure(f"unexpected {type(error).__name__}, see its journal")))
        self._show_left_out()

    def _respond(self, connection: socket.socket, answer: object) -> None:
        try:
            send(connection, answer, MAX_ANSWER_BYTES, time.monotonic() + _MESSAGE_SECONDS)
        except (OSError, ProtocolError) as error:
            _log(f"closed a connection: the answer could not be sent: {error}")
            self._disconnect(connection.fileno())

    def _disconnect(self, descriptor: int) -> None:
        connection = self._connections.pop(descriptor)[0]
        self._poll.unregister(descriptor)
        connection.close()

    def _feed_watchdog(self, busy_since: float | None = None) -> None:
        """Report to the watchdog that this program makes progress, unless a collection takes far too long."""
        now = time.monotonic()
        if now - self._fed_at >= _FEED_SECONDS and (busy_since is None or now - busy_since < _MAX_COLLECT_SECONDS):
            self._fed_at = now
            self._notifier.notify("WATCHDOG=1")

    def _show_left_out(self) -> None:
        """Show in ``systemctl status`` which processes are left out."""
        pids = sorted(self._guard.left_out)
        more = ", ..." if len(pids) > _SHOWN_PIDS else ""
        shown = ", ".join(map(str, pids[:_SHOWN_PIDS])) + more
        status = f"left out, because reading them blocks: {shown} ({len(pids)} processes)" if pids else ""
        if status != self._status:
            self._status = status
            self._notifier.notify(f"STATUS={status}")


def owns(listening: socket.socket, peer: Peer) -> bool:
    """Return whether the user of a process owns the file of a listening socket. False if there is no such file."""
    try:
        return os.stat(listening.getsockname()).st_uid == peer.uid
    except (OSError, TypeError, ValueError):
        return False


def _log(text: str) -> None:
    priority = "<4>" if "JOURNAL_STREAM" in os.environ else "genv-monitor-processes: "
    sys.stderr.write("".join(f"{priority}{line}\n" for line in text.splitlines()))
