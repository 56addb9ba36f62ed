"""The HTTP server: one thread with an asyncio event loop serves all connections."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from genvd.common.error_log import ErrorLog
from genvd.web.connections import Stage, connection_limit
from genvd.web.http_connection import Context, HttpConnection
from genvd.web.request_handler import RequestHandler

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from genvd.web.listening import ListenSockets
    from genvd.web.security import Security
    from genvd.web.site import Site

log = logging.getLogger(__name__)

_GRACE_SECONDS = 0.5
"""Time to complete responses when the server stops."""
_ARRIVAL_SECONDS = 0.2
"""Time in which a connection that is being established arrives, even on a busy machine."""
_PAUSE_SECONDS = 0.1
"""Pause after a failed accept, when there are no more file descriptors."""
_NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})
_ACCEPTED_AT_ONCE = 64
"""Connections that are accepted before the existing ones are served."""

_SEND_BUFFER = 64 * 1024
_RECEIVE_BUFFER = 16 * 1024
"""Kernel buffers of each connection, in bytes (socket(7) doubles them). By default, a client that does not read takes
megabytes."""
_FEW_CONNECTIONS, _SEND_BUFFER_IF_FEW = 64, 256 * 1024
"""The first connections get a larger send buffer, so that a large body needs fewer writes, each of which may have to
wait for the GIL during a collection. There are usually fewer scrapers than that."""


class Server:
    """Serves a site on listening sockets."""

    def __init__(self, site: Site, security: Security, listening: ListenSockets) -> None:
        self.listening = listening
        self._port = listening.port
        self._security = security
        self._errors = ErrorLog(log)
        self._context = Context(RequestHandler(site, security), security, self._errors)
        self._tables = (self._context.connections, self._context.encrypted)
        self._listeners: list[socket.socket] = list(listening.all)
        self._kept: Collection[socket.socket] = ()
        """Sockets to close without accepting the connections in them, as another process or server does that."""
        self._stop_requested = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return self._port

    @property
    def started(self) -> bool:
        """Whether the server was started."""
        return self._loop is not None

    def start(self) -> None:
        """Start serving in a new thread."""
        for listener in self._listeners:
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._on_loop_error)
        self._thread.start()

    def stop(self, *, accept_queued: bool, successor: Server | None = None) -> None:
        """Stop listening, answer the requests that have arrived, and close all connections.

        Args:
            accept_queued: whether to accept the connections that wait in the sockets; False if systemd keeps the
                sockets open for the next process.
            successor: the server that takes over some of the sockets, with the connections that wait in them.
        """
        if not self.started:
            if not accept_queued:
                self.listening.close()
                return
            self.start()
        self._kept = [
            listener
            for listener in self._listeners
            if not accept_queued or (successor and successor.serves(listener.getsockname()))
        ]
        assert self._loop
        self._loop.call_soon_threadsafe(self._stop_requested.set)
        self._thread.join()

    def serves(self, address: tuple[object, ...]) -> bool:
        """Return whether the server listens on this socket address."""
        return self.listening.find(address) is not None

    def _run(self) -> None:
        assert self._loop
        try:
            self._loop.run_until_complete(self._serve())
        except Exception:
            log.exception("the HTTP server failed unexpectedly; please report this")
        finally:
            self._context.handler.close()
            self._loop.close()

    async def _serve(self) -> None:
        """Serve until a stop is requested; then accept the waiting connections, and finish the requests."""
        self._listen()
        await self._stop_requested.wait()
        self._context.stopping = True
        self._stop_listening(self._kept)
        if self._listeners:
            await asyncio.sleep(_ARRIVAL_SECONDS)
            for listener in self._listeners:
                while self._accept(listener):
                    await asyncio.sleep(0)
        self._stop_listening(list(self._listeners))
        await self._finish_requests()

    async def _finish_requests(self) -> None:
        """Close idle connections, wait a moment for the responses of the others, and end all tasks."""
        await asyncio.sleep(0)  # lets the connections read what has arrived
        await asyncio.sleep(0)
        for table in self._tables:
            for connection in table.in_stage(Stage.IDLE, Stage.LINGERING):
                connection.close()
        if tasks := [connection.task for table in self._tables for connection in table]:
            await asyncio.wait(tasks, timeout=_GRACE_SECONDS)
        for table in self._tables:
            for connection in table:
                connection.close()
        remaining = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in remaining:
            task.cancel()
        await asyncio.gather(*remaining, return_exceptions=True)

    def _on_loop_error(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log an exception in the event loop, which continues."""
        error = context.get("exception")
        if not isinstance(error, Exception):
            error = RuntimeError(context["message"])
        self._errors.defect("serving", "serving", error)

    # --- New connections -------------------------------------------------------------------------------------

    def _listen(self) -> None:
        assert self._loop
        for listener in self._listeners:
            self._loop.add_reader(listener, self._accept, listener)

    def _stop_listening(self, listeners: Iterable[socket.socket]) -> None:
        assert self._loop
        for listener in listeners:
            self._loop.remove_reader(listener)  # closing is not enough if another server has the same socket
            self._listeners.remove(listener)
            listener.close()

    def _accept(self, listener: socket.socket) -> bool:
        """Accept some of the waiting connections; return whether there may be more."""
        limit = connection_limit()
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                accepted, address = listener.accept()
            except BlockingIOError:  # no more connections are waiting
                self._errors.clear("accept", "connections are accepted again")
                return False
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._pause(error)
                return False
            if sum(map(len, self._tables)) >= limit:
                self._evict_one(limit)
            self._start_connection(accepted, str(address[0]))
        return True

    def _start_connection(self, accepted: socket.socket, address: str) -> None:
        accepted.setblocking(False)
        with suppress(OSError):
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if sum(map(len, self._tables)) < _FEW_CONNECTIONS:
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_IF_FEW)
        self._security.reload_if_changed()
        HttpConnection(self._context, accepted, address, self._security.policy.tls)

    def _evict_one(self, limit: int) -> None:
        victims = (table.victim(limit) for table in self._tables)
        if victim := next(filter(None, victims), None):
            victim.close()

    def _pause(self, error: OSError) -> None:
        """Stop accepting connections for a moment, and close one: there are no more file descriptors."""
        if error.errno in _NO_DESCRIPTORS:
            advice = "check which clients have many open connections, or raise LimitNOFILE"
            self._errors.report("accept", f"cannot accept connections: {error.strerror}; {advice}")
        else:
            log.debug("cannot accept connections: %s", error)
        self._evict_one(0)
        assert self._loop
        for listener in self._listeners:
            self._loop.remove_reader(listener)
        self._loop.call_later(_PAUSE_SECONDS, self._listen)
