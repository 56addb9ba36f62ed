"""The one thread that serves all connections: it waits for any of them, and does at each turn a little for each."""

from __future__ import annotations

import errno
import logging
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from genvd.error_log import ErrorLog
from genvd.waker import Waker
from genvd.web.connection import Connection
from genvd.web.connections import Connections, Stage
from genvd.web.conversation import Conversation
from genvd.web.listener_handover import refuse_new
from genvd.web.renderer import Renderer

if TYPE_CHECKING:
    from genvd.web.security import Security
    from genvd.web.site import Site

log = logging.getLogger(__name__)

_GRACE_SECONDS = 0.5
"""For requests that are being answered when the server stops."""
_ARRIVAL_SECONDS = 0.2
"""Within which a connection that is being made arrives, on a busy machine as well."""
_PAUSE_SECONDS = 0.1
"""When no connection can be accepted, because there are no more descriptors."""
_NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})
_ACCEPTED_AT_ONCE = 64
"""Before those who are connected get their turn."""

_SEND_BUFFER = 64 * 1024
_RECEIVE_BUFFER = 16 * 1024
"""Bytes of the kernel's memory for each connection (socket(7) doubles them). By itself it lets a client that never
reads have megabytes."""
_FEW, _SEND_BUFFER_OF_FEW = 64, 256 * 1024
"""So many connections, which are more than usually scrape, get larger ones: a large body goes in fewer turns, each of
which has to wait for its own when a tick is going on."""


