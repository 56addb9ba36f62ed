"""Answers the questions that arrive on a socket, one at a time."""

from __future__ import annotations

import os
import select
import socket
import struct
import sys
import time
import traceback
from typing import TYPE_CHECKING

from genvd.collectors.base import CollectorError
from genvd.helper.messages import ProtocolError, receive, send
from genvd.helper.protocol import (
    MAX_ANSWER_BYTES,
    MAX_QUESTION_BYTES,
    AnswerEncoder,
    Failure,
    decode_question,
    encode_failure,
)
from genvd.helper.reading import StuckError

if TYPE_CHECKING:
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
_SHOWN_PIDS = 10
_CREDENTIALS = struct.Struct("=iII")
"""struct ucred of unix(7): pid, uid, gid."""


class Server:
    """Serves on connections, and on a listening socket if there is one."""

    def __init__(self, reading: Reading, guard: BlockGuard, notifier: SystemdNotifier) -> None:
        self._reading = reading
        self._guard = guard
        self.notifier = notifier
        self._poll = select.poll()
        self._listening: socket.socket | None = None
        self._connections: dict[int, tuple[socket.socket, AnswerEncoder]] = {}
        self._fed_at = 0.0
        self._status = ""

    def listen(self, listening: socket.socket) -> None:
        """Accept connections of the user who owns the socket."""
        self._listening = listening
        listening.setblocking(False)
        self._poll.register(listening, select.POLLIN)

    def connect(self, connection: socket.socket) -> None:
        """Answer the questions on this connection."""
        if len(self._connections) == _MAX_CONNECTIONS:
            self._disconnect(next(iter(self._connections)))
        self._connections[connection.fileno()] = connection, AnswerEncoder()
        self._poll.register(connection, select.POLLIN)

    def serve(self) -> None:
        """Answer until there is nobody left who could ask, or nobody has been connected for :data:`_IDLE_SECONDS`.

        systemd, which keeps the listening socket, starts this program again when somebody connects.

        Raises:
            StuckError: this program has to start anew. The question is answered.
        """
        self.notifier.notify("READY=1\nSTATUS=")
        connected_at = time.monotonic()
        while self._connections or (self._listening and time.monotonic() - connected_at < _IDLE_SECONDS):
            if self._connections:
                connected_at = time.monotonic()
            self._feed_watchdog()
            for descriptor, _ in self._poll.poll(_FEED_SECONDS * 1000):
                if self._listening and descriptor == self._listening.fileno():
                    self._accept(self._listening)
                elif descriptor in self._connections:  # else it has been closed for a new one
                    self._answer(descriptor)

    def _accept(self, listening: socket.socket) -> None:
        try:
            connection, _ = listening.accept()
        except OSError:  # the other side has given up, or there are no descriptors left
            return
        _, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        if uid == _owner(listening):
            self.connect(connection)
        else:
            _log(f"refused a connection of the user with the uid {uid}")
            connection.close()

    def _answer(self, descriptor: int) -> None:
        connection, encoder = self._connections[descriptor]
        try:
            deadline = time.monotonic() + _MESSAGE_SECONDS
            request = decode_question(receive(connection, MAX_QUESTION_BYTES, deadline))
            began = time.monotonic()
            answer = encoder.encode(self._reading.collect(request, lambda: self._feed_watchdog(began)))
            self._respond(connection, answer)
        except CollectorError as error:
            self._respond(connection, encode_failure(Failure(str(error))))
        except StuckError:
            self._respond(connection, encode_failure(Failure("starts anew, because processes block it", again=True)))
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
        connection, _ = self._connections.pop(descriptor)
        self._poll.unregister(descriptor)
        connection.close()

    def _feed_watchdog(self, busy_since: float | None = None) -> None:
        """Report to the watchdog that this program makes progress, unless a collection takes far too long."""
        now = time.monotonic()
        if now - self._fed_at >= _FEED_SECONDS and (busy_since is None or now - busy_since < _MAX_COLLECT_SECONDS):
            self._fed_at = now
            self.notifier.notify("WATCHDOG=1")

    def _show_left_out(self) -> None:
        """Show in ``systemctl status`` which processes are left out."""
        pids = sorted(self._guard.left_out)
        more = ", ..." if len(pids) > _SHOWN_PIDS else ""
        shown = ", ".join(map(str, pids[:_SHOWN_PIDS])) + more
        status = f"left out, because reading them blocks: {shown} ({len(pids)} processes)" if pids else ""
        if status != self._status:
            self._status = status
            self.notifier.notify(f"STATUS={status}")


def _owner(listening: socket.socket) -> int | None:
    """Return the uid that owns the file of a listening socket; None if there is no such file any more."""
    try:
        return os.stat(listening.getsockname()).st_uid
    except (OSError, TypeError, ValueError):
        return None


def _log(text: str) -> None:
    priority = "<4>" if "JOURNAL_STREAM" in os.environ else "genv-monitor-processes: "
    sys.stderr.write("".join(f"{priority}{line}\n" for line in text.splitlines()))