class Loop:
    """Serves a site on listening sockets, in a thread of its own."""

    def __init__(self, site: Site, security: Security, listeners: Iterable[socket.socket]) -> None:
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._security = security
        self._waker = Waker()
        self._epoll = select.epoll()
        self._connections = Connections()
        self._by_descriptor: dict[int, Connection] = {}
        self._renderer = Renderer(self._post)
        self._conversation = Conversation(site, security, self._connections, self._renderer, self._post)
        self._posted: deque[tuple[Connection, Callable[[Connection], None]]] = deque()
        self._posting = threading.Lock()
        self._errors = ErrorLog(log)
        self._ended = False
        self._stopping = False
        self._kept: Collection[socket.socket] = ()
        self._paused_until = 0.0
        self._due: float | None = None  # when a connection will have been in its stage for too long
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Begin."""
        for listener in self._listeners.values():
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            self._epoll.register(listener, select.EPOLLIN)
        self._epoll.register(self._waker, select.EPOLLIN)
        self._thread.start()

    @property
    def started(self) -> bool:
        """Whether it was started."""
        return self._thread.ident is not None

    def stop(self, kept: Collection[socket.socket] = ()) -> None:
        """Take no further connections, answer what was asked already, close everything, and end.

        Args:
            kept: listening sockets that somebody else has as well, and takes the connections of. Who has connected to
                one of the others and was not accepted yet is answered.
        """
        self._kept, self._stopping = kept, True
        self._waker.wake()
        self._thread.join()
        self._renderer.stop()

    def _post(self, connection: Connection, what: Callable[[Connection], None]) -> None:
        """Have something done with a connection by this thread; other threads call this."""
        with self._posting:
            if not self._ended:
                self._posted.append((connection, what))
                self._waker.wake()

    # --- The turns -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._turn(self._patience())
            except Exception as error:  # one bad turn must not end the service
                self._errors.defect("turn", "serving", error)
                time.sleep(_PAUSE_SECONDS)
            else:
                self._errors.clear("turn", "serving succeeds again")
        self._finish()

    def _patience(self) -> float | None:
        """Return for how long nothing has to be done unless something happens: an idle server does not wake up."""
        due = self._due = self._connections.deadline()
        if self._paused_until:
            due = self._paused_until if due is None else min(due, self._paused_until)
        if self._conversation.unread:
            return 0.0
        return None if due is None else max(0.0, due - time.monotonic())

    def _turn(self, seconds: float | None) -> int:
        """Wait for something to happen, at most so long, and do what is to be done; return how many came new."""
        happened = self._epoll.poll(None if seconds is None else seconds + 0.001)
        accepting = []
        for descriptor, events in happened:
            if connection := self._by_descriptor.get(descriptor):
                self._happens(connection, events)
            elif descriptor == self._waker.fileno():
                self._waker.wait(0)
            elif listener := self._listeners.get(descriptor):
                accepting.append(listener)
        for connection in list(self._conversation.unread):
            self._happens(connection, select.EPOLLIN)
        while self._posted:
            connection, what = self._posted.popleft()
            if connection.stage is not None:
                self._does(connection, what)
        if self._due is not None and time.monotonic() >= self._due:
            for connection in list(self._connections.overdue()):
                self._does(connection, self._conversation.too_late)
        self._resume()
        return sum(map(self._accept_some, accepting))

    def _happens(self, connection: Connection, events: int) -> None:
        gone = events & (select.EPOLLERR | select.EPOLLHUP)
        if gone and (connection.request is not None or not events & select.EPOLLIN):
            self._close(connection)
        elif connection.stage is not None:
            self._does(connection, self._conversation.goes_on)

    def _does(self, connection: Connection, what: Callable[[Connection], None]) -> None:
        try:
            what(connection)
        except (OSError, ValueError) as error:  # whoever goes away is not worth a line in the log
            log.debug("connection from %s ended: %s", connection.address, error)
            self._conversation.close(connection)
        except Exception as error:
            self._errors.defect("request", "a request", error)
            self._conversation.close(connection)
        else:
            if "request" in self._errors.active:
                self._errors.clear("request", "requests succeed again")
        self._watch(connection)

    def _watch(self, connection: Connection) -> None:
        """Have epoll look for what the connection waits for now."""
        if connection.stage is None:
            self._by_descriptor.pop(connection.descriptor, None)
            return
        wanted = self._conversation.wants(connection)
        if connection.events is None:
            self._by_descriptor[connection.descriptor] = connection
            self._epoll.register(connection.descriptor, wanted)
        elif connection.events != wanted:
            self._epoll.modify(connection.descriptor, wanted)
        connection.events = wanted

    def _close(self, connection: Connection) -> None:
        self._conversation.close(connection)
        self._by_descriptor.pop(connection.descriptor, None)

    # --- New connections -------------------------------------------------------------------------------------

    def _accept_some(self, listener: socket.socket) -> int:
        for number in range(_ACCEPTED_AT_ONCE):
            try:
                accepted, address = listener.accept()
            except BlockingIOError:
                return number
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._say_why_not(error)
                self._pause()
                return number
            if "accept" in self._errors.active:
                self._errors.clear("accept", "connections are accepted again")
            self._welcome(accepted, str(address[0]))
        return _ACCEPTED_AT_ONCE

    def _welcome(self, accepted: socket.socket, address: str) -> None:
        if victim := self._connections.surplus():
            self._close(victim)
        accepted.setblocking(False)
        with suppress(OSError):
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if len(self._connections) < _FEW:
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_OF_FEW)
        transport, tls = self._security.transport(accepted)
        connection = Connection(accepted, address, transport, tls)
        self._connections.put(connection, Stage.NEW)
        self._does(connection, self._conversation.goes_on)  # mostly the request is there already

    def _say_why_not(self, error: OSError) -> None:
        if error.errno not in _NO_DESCRIPTORS:
            log.debug("no connection can be accepted: %s", error)
            return
        advice = "see who has so many connections or files open, or raise LimitNOFILE"
        self._errors.report("accept", f"no connection can be accepted: {error.strerror}; {advice}")

    def _pause(self) -> None:
        """Accept nobody for a while, and make room for somebody: descriptors are used up."""
        if victim := self._connections.victim():
            self._close(victim)
        self._listen_for(0)
        self._paused_until = time.monotonic() + _PAUSE_SECONDS

    def _resume(self) -> None:
        if self._paused_until and time.monotonic() >= self._paused_until:
            self._paused_until = 0.0
            self._listen_for(select.EPOLLIN)

    def _listen_for(self, events: int) -> None:
        for listener in self._listeners.values():
            self._epoll.modify(listener, events)

    # --- The end ---------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        self._conversation.stopping = True
        try:
            self._stop_listening(self._kept)
            if self._listeners:
                self._take_arrivals()
            self._stop_listening(list(self._listeners.values()))
            self._answer_what_was_asked()
        except Exception:
            log.exception("stopping to serve failed unexpectedly; please report this")
        for connection in self._connections:
            self._close(connection)
        with self._posting:
            self._ended = True
            self._posted.clear()
            self._waker.close()
        self._epoll.close()

    def _take_arrivals(self) -> None:
        for listener in self._listeners.values():
            refuse_new(listener)
        last = time.monotonic()
        deadline = last + _GRACE_SECONDS  # whoever connects again and again must not keep this going
        while (left := min(deadline, last + _ARRIVAL_SECONDS) - time.monotonic()) > 0:
            if self._turn(left):
                last = time.monotonic()

    def _stop_listening(self, listeners: Iterable[socket.socket]) -> None:
        for listener in listeners:
            del self._listeners[listener.fileno()]
            self._epoll.unregister(listener)  # closing is not enough where somebody else has the same socket
            listener.close()
        if not self._listeners:
            self._paused_until = 0.0

    def _answer_what_was_asked(self) -> None:
        self._turn(0)
        for connection in self._connections.in_stage(Stage.RESTING, Stage.LEAVING):
            self._close(connection)
        deadline = time.monotonic() + _GRACE_SECONDS
        waiting = (Stage.NEW, Stage.LOGIN, Stage.TAKING, Stage.ASKING)
        while self._connections.in_stage(*waiting) and (left := deadline - time.monotonic()) > 0:
            patience = self._patience()
            self._turn(left if patience is None else min(left, patience))
